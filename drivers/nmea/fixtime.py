"""The time that a receiver with a valid fix tells: by RMC, and by ZDA near an RMC or GGA that says so. Sans-IO."""

from decimal import Decimal

from drivers.nmea.framing import Sentence
from drivers.nmea.sentences import FIELDS, Field, instant, read
from ext import GOOD

RECEIVER_LATE_MS = 1_000
"""How long after its moment a sentence is sent is in no standard; of one each second, before the next one is due."""
FIX_AGE_S = 2
"""ZDA is silent about the fix: one in the same second or the one before counts. Some receivers send ZDA first."""
DAY_S = 86_400

_POSITION = {"RMC": FIELDS["RMC"]["latitude"], "GGA": FIELDS["GGA"]["latitude"]}
_FIRST_DAY = "010170"  # reads the time of a day alone, as seconds of it


class FixTime:
    """What the sentences of one port say of the time, in the order in which they come."""

    def __init__(self, byte_ms: float) -> None:
        self._byte_ms = byte_ms
        self._denied: set[str] = set()
        """Formatters whose newest sentence has no valid fix, or an estimated, manual or simulated one."""
        self._fix_at: int | None = None
        """Second of the day of the newest fix."""

    def take(self, sentence: Sentence) -> tuple[int, int] | None:
        """(utc_ms, by how much it may be later) when `sentence`, whose last byte came just now, tells it; else None.

        Its own bytes were on the line since its moment, at least.
        """
        position = _POSITION.get(sentence.formatter)
        if position is not None:
            self._judge(sentence, position)
        if sentence.formatter not in ("RMC", "ZDA") or self._denied:
            return None
        told, quality = read(sentence, FIELDS[sentence.formatter]["time"])
        if not isinstance(told, Decimal) or quality != GOOD or not self._near_a_fix(told):
            return None
        line_ms = int(self._byte_ms * _length(sentence))
        return int(told * 1000) + line_ms, RECEIVER_LATE_MS + line_ms

    def _judge(self, sentence: Sentence, position: Field) -> None:
        """Note whether the sentence has a fix, and of which second."""
        self._denied.add(sentence.formatter)
        if read(sentence, position)[1] == GOOD:
            try:
                self._fix_at = int(instant(sentence.fields[0], _FIRST_DAY)) % DAY_S
            except ValueError:
                return
            self._denied.discard(sentence.formatter)

    def _near_a_fix(self, told: Decimal) -> bool:
        return self._fix_at is not None and (int(told) - self._fix_at) % DAY_S < FIX_AGE_S


def _length(sentence: Sentence) -> int:
    """Its bytes with "$", checksum and line's end (IEC 61162-1)."""
    return len("$ttfff*hh\r\n") + sum(len(field) + 1 for field in sentence.fields)
