"""Listens on a serial port and gives each SML file to the points that want its entries."""

from pathlib import Path
from typing import ClassVar, Literal

from drivers.base import Options, Sink
from drivers.obis import FAULT, WRONG, Quantity
from drivers.port import SerialBus
from drivers.sml.framing import Framer
from drivers.sml.messages import Entry, parse
from drivers.telegrams import ObisPoint, TelegramDriver, Triple, Wanted, hex_bytes, only
from ext import GOOD


class SmlBus(SerialBus):
    """`[buses.x]`: a serial port, 9600 baud 8N1 (FNN Lastenheft EDL, optical interface)."""


class SmlPoint(ObisPoint):
    """`[devices.x.points.y]`: an entry by its OBIS code, and which part of it."""

    read: Literal["value", "status", "text"] = "value"


class SmlDriver(TelegramDriver[bytes, SmlPoint]):
    """SML files from a serial port."""

    BusOptions: ClassVar[type[Options]] = SmlBus
    PointOptions: ClassVar[type[Options]] = SmlPoint
    PointKind: ClassVar[type[ObisPoint]] = SmlPoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def framer(self) -> Framer:
        """One that has heard nothing yet."""
        return Framer()

    def values(self, frame: bytes, points: tuple[Wanted[SmlPoint], ...]) -> list[Triple]:
        """The points that the file has entries for: a meter may say some in every second file only."""
        entries = parse(frame)
        found = ((point, _read(entries, point.options)) for point in points)
        return [point.judge(quantity) for point, quantity in found if quantity is not None]

    def replay(self, recording: str, sink: Sink) -> None:
        """Bytes in hex, in lines of any length; # begins a comment line."""
        framer = self.framer()
        for line in recording.splitlines():
            if line and not line.startswith("#"):
                self._take(framer, hex_bytes(line), sink)


def _read(entries: list[Entry], options: SmlPoint) -> Quantity | None:
    return only([_part(entry, options.read) for entry in entries if entry.code == options.code])


def _part(entry: Entry, read: str) -> Quantity:
    if read == "status":
        return FAULT if entry.status is None else (entry.status, "", GOOD)
    if read == "text":
        octets = entry.octets or b""
        return (octets.decode("ascii"), "", GOOD) if octets and octets.isascii() else WRONG
    return entry.quantity
