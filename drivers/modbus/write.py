"""Writes of coils and registers; APP is the Modbus Application Protocol Specification V1.1b3. No I/O."""

import struct
from dataclasses import dataclass

from drivers.errors import BadAnswer

WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS, MASK_REGISTER = 5, 6, 15, 16, 22  # APP 6.5, 6.6, 6.11 to 6.16
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


def write_coil(unit: int, address: int, on: bool) -> Write:
    """One coil by function 5."""
    return Write(unit, struct.pack(">BHH", WRITE_COIL, address, _ON if on else _OFF))


def write_register(unit: int, address: int, value: int) -> Write:
    """One register by function 6."""
    return Write(unit, struct.pack(">BHH", WRITE_REGISTER, address, value))


def write_coils(unit: int, address: int, states: "tuple[bool, ...]") -> Write:
    """Coils in a row by function 15; ValueError for more than `MAX_WRITE_BITS`, or none."""
    if not 0 < len(states) <= MAX_WRITE_BITS:
        raise ValueError(f"from 1 to {MAX_WRITE_BITS} coils are written at once, not {len(states)}")
    number = sum(on << place for place, on in enumerate(states))
    data = number.to_bytes((len(states) + 7) // 8, "little")
    return Write(unit, struct.pack(">BHHB", WRITE_COILS, address, len(states), len(data)) + data)


def write_registers(unit: int, address: int, data: bytes) -> Write:
    """Registers in a row by function 16; ValueError for more than `MAX_WRITE_REGISTERS`, or none, or half of one."""
    count, odd = divmod(len(data), 2)
    if odd or not 0 < count <= MAX_WRITE_REGISTERS:
        raise ValueError(f"from 1 to {MAX_WRITE_REGISTERS} registers are written at once, not {len(data)} bytes")
    return Write(unit, struct.pack(">BHHB", WRITE_REGISTERS, address, count, len(data)) + data)


def mask_register(unit: int, address: int, mask: int, value: int) -> Write:
    """The bits of `mask` in one register become those of `value`, the others stay, by function 22 (APP 6.16)."""
    return Write(unit, struct.pack(">BHHH", MASK_REGISTER, address, ~mask & 0xFFFF, value & mask))


def _fields(pdu: bytes) -> tuple[tuple[str, int, int], ...]:
    if pdu[0] == MASK_REGISTER:
        return ("address", 1, 3), ("and mask", 3, 5), ("or mask", 5, 7)
    return ("address", 1, 3), ("count" if pdu[0] in _LONG else "value", 3, 5)
