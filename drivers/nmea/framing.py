"""Bytes in any split -> NMEA 0183 sentences: start, length, checksum. Sans-IO."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import xor

# IEC 61162-1, clause 7: at most 82 characters with "$" and <CR><LF>. Receivers with centimetre positions send up to
# 100, a full MDA more than 82: twice the standard is taken, and bounds what a line without an end can occupy.
MAX_SENTENCE = 164

START, CR, LF = 0x24, 0x0D, 0x0A
_PRINTABLE = range(0x20, 0x7F)  # IEC 61162-1, clause 7: the characters that a sentence may hold
_LINE = re.compile(rb"([^*]+)(?:\*([0-9A-Fa-f]{2}))? *")  # blanks at the end are what people or loggers left there
# IEC 61162-1, clause 7: talker and formatter. An address that begins with P is a maker's own: $PGRMC is no RMC.
_ADDRESS = re.compile(r"([A-OQ-Z0-9][A-Z0-9])([A-Z]{3})")


class Damage(StrEnum):
    """Why the bytes after a "$" are no sentence."""

    UNFINISHED = "another sentence began before its end"
    TOO_LONG = f"longer than {MAX_SENTENCE} characters"
    STRANGE_BYTE = "a byte that no sentence may hold"
    NO_SENTENCE = "not of the form $...*hh"
    NO_CHECKSUM = "no checksum"
    CHECKSUM = "wrong checksum"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence whose checksum is right (or absent, where that is allowed)."""

    talker: str
    formatter: str
    fields: tuple[str, ...]
    summed: bool = True


class Framer:
    """Finds sentences in a stream; holds at most `MAX_SENTENCE` bytes. What is broken costs itself only.

    A talker that has sent a checksum once sends it always: what has none then was cut, even if none is required.
    """

    def __init__(self, *, checksum_required: bool = True) -> None:
        self._checksum_required = checksum_required
        self._summing: set[str] = set()  # talkers have two characters: there are no more than 1296
        self._line: bytearray | None = None

    def feed(self, data: bytes) -> Iterator[Sentence | Damage]:
        """The sentences that `data` completes, and the damage found, in order; makers' own are passed over."""
        for byte in data:
            found = self._take(byte)
            if found is not None:
                yield found

    def _take(self, byte: int) -> Sentence | Damage | None:
        line = self._line
        if byte == START:
            self._line = bytearray()
            return None if line is None else self._interrupted(bytes(line))
        if line is None:
            return None
        if byte in (CR, LF):
            self._line = None
            return self._judge(bytes(line), checksum_required=self._checksum_required)
        if byte not in _PRINTABLE or len(line) == MAX_SENTENCE - 3:  # "$", <CR> and <LF> are not in `line`
            self._line = None
            return Damage.TOO_LONG if byte in _PRINTABLE else Damage.STRANGE_BYTE
        line.append(byte)
        return None

    def _interrupted(self, line: bytes) -> Sentence | Damage | None:
        """A line that another began in; when its checksum was there already, it is whole."""
        found = self._judge(line, checksum_required=True)
        return Damage.UNFINISHED if isinstance(found, Damage) else found

    def _judge(self, line: bytes, *, checksum_required: bool) -> Sentence | Damage | None:
        match = _LINE.fullmatch(line)
        if match is None:
            return Damage.NO_SENTENCE
        body, checksum = match[1], match[2]
        if checksum is None and checksum_required:
            return Damage.NO_CHECKSUM
        if checksum is not None and int(checksum, 16) != reduce(xor, body, 0):
            return Damage.CHECKSUM
        address, *fields = body.decode("ascii").split(",")
        known = _ADDRESS.fullmatch(address)
        if known is None:
            return None
        talker = known[1]
        if checksum is not None:
            self._summing.add(talker)
        elif talker in self._summing:
            return Damage.NO_CHECKSUM
        return Sentence(talker, known[2], tuple(fields), summed=checksum is not None)
