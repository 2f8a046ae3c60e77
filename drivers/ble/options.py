"""The driver's own keys in bus, device and point tables."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from config.units import DAY, MINUTE, SECOND, duration_between
from drivers.base import Options
from drivers.ble import formats
from ext import Layout

# Core Specification 5.4, Vol 6 Part B, 2.3.4.9: at most 1650 bytes are advertised, the company id included.
MAX_DATA = 1648
MAX_HEADER = 16  # bytes; formats in the field tell themselves apart by one to four
MAX_NAME = 248  # bytes of a device's name: Core Specification 5.4, Vol 3 Part C, 3.2.2

DEFAULT_SILENCE = 2 * MINUTE  # sensors advertise every few seconds, beacons that spare their battery once a minute


def _address(text: str) -> str:
    digits = re.fullmatch(r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", text)
    if digits is None:
        raise ValueError("must be a Bluetooth address, for example C4:11:22:33:44:55")
    return text.replace("-", ":").upper()


def _adapter(text: str) -> str:
    return text if re.fullmatch("hci[0-9]{1,3}", text) else _address(text)


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
AdapterName = Annotated[str, Field(max_length=17), AfterValidator(_adapter)]
Silence = Annotated[int, BeforeValidator(duration_between(SECOND, DAY))]
Header = Annotated[bytes, BeforeValidator(_header)]
Service = Annotated[str, Field(max_length=36), AfterValidator(_service)]
FormatName = Annotated[str, Field(max_length=32), AfterValidator(_format)]


class RadioOptions(Options):
    """Keys of every bus that is a Bluetooth adapter of this machine, by hciN or by its address."""

    adapter: AdapterName = "hci0"
    scan: Literal["auto", "active", "passive"] = "auto"
    silence: Silence = DEFAULT_SILENCE
    """After this long without any advertisement, though there were some, the radio is healed; ms."""
    restart_bluetoothd: bool = False


class BleBus(RadioOptions):
    """`[buses.x]`: an adapter that listens."""


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
    """`[devices.x]`: how it is known, and what it advertises: a fixed layout, or a format that describes itself.

    Without address and name it is known by its key: what that authenticates is the device's. Without layout and format
    only its presence is told.
    """

    address: Address | None = None
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None = None
    advertisement: Advertisement | None = None
    format: FormatName | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.advertisement is not None and self.format is not None:
            raise ValueError("needs either an advertisement of a fixed layout or a format, not both")
        if self.key_file is not None and self.format is None:
            raise ValueError("a key_file needs a format")
        if self.address is not None and self.name is not None:
            raise ValueError("give its address or its name, not both")
        if self.address is None and self.name is None and self.key_file is None:
            raise ValueError("needs an address, a name, or a key_file that tells it from others")
        return self


class BlePoint(Options):
    """`[devices.x.points.y]`: bytes of a fixed layout, a reading of the format, RSSI, or when it was heard."""

    source: Literal["data", "rssi", "last-seen"] = "data"
    reading: str | None = Field(default=None, pattern="^[a-z0-9-]{1,40}$")
    byte: int | None = Field(default=None, ge=0, lt=MAX_DATA)
    type: str = Field(default="uint16", max_length=16)
    order: str = Field(default="", max_length=8)
    shift: int = Field(default=0, ge=0, lt=64)
    bits: int = Field(default=0, ge=0, le=64)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.byte is not None) + (self.reading is not None) + (self.source != "data") != 1:
            raise ValueError(
                'needs one of: byte = (its place in the data), reading = (its name), source = "rssi" or "last-seen"'
            )
        if self.byte is not None:
            self.layout()
        return self

    def layout(self) -> Layout:
        """Where the point lies; raises `ValueError` when type, order, shift and bits do not fit each other."""
        return Layout(self.byte or 0, self.type, self.order, self.shift, self.bits)
