"""What a configuration may say of a point: where it lies and what it is."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from config.scalars import plain_text, whole
from drivers.base import Options
from drivers.modbus.pdu import ADDRESSES, MAX_REGISTERS, Table
from ext import Layout

MAX_VALUES = 256  # names of one point's values: an enumeration is a byte at most in every manual seen

_DIGITS = {"1": Table.DISCRETE, "3": Table.INPUT, "4": Table.HOLDING}  # first digits of the notation of Modicon PLCs

Type = Literal[
    "bool", "string",
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int48", "uint48", "int64", "uint64", "float32", "float64",
    "bcd16", "bcd32", "bcd48", "bcd64", "m10k32", "m10k48", "m10k64", "sm10k32", "sm10k48", "sm10k64", "sm16", "sm32",
]  # fmt: skip
Order = Literal[
    "ABCD", "CDAB", "BADC", "DCBA",
    "ABCDEF", "EFCDAB", "BADCFE", "FEDCBA",
    "ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA",
]  # fmt: skip


def _names(value: object) -> dict[int, str]:
    """Names by raw value; the keys of a TOML table are texts, in decimal or as 0x..."""
    if not isinstance(value, dict) or not 1 <= len(value) <= MAX_VALUES:
        raise ValueError(f'must be a table of 1 to {MAX_VALUES} names, for example {{ 0 = "off", 1 = "on" }}')
    try:
        names = {whole(int(str(key), 0)): plain_text(name) for key, name in value.items()}
    except ValueError as error:
        raise ValueError(f"needs a whole number on the left and a text on the right: {error}") from error
    if len(names) < len(value) or len(set(names.values())) < len(names):
        raise ValueError("has the same number or the same name twice")
    return names


class PointOptions(Options):
    """Where a point lies, as the PDU addresses it: the first register is 0."""

    table: Table
    address: Annotated[int, Field(strict=True, ge=0, alias="register")]
    type: Type | None = None
    order: Order | None = None
    bit: Annotated[int, Field(strict=True, ge=0, le=63)] | None = None
    bits: Annotated[int, Field(strict=True, ge=1, le=64)] | None = None
    length: Annotated[int, Field(strict=True, ge=1, le=MAX_REGISTERS)] | None = None
    """Registers of a string."""
    wide_chars: Annotated[bool, Field(strict=True)] = False
    """Each register of a string holds one character, in its lower byte; with order BADC in its upper one."""
    values: Annotated[dict[int, str], BeforeValidator(_names)] | None = None
    """Names of raw values: the point says the name."""
    scale_register: Annotated[int, Field(strict=True, ge=0, lt=ADDRESSES)] | None = None
    """The register of the same table that holds the power of ten (int16)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.stored == "string" or self.length or self.wide_chars:
            self._check_string()
        elif self.table.single_bits:
            if self.stored != "bool" or self.order or self.bit is not None or self.bits:
                raise ValueError(f"a {self.table} is one bit: only type bool, and no order, bit or bits")
        elif self.stored == "bool" and (self.bit is None or self.bit > 15 or self.bits or self.order):
            raise ValueError("a bool in a register is one bit: give `bit` from 0 (lowest) to 15, no bits, no order")
        elif self.half and (self.bit not in (None, 0, 8) or self.bits or self.order):
            raise ValueError(f"an {self.stored} is half a register: bit = 0 (the lower) or 8, no bits, no order")
        self._check_values()
        if self.stored != "string":
            self.layout(self.address)
        return self

    def _check_string(self) -> None:
        if self.stored != "string" or self.table.single_bits:
            raise ValueError('length and wide_chars are for type = "string" in registers')
        if self.length is None:
            raise ValueError("a string needs its length in registers")
        if self.bit is not None or self.bits or self.order not in (None, "ABCD", "BADC"):
            raise ValueError("a string has no bit or bits, and its order is ABCD or BADC")

    def _check_values(self) -> None:
        whole_number = self.stored not in ("string", "float32", "float64")
        if self.values is not None and (not whole_number or self.scale_register is not None):
            raise ValueError(f"values are names of whole numbers, not of {self.stored}, nor of what a register scales")
        if self.scale_register is not None and (not whole_number or self.stored == "bool"):
            raise ValueError(f"scale_register scales whole numbers, not {self.stored}")

    @property
    def kind(self) -> str:
        """What the catalogue says of its values: the type, a string where they have names."""
        return "string" if self.is_text else self.stored

    @property
    def stored(self) -> str:
        """The type, or what it is when none is given: bool for one bit, uint16 for a register."""
        one_bit = self.table.single_bits or (self.bit is not None and self.bits is None)
        return self.type or ("bool" if one_bit else "uint16")

    @property
    def half(self) -> bool:
        """Whether it is half a register."""
        return self.stored in ("int8", "uint8")

    @property
    def fixed(self) -> bool:
        """Whether its bytes alone say its value, which is a number or a bool: what a scan plan reads."""
        return self.stored != "string" and self.values is None and self.scale_register is None

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return self.stored == "string" or self.values is not None

    @property
    def count(self) -> int:
        """How many addresses the point takes."""
        if self.stored == "string":
            return self.length or 1
        return 1 if self.stored == "bool" or self.half else Layout(0, self.stored).width // 2

    def layout(self, first: int) -> Layout:
        """Where the point lies in the payload of a read that starts at address `first`; a string has none."""
        if self.table.single_bits:
            return Layout(self.address - first, "bool")
        offset = 2 * (self.address - first)
        shift = self.bit or 0
        if self.stored == "bool":
            return Layout(offset + (shift < 8), "bool", shift=shift % 8)
        if self.half:
            return Layout(offset + (shift < 8), self.stored)
        bits = self.bits or (1 if self.bit is not None else 0)
        return Layout(offset, self.stored, self.order or "", shift, bits)

    @property
    def beyond(self) -> str:
        """What is wrong with a point that lies beyond its table; "" when it does not."""
        fits = self.address + self.count <= ADDRESSES
        return "" if fits else self.old_notation(self.address) or f"the last address of a table is {ADDRESSES - 1}"

    def old_notation(self, address: int) -> str:
        """What a 1xxxx, 3xxxx or 4xxxx number, which counts from 1 and names its table, seems to mean; else ""."""
        text = str(address)
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
