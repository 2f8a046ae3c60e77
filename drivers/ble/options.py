"""The driver's own keys in bus, device and point tables."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from drivers.base import Options
from drivers.ble import formats
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


def _service(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text):
        raise ValueError('must be a service UUID, for example "181a"')
    return formats.short(text)


def _format(text: str) -> str:
    if text not in formats.names():
        raise ValueError(f"no such format; there are: {', '.join(formats.names())}")
    return text


Address = Annotated[str, Field(max_length=17), AfterValidator(_address)]
Header = Annotated[bytes, BeforeValidator(_header)]
Service = Annotated[str, Field(max_length=36), AfterValidator(_service)]
FormatName = Annotated[str, Field(max_length=32), AfterValidator(_format)]


class BleBus(Options):
    """`[buses.x]`: one Bluetooth adapter of this machine."""

    adapter: str = Field(default="hci0", pattern="^hci[0-9]{1,3}$")


class Advertisement(Options):
    """Which data are the device's: company id (Bluetooth SIG) or service UUID, first bytes, length without the two."""

    company: int | None = Field(default=None, ge=0, le=0xFFFF)
    service: Service | None = None
    header: Header = b""
    length: int = Field(gt=0, le=MAX_DATA)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.company is None) == (self.service is None):
            raise ValueError("needs either a company id or a service UUID")
        if len(self.header) > self.length:
            raise ValueError("the header is longer than the length")
        return self

    def claims(self, data: bytes) -> bool:
        """Whether data of this company or service have this format."""
        return len(data) == self.length and data.startswith(self.header)

    def __str__(self) -> str:
        sender = f"service {self.service}" if self.company is None else f"company 0x{self.company:04x}"
        return f"{sender}, header {self.header.hex() or 'none'}"


class BleDevice(Options):
    """`[devices.x]`: the address it advertises with, and what: a fixed layout, or a format that describes itself."""

    address: Address
    advertisement: Advertisement | None = None
    format: FormatName | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.advertisement is None) == (self.format is None):
            raise ValueError("needs either an advertisement of a fixed layout or a format, usually from its profile")
        if self.key_file is not None and self.format is None:
            raise ValueError("a key_file needs a format")
        return self


class BlePoint(Options):
    """`[devices.x.points.y]`: bytes of a fixed layout, a reading of the device's format, or the signal strength."""

    source: Literal["data", "rssi"] = "data"
    reading: str | None = Field(default=None, pattern="^[a-z0-9-]{1,40}$")
    byte: int | None = Field(default=None, ge=0, lt=MAX_DATA)
    type: str = Field(default="uint16", max_length=16)
    order: str = Field(default="", max_length=8)
    shift: int = Field(default=0, ge=0, lt=64)
    bits: int = Field(default=0, ge=0, le=64)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.byte is not None) + (self.reading is not None) + (self.source == "rssi") != 1:
            raise ValueError('needs one of: byte = (its place in the data), reading = (its name), source = "rssi"')
        if self.byte is not None:
            self.layout()
        return self

    def layout(self) -> Layout:
        """Where the point lies; raises `ValueError` when type, order, shift and bits do not fit each other."""
        return Layout(self.byte or 0, self.type, self.order, self.shift, self.bits)
