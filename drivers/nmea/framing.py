"""Bytes in any split -> NMEA 0183 sentences: start, length, checksum. Sans-IO."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import xor

# IEC 61162-1, 7.3: at most 82 characters with "$" and <CR><LF>. Receivers with centimetre positions send up to 100, a
# full MDA more than 82: twice the standard is taken, and bounds what a line without an end can occupy.
MAX_SENTENCE = 164

START, CR, LF = 0x24, 0x0D, 0x0A
_PRINTABLE = range(0x20, 0x7F)  # IEC 61162-1, table 1: the characters that a sentence may hold
_SENTENCE = re.compile(rb"(([A-Z0-9]{2})([A-Z]{3}),[^*$!]*)(?:\*([0-9A-Fa-f]{2}))?")
_PROPRIETARY = re.compile(rb"(P[A-Z0-9]{3}[^*$!]*)(?:\*([0-9A-Fa-f]{2}))?")


class Damage(StrEnum):
    """Why the bytes after a "$" are no sentence."""

    UNFINISHED = "another sentence began before its end"
    TOO_LONG = f"longer than {MAX_SENTENCE} characters"
    STRANGE_BYTE = "a byte that no sentence may hold"
    NO_SENTENCE = "not of the form $ttsss,...*hh"
    NO_CHECKSUM = "no checksum"
    CHECKSUM = "wrong checksum"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence whose checksum is right (or absent, where that is allowed)."""

    talker: str
    formatter: str
    fields: tuple[str, ...]


class Framer:
    """Finds sentences in a stream; holds at most `MAX_SENTENCE` bytes. What is broken costs itself only."""

    def __init__(self, *, checksum_required: bool = True) -> None:
        self._checksum_required = checksum_required
        self._line: bytearray | None = None

    def feed(self, data: bytes) -> Iterator[Sentence | Damage]:
        """The sentences that `data` completes, and the damage found, in order; proprietary ones are passed over."""
        for byte in data:
            found = self._take(byte)
            if found is not None:
                yield found

    def _take(self, byte: int) -> Sentence | Damage | None:
        line = self._line
        if byte == START:
            self._line = bytearray()
            return None if line is None else Damage.UNFINISHED
        if line is None:
            return None
        if byte in (CR, LF):
            self._line = None
            return self._judge(bytes(line))
        if byte not in _PRINTABLE or len(line) == MAX_SENTENCE - 3:  # "$", <CR> and <LF> are not in `line`
            self._line = None
            return Damage.TOO_LONG if byte in _PRINTABLE else Damage.STRANGE_BYTE
        line.append(byte)
        return None

    def _judge(self, line: bytes) -> Sentence | Damage | None:
        match = _SENTENCE.fullmatch(line)
        if match is None:
            return self._judge_proprietary(line)
        damage = self._damage(match[1], match[4])
        if damage is not None:
            return damage
        fields = match[1].decode("ascii").split(",")[1:]
        return Sentence(match[2].decode("ascii"), match[3].decode("ascii"), tuple(fields))

    def _judge_proprietary(self, line: bytes) -> Damage | None:
        match = _PROPRIETARY.fullmatch(line)
        return Damage.NO_SENTENCE if match is None else self._damage(match[1], match[2])

    def _damage(self, body: bytes, checksum: bytes | None) -> Damage | None:
        if checksum is None:
            return Damage.NO_CHECKSUM if self._checksum_required else None
        return None if int(checksum, 16) == reduce(xor, body, 0) else Damage.CHECKSUM
