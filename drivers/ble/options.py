"""The driver's own keys in bus, device and point tables."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from drivers.base import Options
from ext import Layout

# Core Specification 5.4, Vol 6 Part B, 2.3.4.9: at most 1650 bytes are advertised, the company id included.
MAX_DATA = 1648
MAX_HEADER = 16  # bytes; formats in the field tell themselves apart by one to four


def _address(text: str) -> str:
    digits = re.fullmatch(r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", text)
    if digits is None:
        raise ValueError("must be a Bluetooth address, for example C4:11:22:33:44:55")
    return text.replace("-", ":").upper()


def _header(text: object) -> bytes:
    if not isinstance(text, str) or not re.fullmatch(rf"(?:[0-9A-Fa-f]{{2}}){{0,{MAX_HEADER}}}", text):
        raise ValueError(f'must be at most {MAX_HEADER} bytes in hex, for example "05"')
    return bytes.fromhex(text)


Address = Annotated[str, Field(max_length=17), AfterValidator(_address)]
Header = Annotated[bytes, BeforeValidator(_header)]


class BleBus(Options):
    """`[buses.x]`: one Bluetooth adapter of this machine."""

    adapter: str = Field(default="hci0", pattern="^hci[0-9]{1,3}$")


class Advertisement(Options):
    """Which manufacturer data are the device's: company id (Bluetooth SIG), first bytes, and length without the id."""

    company: int = Field(ge=0, le=0xFFFF)
    header: Header = b""
    length: int = Field(gt=0, le=MAX_DATA)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.header) > self.length:
            raise ValueError("the header is longer than the length")
        return self

    def claims(self, data: bytes) -> bool:
        """Whether manufacturer data of this company have this format."""
        return len(data) == self.length and data.startswith(self.header)


class BleDevice(Options):
    """`[devices.x]`: the address it advertises with, and what it advertises (usually from its profile)."""

    address: Address
    advertisement: Advertisement


class BlePoint(Options):
    """`[devices.x.points.y]`: bytes of the manufacturer data, or the signal strength."""

    source: Literal["data", "rssi"] = "data"
    byte: int | None = Field(default=None, ge=0, lt=MAX_DATA)
    type: str = Field(default="uint16", max_length=16)
    order: str = Field(default="", max_length=8)
    shift: int = Field(default=0, ge=0, lt=64)
    bits: int = Field(default=0, ge=0, le=64)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.source == "data") != (self.byte is not None):
            raise ValueError('needs either byte = (its place in the data) or source = "rssi"')
        if self.byte is not None:
            self.layout()
        return self

    def layout(self) -> Layout:
        """Where the point lies; raises `ValueError` when type, order, shift and bits do not fit each other."""
        return Layout(self.byte or 0, self.type, self.order, self.shift, self.bits)
