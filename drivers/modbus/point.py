"""What a configuration may say of a point: where it lies and what it is."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from drivers.base import Options
from drivers.modbus.pdu import ADDRESSES, Table
from ext import Layout

_DIGITS = {"1": Table.DISCRETE, "3": Table.INPUT, "4": Table.HOLDING}  # first digits of the notation of Modicon PLCs

Registers = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
Order = Literal["ABCD", "CDAB", "BADC", "DCBA", "ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA"]


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
