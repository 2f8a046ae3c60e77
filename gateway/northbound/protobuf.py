"""The little of Protocol Buffers' wire format that Sparkplug needs (protobuf.dev, Encoding)."""

import struct
from collections.abc import Iterator

from gateway.errors import WireError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types."""
MAX_VARINT_BYTES = 10  # 64 bits in groups of seven
MAX_FIELDS = 10_000  # of one message: a command has a few


def varint(number: int) -> bytes:
    """An unsigned number; a negative one is its two's complement of 64 bits."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def unsigned(field: int, number: int) -> bytes:
    """A field of type uint32, uint64, bool, or int64 as uint64."""
    return varint(field << 3 | VARINT) + varint(number)


def double(field: int, number: float) -> bytes:
    """A field of type double."""
    return varint(field << 3 | FIXED64) + struct.pack("<d", number)


def octets(field: int, data: bytes) -> bytes:
    """A field of type bytes, or a message."""
    return varint(field << 3 | LENGTH) + varint(len(data)) + data


def text(field: int, said: str) -> bytes:
    """A field of type string."""
    return octets(field, said.encode("utf-8", "replace"))


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in their order: numbers, or the bytes of all other types; raises `WireError`."""
    at = 0
    for _ in range(MAX_FIELDS):
        if at == len(data):
            return
        tag, at = _varint(data, at)
        field, kind = tag >> 3, tag & 7
        if kind == VARINT:
            number, at = _varint(data, at)
            yield field, number
            continue
        if kind == LENGTH:
            length, at = _varint(data, at)
        elif kind in {FIXED64, FIXED32}:
            length = 8 if kind == FIXED64 else 4
        else:
            raise WireError(f"wire type {kind} is not known")
        if length > len(data) - at:
            raise WireError("a field is longer than its message")
        yield field, data[at : at + length]
        at += length
    raise WireError(f"more than {MAX_FIELDS} fields")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for n in range(MAX_VARINT_BYTES):
        if at + n >= len(data):
            raise WireError("a number ends too early")
        number |= (data[at + n] & 0x7F) << (7 * n)
        if data[at + n] < 0x80:
            return number, at + n + 1
    raise WireError("a number is too long")
