"""What a configuration may say of a device."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from config.units import SECOND, duration_between
from drivers.base import Options
from drivers.modbus.pdu import ADDRESSES, MAX_BITS, MAX_REGISTERS, Request, Table

DEFAULT_GAP = 32  # registers read for nothing: 64 bytes cost less than the 12 of a request, its answer's 9 and the wait

Turnaround = Annotated[int, BeforeValidator(duration_between(0, SECOND))]


class DeviceOptions(Options):
    """One unit, and how much it takes in one request."""

    address: Annotated[int, Field(strict=True, ge=0, le=255)]  # 255 for a server that is itself the device: TCP 4.4.1
    max_registers: Annotated[int, Field(strict=True, ge=1, le=MAX_REGISTERS)] = MAX_REGISTERS
    max_coils: Annotated[int, Field(strict=True, ge=1, le=MAX_BITS)] = MAX_BITS
    max_gap: Annotated[int, Field(strict=True, ge=0, le=MAX_REGISTERS)] = DEFAULT_GAP
    """Registers that nobody wants and that are read all the same to save a request; 16 coils count as one."""
    high_registers: Annotated[bool, Field(strict=True)] = False
    """Registers from 10001 up are meant as they stand, not as 1xxxx, 3xxxx or 4xxxx numbers."""

    turnaround: Turnaround = 0
    """The line rests that long after an answer of this unit, beyond the silence of the standard."""
    write_multiple: Annotated[bool, Field(strict=True)] = False
    """One register or coil is written by function 16 or 15, too: some devices have no 6 or 5."""
    mask_write: Annotated[bool, Field(strict=True)] = False
    """Whether it knows function 22, without which single bits of its registers are not written."""

    def cap(self, table: Table) -> int:
        """The most addresses of one request."""
        return self.max_coils if table.single_bits else self.max_registers

    def gap(self, table: Table) -> int:
        """The most unwanted addresses in a row of one request."""
        return self.max_gap * 16 if table.single_bits else self.max_gap

    def room(self, request: Request) -> int:
        """How many more addresses than `request` wants may be read behind it."""
        last = ADDRESSES - request.address - request.count
        return max(0, min(self.cap(request.table) - request.count, self.gap(request.table), last))
