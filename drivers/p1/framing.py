"""Bytes in any split -> P1 telegrams: from "/" to "!" and the CRC behind it. Sans-IO."""

import string
from collections.abc import Iterator

from drivers.errors import BadAnswer

# DSMR 5.0.2 P1, 6.2: a telegram of a meter with four channels and a text message of 1024 characters (2048 in hex) is
# under 5 kB. Bounds what a telegram without an end can occupy.
MAX_TELEGRAM = 8192

START, END, CR, LF = b"/!\r\n"
CRC_DIGITS = 4
_HEX = frozenset(string.hexdigits.encode())
_TEXT = frozenset(range(0x20, 0x7F)) | {CR, LF, 0x09}

# Objects that only meters with a CRC send: the version of DSMR 4 and later, and that of e-MUCS (Belgium).
_ALWAYS_SUMMED = (b"\n1-3:0.2.8(", b"\n0-0:96.1.4(")


def crc16(data: bytes) -> int:
    """CRC-16/ARC: x^16 + x^15 + x^2 + 1, least significant bit first (DSMR 5.0.2 P1, 6.2)."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
    return byte


_TABLE = [_entry(byte) for byte in range(256)]


class Framer:
    """Finds telegrams in a stream; holds at most `MAX_TELEGRAM` bytes. What is broken costs itself only."""

    def __init__(self, *, checksum_required: bool = True) -> None:
        self._checksum_required = checksum_required
        self._text: bytearray | None = None
        self._crc: bytearray | None = None

    def feed(self, data: bytes) -> Iterator[str | BadAnswer]:
        """The telegrams that `data` completes, from "/" to "!", and the damage found, in order."""
        for byte in data:
            found = self._take(byte)
            if found is not None:
                yield found

    def _take(self, byte: int) -> str | BadAnswer | None:
        if byte == START:
            found = self._interrupted()
            self._text, self._crc = bytearray((START,)), None
            return found
        if self._text is None:
            return None
        if self._crc is not None:
            return self._end(byte)
        if byte not in _TEXT or len(self._text) == MAX_TELEGRAM:
            self._text = None
            return _damage(f"longer than {MAX_TELEGRAM} bytes" if byte in _TEXT else "a byte that is no text")
        self._text.append(byte)
        if byte == END:
            self._crc = bytearray()
        return None

    def _end(self, byte: int) -> str | BadAnswer | None:
        """A byte behind the "!": a digit of the CRC, or what closes a telegram that has none."""
        assert self._crc is not None  # noqa: S101 - the one caller has looked
        if byte in _HEX:
            self._crc.append(byte)
            return self._judge() if len(self._crc) == CRC_DIGITS else None
        return self._judge()

    def _interrupted(self) -> BadAnswer | None:
        """What a telegram is that another began in: never whole, since a whole one was closed by its last byte."""
        return None if self._text is None else _damage("another one began before its end")

    def _judge(self) -> str | BadAnswer:
        assert self._text is not None  # noqa: S101 - the one caller has looked
        assert self._crc is not None  # noqa: S101
        text, crc = bytes(self._text), bytes(self._crc)
        self._text = self._crc = None
        if crc and (len(crc) != CRC_DIGITS or int(crc, 16) != crc16(text)):
            return _damage("wrong checksum")
        if not crc and (self._checksum_required or any(mark in text for mark in _ALWAYS_SUMMED)):
            return _damage("no checksum")
        return text.decode("ascii")


def _damage(what: str) -> BadAnswer:
    return BadAnswer(f"P1 telegram: {what}")
