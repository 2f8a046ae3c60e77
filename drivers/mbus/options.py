"""What a configuration may say to this driver."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from config.units import DAY, MINUTE, SECOND, duration_between
from drivers.base import Options
from drivers.mbus.frames import MAX_PRIMARY
from drivers.mbus.master import MAX_TELEGRAMS, ONLY_METER, Target
from drivers.mbus.records import Record
from drivers.mbus.units import QUANTITIES, UNITS, units_of
from drivers.port import MAX_PATH, SerialBus

BATTERY_EVERY = 15 * MINUTE  # each read-out costs a battery meter some of the ten years that its battery shall last
DEFAULT_LATENCY = 100  # ms; a USB adapter adds 16, a level converter up to 50
DEFAULT_LATENCY_TCP = 1000
MAX_LATENCY = 10 * SECOND
MAX_STORAGE = (1 << 41) - 1  # one bit of the DIF and four of each of ten DIFEs (EN 13757-3:2018, 6.3)
MAX_TARIFF = (1 << 20) - 1
MAX_SUBUNIT = (1 << 10) - 1
MAX_RECORDS = 4096  # of one read-out: 32 telegrams of at most 120 records

_OWN = ("meter-id", "meter-manufacturer", "meter-medium", "meter-version", "meter-access-number", "meter-status")
_OTHERS = ("temperature", "plain-text", *_OWN)
_CODES = re.compile(r"(vif-(fb|fd)?|unit-|manufacturer-)[0-9a-f-]{2,40}|manufacturer")

Latency = Annotated[int, BeforeValidator(duration_between(0, MAX_LATENCY))]
MinEvery = Annotated[int, BeforeValidator(duration_between(0, DAY))]


class MbusBus(Options):
    """`[buses.x]`: a level converter on a serial port, or behind TCP. The line is 8E1 (EN 13757-2)."""

    transport: Literal["serial", "tcp"] = "serial"
    port: (
        Annotated[str, Field(min_length=1, max_length=MAX_PATH, pattern="^[^\x00]+$")]
        | Annotated[int, Field(strict=True, ge=1, le=65535)]
    )
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:%-]{1,253}$")] | None = None
    baud: Literal[300, 600, 1200, 2400, 4800, 9600, 19200, 38400] = 2400
    parity: Literal["none", "even"] = "even"
    latency: Latency | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.transport == "serial" and (not isinstance(self.port, str) or self.host is not None):
            raise ValueError('a serial port has its device file as port and no host; for TCP, transport = "tcp"')
        if self.transport == "tcp" and (not isinstance(self.port, int) or self.host is None):
            raise ValueError("TCP needs a host and, as port, its number")
        return self

    @property
    def serial(self) -> SerialBus:
        """The settings of the serial port."""
        return SerialBus(port=str(self.port), baud=self.baud, parity=self.parity)

    @property
    def latency_ms(self) -> int:
        """What converter and adapter add to the time of an answer."""
        default = DEFAULT_LATENCY if self.transport == "serial" else DEFAULT_LATENCY_TCP
        return default if self.latency is None else self.latency


class MbusDevice(Options):
    """`[devices.x]`: a meter, by primary address or by its number (`secondary`)."""

    address: Annotated[int, Field(strict=True, ge=0, le=ONLY_METER)] | None = None
    secondary: Annotated[str, Field(pattern="^[0-9F]{8}$")] | None = None
    manufacturer: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    version: Annotated[int, Field(strict=True, ge=0, le=255)] | None = None
    medium: Annotated[int, Field(strict=True, ge=0, le=255)] | None = None
    supply: Literal["battery", "mains", "bus"] = "battery"
    min_every: MinEvery | None = None
    telegrams: Annotated[int, Field(strict=True, ge=1, le=MAX_TELEGRAMS)] = MAX_TELEGRAMS
    """How many telegrams are read at most; 1 for a meter that has all that is wanted in its first."""

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.address is None) == (self.secondary is None):
            raise ValueError("give either the primary address, or the meter's number as secondary")
        if self.address is not None and MAX_PRIMARY < self.address < ONLY_METER:
            raise ValueError(f"a primary address is 0 to {MAX_PRIMARY}, or {ONLY_METER} for the only meter on the line")
        return self

    @property
    def target(self) -> Target:
        """The meter as the link layer finds it."""
        return Target(self.address, self.secondary or "FFFFFFFF", self.manufacturer, self.version, self.medium)

    @property
    def shortest(self) -> int:
        """The shortest period in ms in which it may be read."""
        if self.min_every is not None:
            return self.min_every
        return BATTERY_EVERY if self.supply == "battery" else 0


class MbusPoint(Options):
    """`[devices.x.points.y]`: which record, by what it says of itself, or as last resort by its place."""

    quantity: str | None = None
    storage: Annotated[int, Field(strict=True, ge=0, le=MAX_STORAGE)] = 0
    tariff: Annotated[int, Field(strict=True, ge=0, le=MAX_TARIFF)] = 0
    subunit: Annotated[int, Field(strict=True, ge=0, le=MAX_SUBUNIT)] = 0
    function: Literal["instantaneous", "maximum", "minimum", "error"] = "instantaneous"
    modifier: Annotated[str, Field(max_length=200)] = ""
    nth: Annotated[int, Field(strict=True, ge=1, le=MAX_RECORDS)] | None = None
    index: Annotated[int, Field(strict=True, ge=0, lt=MAX_RECORDS)] | None = None

    @field_validator("quantity")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in (*QUANTITIES, *_OTHERS) and not _CODES.fullmatch(value):
            raise ValueError(f"no such quantity; there are: {', '.join(sorted((*QUANTITIES, *_OTHERS)))}")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.quantity is None) == (self.index is None):
            raise ValueError("give the quantity, or as last resort the index of the record, counted from 0")
        return self

    def selects(self, record: Record) -> bool:
        """Whether `record` is what the selectors say, as far as it goes by its function."""
        return (record.quantity, record.storage, record.tariff, record.subunit, record.modifier) == (
            self.quantity, self.storage, self.tariff, self.subunit, self.modifier
        )  # fmt: skip

    def units(self) -> tuple[str, ...]:
        """The units that the value can be had in; none when any may be."""
        if self.quantity is None or self.quantity.startswith(("vif-", "unit-", "manufacturer", "plain-text")):
            return ()
        bases = {"Cel"} if self.quantity == "temperature" else units_of(self.quantity) - {""}
        return tuple(unit for unit, (base, _, _) in UNITS.items() if base in bases)
