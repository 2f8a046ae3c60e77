"""The driver's own keys in bus, device and point tables."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from config.units import DAY, MINUTE, SECOND, duration_between
from drivers.base import Options
from drivers.ble.options import Address, RadioOptions, Service
from ext import Layout

MAX_VALUE = 512  # bytes of an attribute: Core Specification 5.4, Vol 3 Part F, 3.2.9

# To connect, find the services and read takes a sensor about 2 s at 5 mA, some 30 mJ. A CR2032 holds about 2 kJ: every
# 15 minutes takes half of it in a year, every minute would empty it in seven weeks.
BATTERY_EVERY = 15 * MINUTE

DEFAULT_TIMEOUT = 15 * SECOND  # a sensor that advertises every 2 s in a noisy street is reached within 10 s
MAX_TIMEOUT = 30 * SECOND  # one device holds up the others so long, and stays well below what counts as stuck

Timeout = Annotated[int, BeforeValidator(duration_between(SECOND // 10, MAX_TIMEOUT))]
MinEvery = Annotated[int, BeforeValidator(duration_between(0, DAY))]


class GattBus(RadioOptions):
    """`[buses.x]`: an adapter that connects; `timeout` bounds a whole visit to a device."""

    timeout: Timeout = DEFAULT_TIMEOUT


class GattDevice(Options):
    """`[devices.x]`: its address, and what its battery bears."""

    address: Address
    supply: Literal["battery", "mains"] = "battery"
    min_every: MinEvery | None = None

    @property
    def shortest(self) -> int:
        """The shortest period in ms in which it may be visited."""
        if self.min_every is not None:
            return self.min_every
        return BATTERY_EVERY if self.supply == "battery" else 0


class GattPoint(Options):
    """`[devices.x.points.y]`: bytes of a characteristic, little-endian as GATT has them unless `order` says otherwise.

    `notify`: the device says it by itself, and stays connected for it. `optional`: not every such device has it.
    """

    characteristic: Service
    service: Service | None = None
    byte: int = Field(default=0, ge=0, lt=MAX_VALUE)
    type: str = Field(default="uint16", max_length=16)
    order: str = Field(default="DCBA", max_length=8)
    shift: int = Field(default=0, ge=0, lt=64)
    bits: int = Field(default=0, ge=0, le=64)
    notify: bool = False
    optional: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        layout = self.layout()
        if layout.offset + layout.width > MAX_VALUE:
            raise ValueError(f"lies outside the {MAX_VALUE} bytes that a characteristic may have")
        return self

    def layout(self) -> Layout:
        """Where the point lies; raises `ValueError` when type, order, shift and bits do not fit each other."""
        return Layout(self.byte, self.type, self.order, self.shift, self.bits)
