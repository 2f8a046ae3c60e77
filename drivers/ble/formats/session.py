"""One configured device that speaks a self-describing format: its key, its counter, and the points it feeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

from config import Point
from drivers.ble.formats import Format, Locked, Report
from drivers.ble.formats.fields import TAG_BYTES
from drivers.ble.formats.replay import Counter, Verdict
from drivers.decoding import Reading
from drivers.errors import BadAnswer
from ext import BAD_ANSWER, Value

_EXACT = Context(prec=60)  # 20 digits of a reading, and 19 each of a scale and an offset

Said = tuple[str, Value, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A point and the reading it shows."""

    point: Point
    reading: str

    def take(self, reading: Reading) -> Said:
        """The value, scaled exactly; none, of bad quality, where the unit is another one."""
        value, unit = reading.value, self.point.unit
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            if self._scaled:
                value = _EXACT.fma(Decimal(value), self.point.scale, self.point.offset)
            elif unit and reading.unit and unit != reading.unit:
                return self.point.id, None, BAD_ANSWER
        return self.point.id, value, reading.quality

    @property
    def _scaled(self) -> bool:
        return self.point.scale != 1 or self.point.offset != 0


class Session:
    """Turns what the device advertises into values of its points; knows its counter from one to the next."""

    def __init__(self, spoken: Format, address: str, key: bytes | None, wanted: Sequence[Wanted]) -> None:
        self.format = spoken
        self.address = address
        self._key = key
        self._counter = Counter()
        self._wanted: dict[str, list[Wanted]] = {}
        for one in wanted:
            self._wanted.setdefault(one.reading, []).append(one)

    def hear(self, data: bytes) -> tuple[list[Said], BadAnswer | None] | None:
        """The values that `data` says, and what was wrong with the rest of it; None for what was heard already.

        Raises `BadAnswer` when none of it can be used: damaged, not encrypted although there is a key, or replayed.
        """
        report = self.format.decode(self.address, data, self._key)
        if self._key is not None and not self._is_new(report, data):
            return None
        said = [one.take(reading) for reading in report.readings for one in self._wanted.get(reading.point, ())]
        return said, report.error

    def authenticates(self, address: str, data: bytes) -> bool:
        """Whether `data` from `address` were sealed with the device's key."""
        try:
            return self._key is not None and self.format.decode(address, data, self._key).counter is not None
        except BadAnswer:
            return False

    def _is_new(self, report: Report, data: bytes) -> bool:
        """Whether nothing like it was heard; raises `Locked` for what anybody may have sent, now or before."""
        if report.counter is None:
            if report.readings:
                raise Locked(f"{self.format.name}: not encrypted, although the device has a key")
            return False
        verdict = self._counter.judge(report.counter, data[-TAG_BYTES:], report.counter_bits)
        if verdict is Verdict.REPLAYED:
            raise Locked(f"{self.format.name}: an old advertisement (counter {report.counter}): replayed by somebody")
        return verdict is Verdict.NEW
