"""Writes of coils and registers; APP is the Modbus Application Protocol Specification V1.1b3. No I/O."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from drivers.errors import BadAnswer
from drivers.modbus.encode import MASK_WRITE, WRITE_COIL, WRITE_COILS, WRITE_REGISTER, WRITE_REGISTERS, Writing

MAX_WRITE_REGISTERS = 123  # APP 6.12
MAX_WRITE_BITS = 1968  # APP 6.11
_ON, _OFF = 0xFF00, 0x0000  # APP 6.5
_LONG = (WRITE_COILS, WRITE_REGISTERS)


@dataclass(frozen=True, slots=True)
class Write:
    """One write to one unit; its answer repeats what was written, or for several addresses which they were."""

    unit: int
    pdu: bytes

    @property
    def head(self) -> bytes:
        """The whole answer is known before: APP 6.5, 6.6, 6.11, 6.12, 6.16."""
        return self.pdu[:5] if self.pdu[0] in _LONG else self.pdu

    @property
    def length(self) -> int:
        """Bytes of the answer."""
        return len(self.head)

    @property
    def echoes(self) -> bool:
        """Whether the right answer is the same as the request."""
        return self.head == self.pdu

    def take(self, pdu: bytes) -> bytes:
        """Nothing; raises `BadAnswer` that says which field is not as written."""
        wanted = self.head
        if len(pdu) != len(wanted):
            raise BadAnswer(f"a write is answered by {len(wanted)} bytes, {len(pdu)} came")
        for what, start, end in _fields(wanted):
            if pdu[start:end] != wanted[start:end]:
                raise BadAnswer(f"{what} {wanted[start:end].hex()} was written, the answer says {pdu[start:end].hex()}")
        return b""


def write_of(unit: int, writing: Writing) -> Write:
    """The request for `writing`; ValueError when it is more than one request holds."""
    values, count = writing.values, len(writing.values)
    most = MAX_WRITE_BITS if writing.function == WRITE_COILS else MAX_WRITE_REGISTERS
    if not 0 < count <= (most if writing.function in _LONG else 1):
        raise ValueError(f"function {writing.function} does not write {count} addresses at once")
    head = struct.pack(">BH", writing.function, writing.address)
    return Write(unit, head + _DATA[writing.function](writing, values, count))


def _coil(_: Writing, values: tuple[int, ...], __: int) -> bytes:
    return struct.pack(">H", _ON if values[0] else _OFF)


def _coils(_: Writing, values: tuple[int, ...], count: int) -> bytes:
    size = (count + 7) // 8
    number = sum(bool(on) << place for place, on in enumerate(values))
    return struct.pack(">HB", count, size) + number.to_bytes(size, "little")


_DATA: dict[int, Callable[[Writing, tuple[int, ...], int], bytes]] = {
    WRITE_COIL: _coil,
    WRITE_REGISTER: lambda _, values, __: struct.pack(">H", values[0]),
    WRITE_COILS: _coils,
    WRITE_REGISTERS: lambda _, values, count: struct.pack(f">HB{count}H", count, 2 * count, *values),
    MASK_WRITE: lambda writing, values, _: struct.pack(">HH", writing.and_mask, values[0]),
}


def _fields(pdu: bytes) -> tuple[tuple[str, int, int], ...]:
    if pdu[0] == MASK_WRITE:
        return ("address", 1, 3), ("and mask", 3, 5), ("or mask", 5, 7)
    return ("address", 1, 3), ("count" if pdu[0] in _LONG else "value", 3, 5)
