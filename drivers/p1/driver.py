"""Listens on a P1 port and gives each telegram to the points that want its objects."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from drivers.base import Options, Sink
from drivers.obis import Quantity
from drivers.p1.framing import Framer
from drivers.p1.telegram import EQUIPMENT, READ, Telegram, parse
from drivers.port import MAX_BAUD, SerialBus
from drivers.telegrams import ObisPoint, TelegramDriver, Triple, Wanted, hex_bytes

DEFAULT_BAUD = 115200  # DSMR 5.0.2 P1: 8N1; up to DSMR 3 it was 9600 7E1


class P1Bus(SerialBus):
    """`[buses.x]`: a serial port at the speed of DSMR 4 and later."""

    baud: int = Field(default=DEFAULT_BAUD, gt=0, le=MAX_BAUD)
    checksum: Literal["required", "optional"] = "required"


class P1Point(ObisPoint):
    """`[devices.x.points.y]`: an object by its OBIS code; that of a channel may be `0-n:` with its equipment."""

    equipment: Literal["electricity", "gas", "heat", "warm-water", "water"] | None = None
    read: Literal["number", "time", "text", "plain"] = "number"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.obis.startswith("0-n:") != (self.equipment is not None):
            raise ValueError('equipment = "gas" (or another) belongs to points of a channel 0-n:, and only to them')
        return self


class P1Driver(TelegramDriver[str, P1Point]):
    """P1 telegrams from a serial port."""

    BusOptions: ClassVar[type[Options]] = P1Bus
    PointOptions: ClassVar[type[Options]] = P1Point
    PointKind: ClassVar[type[ObisPoint]] = P1Point
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def framer(self) -> Framer:
        """One that has heard nothing yet."""
        options = self.setup.options
        return Framer(checksum_required=not isinstance(options, P1Bus) or options.checksum == "required")

    def values(self, frame: str, points: tuple[Wanted[P1Point], ...]) -> list[Triple]:
        """Every point; what the telegram lacks has no answer. Raises `BadAnswer`."""
        telegram = parse(frame)
        return [point.judge(_read(telegram, point.options)) for point in points]

    def replay(self, recording: str, sink: Sink) -> None:
        """The lines of telegrams; a line that begins with 0x is bytes in hex; # begins a comment line."""
        framer = self.framer()
        for line in recording.splitlines():
            if line.startswith("0x"):
                self._take(framer, hex_bytes(line), sink)
            elif not line.startswith("#"):
                self._take(framer, line.encode("latin-1", "replace") + b"\r\n", sink)


def _read(telegram: Telegram, options: P1Point) -> Quantity | None:
    found = telegram.find(options.code, EQUIPMENT[options.equipment] if options.equipment else None)
    return None if found is None else READ[options.read](found)
