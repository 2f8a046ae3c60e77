"""What a configuration or profile says of a protocol of questions and answers."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from config.units import SECOND, duration_between
from drivers.line.formats import NAME
from drivers.line.options import Framed, Shape
from drivers.port import SerialBus

MAX_STEPS = 12  # SDI-12: one command to measure, ten to fetch (D0 to D9), one to spare
MIN_TIMEOUT = 10  # ms; one byte at 1200 baud takes 8
MAX_TIMEOUT = 10 * SECOND
MAX_WAIT = 40 * SECOND  # the bus serves nobody else meanwhile, and a minute without progress counts as stuck
MAX_SEND = 256  # bytes; the longest commands of instruments have some tens
DEFAULT_TIMEOUT = SECOND

Timeout = Annotated[int, BeforeValidator(duration_between(MIN_TIMEOUT, MAX_TIMEOUT))]
Wait = Annotated[int, BeforeValidator(duration_between(0, MAX_WAIT))]


class QueryBus(SerialBus):
    """`[buses.x]`: a serial port, and how long an answer may take."""

    timeout: Timeout = DEFAULT_TIMEOUT
    echo: bool = False
    """What is sent comes back before the answer: two wires, or an adapter that shows commands."""


class Step(Shape):
    """One question, how its answer looks, and what to wait for before the next."""

    send: str = Field(min_length=1, max_length=MAX_SEND)
    wait: Wait = 0
    """After the answer."""
    wait_field: str = Field(default="", pattern=f"^({NAME})?$")
    """The field of the answer that says how many seconds to wait."""
    until: str = Field(default="", max_length=32, pattern="^[!-~]*$")
    """The line that ends the wait before its time."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        names = [one.names for one in self.formats()]
        if self.wait_field and not all(found is not None and self.wait_field in found for found in names):
            raise ValueError("wait_field names no field of the answer")
        if self.until and not (self.wait or self.wait_field):
            raise ValueError("until ends a wait: give wait or wait_field too")
        return self


class QueryDevice(Framed):
    """`[devices.x]`: a device that answers, or its profile."""

    address: str = Field(default="", max_length=32, pattern="^[!-~]*$")
    ask: tuple[Step, ...] = Field(min_length=1, max_length=MAX_STEPS)

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if not self.address and any("{address}" in step.send for step in self.ask):
            raise ValueError('its questions name an address: give address, for example address = "0"')
        return self
