"""How a profile says which device is of its model, and how such a device comes out of its box."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from drivers.base import Options
from drivers.modbus.pdu import ADDRESSES, Table

Word = Annotated[int, Field(strict=True, ge=0, le=0xFFFF)]


class Signature(Options):
    """A register whose value (one of some) only devices of this model have."""

    table: Table
    register_: Annotated[int, Field(strict=True, ge=0, lt=ADDRESSES, alias="register")]
    equals: Annotated[tuple[Word, ...], BeforeValidator(lambda v: v if isinstance(v, list | tuple) else [v])] = Field(
        min_length=1, max_length=64
    )


class Line(Options):
    """The serial settings that the maker ships."""

    baud: Annotated[int, Field(strict=True, ge=300, le=4_000_000)]
    parity: Literal["none", "even", "odd"]
    stop_bits: Literal[1, 2] = 1
    address: Annotated[int, Field(strict=True, ge=1, le=247)] | None = None


class Identity(Options):
    """The table `identify`: all that is given must fit.

    `vendor` and `product` are parts of the objects 0 and 1 of Read Device Identification (APP 6.21), in any case.
    """

    vendor: Annotated[str, Field(min_length=1, max_length=244)] | None = None
    product: Annotated[str, Field(min_length=1, max_length=244)] | None = None
    registers: tuple[Signature, ...] = ()
    serial: Line | None = None
