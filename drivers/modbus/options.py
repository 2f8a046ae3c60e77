"""What a configuration may say to this driver."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from config.units import MINUTE, SECOND, duration_between
from drivers.base import Options
from drivers.modbus.pdu import ADDRESSES, MAX_BITS, MAX_REGISTERS, Table
from ext import Layout

LATER = ("rtu", "rtu-over-tcp", "ascii", "tls")  # transports that other versions have or will have
DEFAULT_GAP = 32  # registers read for nothing: 64 bytes cost less than the 12 of a request, its answer's 9 and the wait
MIN_TIMEOUT = 10  # ms; no device answers faster than its TCP stack

_DIGITS = {"1": Table.DISCRETE, "3": Table.INPUT, "4": Table.HOLDING}  # first digits of the notation of Modicon PLCs

Registers = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
Order = Literal["ABCD", "CDAB", "BADC", "DCBA", "ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA"]
Timeout = Annotated[int, BeforeValidator(duration_between(MIN_TIMEOUT, MINUTE))]


class BusOptions(Options):
    """A Modbus TCP server: a device, or a gateway with devices behind it."""

    transport: str
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:%-]{1,253}$")]  # RFC 1035 2.3.4; also an IPv6 address with zone
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 502  # registered for Modbus TCP: TCP 3.1.3
    timeout: Timeout = 500
    connect_timeout: Timeout = 3 * SECOND

    @model_validator(mode="before")
    @classmethod
    def _only_tcp(cls, data: object) -> object:
        # The keys of another transport are no errors of their own: the transport is the one thing to tell.
        if isinstance(data, dict) and data.get("transport", "tcp") != "tcp":
            return {"transport": data["transport"], "host": "other"}
        return data

    @field_validator("transport", mode="before")
    @classmethod
    def _known_transport(cls, value: object) -> object:
        if value in LATER:
            raise ValueError(f'transport "{value}" is not in this version; "tcp" is')
        if value != "tcp":
            raise ValueError('must be "tcp"')
        return value


class DeviceOptions(Options):
    """One unit, and how much it takes in one request."""

    address: Annotated[int, Field(strict=True, ge=0, le=255)]  # 255 for a server that is itself the device: TCP 4.4.1
    max_registers: Annotated[int, Field(strict=True, ge=1, le=MAX_REGISTERS)] = MAX_REGISTERS
    max_coils: Annotated[int, Field(strict=True, ge=1, le=MAX_BITS)] = MAX_BITS
    max_gap: Annotated[int, Field(strict=True, ge=0, le=MAX_REGISTERS)] = DEFAULT_GAP
    """Registers that nobody wants and that are read all the same to save a request; 16 coils count as one."""
    high_registers: Annotated[bool, Field(strict=True)] = False
    """Registers from 10001 up are meant as they stand, not as 1xxxx, 3xxxx or 4xxxx numbers."""

    def cap(self, table: Table) -> int:
        """The most addresses of one request."""
        return self.max_coils if table.single_bits else self.max_registers

    def gap(self, table: Table) -> int:
        """The most unwanted addresses in a row of one request."""
        return self.max_gap * 16 if table.single_bits else self.max_gap


class PointOptions(Options):
    """Where a point lies, as the PDU addresses it: the first register is 0."""

    table: Table
    address: Annotated[int, Field(strict=True, ge=0, alias="register")]
    type: Literal[Registers, "bool"] | None = None
    order: Order | None = None
    bit: Annotated[int, Field(strict=True, ge=0, le=63)] | None = None
    bits: Annotated[int, Field(strict=True, ge=1, le=64)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.table.single_bits:
            if self.kind != "bool" or self.order or self.bit is not None or self.bits:
                raise ValueError(f"a {self.table} is one bit: only type bool, and no order, bit or bits")
        elif self.kind == "bool" and (self.bit is None or self.bit > 15 or self.bits or self.order):
            raise ValueError("a bool in a register is one bit: give `bit` from 0 (lowest) to 15, no bits, no order")
        self.layout(self.address)
        return self

    @property
    def kind(self) -> str:
        """The type, or what it is when none is given: bool for one bit, uint16 for a register."""
        one_bit = self.table.single_bits or (self.bit is not None and self.bits is None)
        return self.type or ("bool" if one_bit else "uint16")

    @property
    def count(self) -> int:
        """How many addresses the point takes."""
        return 1 if self.kind == "bool" else Layout(0, self.kind).width // 2

    def layout(self, first: int) -> Layout:
        """Where the point lies in the payload of a read that starts at address `first`."""
        if self.table.single_bits:
            return Layout(self.address - first, "bool")
        offset = 2 * (self.address - first)
        if self.kind == "bool":
            bit = self.bit or 0
            return Layout(offset + (bit < 8), "bool", shift=bit % 8)
        shift = self.bit or 0
        bits = self.bits or (1 if self.bit is not None else 0)
        return Layout(offset, self.kind, self.order or "", shift, bits)

    @property
    def beyond(self) -> str:
        """What is wrong with a point that lies beyond its table; "" when it does not."""
        fits = self.address + self.count <= ADDRESSES
        return "" if fits else self.old_notation or f"the last address of a table is {ADDRESSES - 1}"

    @property
    def old_notation(self) -> str:
        """What a 1xxxx, 3xxxx or 4xxxx number, which counts from 1 and names its table, seems to mean; else ""."""
        text = str(self.address)
        meant = _DIGITS.get(text[0])
        number = int(text[1:] or 0)
        if meant is None or len(text) not in (5, 6) or not 1 <= number <= ADDRESSES:
            return ""
        if meant.single_bits != self.table.single_bits:
            return ""
        return (
            f"the first register is 0; {text} looks like {meant} number {number} counted from 1, "
            f'which is table = "{meant}", register = {number - 1}'
        )
