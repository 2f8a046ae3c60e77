"""The binary encoding of SML 1.04: type, length, value; bounded in depth and in number. Sans-IO."""

from collections.abc import Iterator

from drivers.errors import BadAnswer

Tree = bytes | bool | int | list["Tree"] | None
"""Octet string, truth, number, list; None for an optional value that is left out."""

MAX_DEPTH = 8  # a value of a list response lies 6 deep: message, body, response, list, entry, time
MAX_LENGTH_BYTES = 3  # 4 bits each: 4095, which is more than half of the longest file

_MORE = 0x80
_OCTETS, _BOOLEAN, _INTEGER, _UNSIGNED, _LIST = 0, 4, 5, 6, 7
_NUMBER_BYTES = range(1, 9)  # also 3, 5, 6 and 7: leading bytes that say nothing are left out
_END_OF_MESSAGE = 0


class Reader:
    """Reads one value after the other; raises `BadAnswer` for what is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def messages(self) -> Iterator[tuple[list[Tree], bytes]]:
        """Each message with its bytes up to the checksum: a list of 6, whose last is the end mark."""
        while self.at < len(self._data):
            begin = self.at
            kind, count = self._head()
            if (kind, count) != (_LIST, 6):
                raise _wrong("a message that is no list of 6")
            parts = [self.value(1) for _ in range(count - 2)]
            end = self.at
            parts.append(self.value(1))
            if self._byte() != _END_OF_MESSAGE:
                raise _wrong("a message without its end")
            yield parts, self._data[begin:end]

    def value(self, depth: int = 0) -> Tree:
        """The value that begins here."""
        if depth > MAX_DEPTH:
            raise _wrong(f"lists deeper than {MAX_DEPTH}")
        kind, length = self._head()
        if kind == _LIST:
            if length > len(self._data) - self.at:
                raise _wrong("a list longer than the file")
            return [self.value(depth + 1) for _ in range(length)]
        return self._plain(kind, length)

    def _plain(self, kind: int, length: int) -> Tree:
        data = self._data[self.at : self.at + length]
        if len(data) != length:
            raise _wrong("a value longer than the file")
        self.at += length
        if kind == _OCTETS:
            return data or None
        if kind == _BOOLEAN and length == 1:
            return data != b"\0"
        if kind in (_INTEGER, _UNSIGNED) and length in _NUMBER_BYTES:
            return int.from_bytes(data, "big", signed=kind == _INTEGER)
        raise _wrong("a value of no known type")

    def _head(self) -> tuple[int, int]:
        """Type, and bytes of the value or entries of the list."""
        byte = self._byte()
        kind, length, heads = byte >> 4 & 0x7, byte & 0xF, 1
        while byte & _MORE:
            byte, heads = self._byte(), heads + 1
            if heads > MAX_LENGTH_BYTES or byte >> 4 & 0x7:
                raise _wrong("a length that is none")
            length = length << 4 | byte & 0xF
        if kind != _LIST:
            length -= heads  # the length of anything but a list counts its own bytes
        if length < 0:
            raise _wrong("a length that is none")
        return kind, length

    def _byte(self) -> int:
        if self.at == len(self._data):
            raise _wrong("a value longer than the file")
        self.at += 1
        return self._data[self.at - 1]


def _wrong(what: str) -> BadAnswer:
    return BadAnswer(f"SML file: {what}")
