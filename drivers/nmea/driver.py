"""Listens on a serial port and gives each sentence to the points that want its fields."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self, cast

from pydantic import Field as Bounds
from pydantic import model_validator

from drivers.base import BusSetup, DeviceSetup, ListeningDriver, Options, PointSetup, Read, Sink
from drivers.errors import BadAnswer, SetupError
from drivers.nmea.fixtime import FixTime
from drivers.nmea.framing import Damage, Framer, Sentence
from drivers.nmea.sentences import (
    FIELDS,
    SPEED_UNITS,
    XDR_UNITS,
    Field,
    read,
    repeats,
    transducer,
    transducers,
)
from drivers.numbers import Scaling
from drivers.on_port import PortDriver
from drivers.port import MAX_BAUD, SerialBus
from ext import Value

DEFAULT_BAUD = 4800  # IEC 61162-1, clause 6


class NmeaBus(SerialBus):
    """`[buses.x]`: a serial port, 8 data bits, no parity, 1 stop bit as IEC 61162-1, clause 6 has it."""

    baud: int = Bounds(default=DEFAULT_BAUD, gt=0, le=MAX_BAUD)
    checksum: Literal["required", "optional"] = "required"
    clock: bool = False
    """Whether the receiver's time may date samples."""

    @model_validator(mode="after")
    def _sure(self) -> Self:
        if self.clock and self.checksum == "optional":
            raise ValueError("clock = true needs sentences with checksums: a flipped bit must not become the time")
        return self


class NmeaDevice(Options):
    """`[devices.x]`: all talkers on the port, or one."""

    talker: str | None = Bounds(default=None, pattern="^[A-Z0-9]{2}$")


class NmeaPoint(Options):
    """`[devices.x.points.y]`: a field of a sentence, by name; MWV needs the reference too, XDR has transducers."""

    sentence: Literal["GGA", "GLL", "GNS", "RMC", "GSA", "GSV", "VTG", "ZDA", "MWV", "MWD", "MDA", "XDR"]
    field: str = ""
    reference: Literal["R", "T"] | None = None
    transducer: str = Bounds(default="", max_length=32, pattern="^([A-Z]/[!-~]*)?$")
    """XDR: type and name of the transducer, such as "C/0"."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.sentence == "XDR") != bool(self.transducer):
            raise ValueError("transducer belongs to XDR points, and only to them")
        if self.sentence == "XDR":
            if self.field or self.reference is not None:
                raise ValueError("XDR points have a transducer, no field and no reference")
            return self
        known = FIELDS[self.sentence]
        if not self.field:
            raise ValueError(f"say which field of {self.sentence}; there are: {', '.join(known)}")
        if self.field not in known:
            raise ValueError(f"{self.sentence} has no field {self.field[:40]!r}; there are: {', '.join(known)}")
        if (self.sentence == "MWV") != (self.reference is not None):
            raise ValueError('reference = "R" (relative) or "T" (true) belongs to MWV points, and only to them')
        return self


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One point that a sentence feeds."""

    id: str
    field: Field | None
    """None for a transducer of XDR, which stands anywhere."""
    letters: str
    reference: str | None
    transducer: str
    scaling: Scaling

    def take(self, sentence: Sentence) -> tuple[str, Value, int] | None:
        """What the sentence says of it; None when it does not speak of it."""
        field = self.field
        if field is None:
            at = transducers(sentence).get(self.transducer)
            if at is None:
                return None
            field = transducer(at, self.letters)
        return self.id, *self.scaling.apply(*read(sentence, field, self.letters))


@dataclass(frozen=True, slots=True)
class _Listener:
    """One device: which talker it is, and its points by sentence."""

    device: str
    talker: str | None
    wanted: dict[str, tuple[_Wanted, ...]]

    def take(self, sentence: Sentence, sink: Sink) -> bool:
        """Give the sink what its points want of `sentence`; False when it is another talker's."""
        if self.talker not in (None, sentence.talker):
            return False
        reference = sentence.fields[1] if sentence.formatter == "MWV" and len(sentence.fields) > 1 else None
        points = (p for p in self.wanted.get(sentence.formatter, ()) if p.reference == reference)
        found = [] if repeats(sentence) else [point.take(sentence) for point in points]
        values = [value for value in found if value is not None]
        if values:
            sink.values(self.device, values)
        return True


class NmeaDriver(PortDriver, ListeningDriver):
    """NMEA 0183 sentences from a serial port."""

    BusOptions: ClassVar[type[Options]] = NmeaBus
    DeviceOptions: ClassVar[type[Options]] = NmeaDevice
    PointOptions: ClassVar[type[Options]] = NmeaPoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._options = cast("NmeaBus", setup.options)
        self._listeners = _listeners(setup)
        self._receiver = FixTime(self._options.byte_ms)

    def reads(self) -> list[Read]:
        """None: sentences have no fixed layout."""
        return []

    async def listen(self, sink: Sink) -> None:
        """Feed `sink` until cancelled; raises `BusError` when the port is gone."""
        framer = self._framer()
        await self._port.listen(lambda data: self._take(framer, data, sink, live=True))

    def replay(self, recording: str, sink: Sink) -> None:
        """A sentence a line; a line that begins with 0x is bytes in hex, taken as they are; # begins a comment line."""
        framer = self._framer()
        for line in recording.splitlines():
            if line.startswith("0x"):
                try:
                    self._take(framer, bytes.fromhex(line[2:]), sink)
                except ValueError as error:
                    raise BadAnswer("a line that begins with 0x is not hex") from error
            elif line and not line.startswith("#"):
                self._take(framer, line.encode("latin-1", "replace") + b"\r\n", sink)

    def _framer(self) -> Framer:
        return Framer(checksum_required=self._options.checksum == "required")

    def _take(self, framer: Framer, data: bytes, sink: Sink, *, live: bool = False) -> None:
        for found in framer.feed(data):
            if isinstance(found, Damage):
                self._damaged(found, sink)
                continue
            if live and self._options.clock and (told := self._receiver.take(found)) is not None:
                sink.time(*told)
            if not [True for listener in self._listeners if listener.take(found, sink)]:
                sink.stranger("NMEA sentence of another talker")

    def _damaged(self, damage: Damage, sink: Sink) -> None:
        """A broken sentence is the only device's, or nobody's: its talker cannot be believed."""
        if len(self._listeners) == 1:
            sink.failed(self._listeners[0].device, BadAnswer(f"NMEA sentence: {damage}"))
        else:
            sink.stranger("damaged NMEA sentence")


def _listeners(setup: BusSetup) -> tuple[_Listener, ...]:
    problems: list[tuple[str, str, object]] = []
    listeners = tuple(_listener(device, problems) for device in setup.devices)
    if problems:
        raise SetupError(problems)
    return listeners


def _listener(device: DeviceSetup, problems: list[tuple[str, str, object]]) -> _Listener:
    wanted: defaultdict[str, list[_Wanted]] = defaultdict(list)
    for point in device.points:
        options = cast("NmeaPoint", point.options)
        path = f"devices.{device.device.id}.points.{point.point.name}.unit"
        wanted[options.sentence].append(_wanted(point, options, path, problems))
    return _Listener(
        device.device.id,
        cast("NmeaDevice", device.options).talker,
        {key: tuple(points) for key, points in wanted.items()},
    )


def _wanted(setup: PointSetup, options: NmeaPoint, path: str, problems: list[tuple[str, str, object]]) -> _Wanted:
    point, letters = setup.point, ""
    if (options.sentence, options.field) == ("MWV", "speed"):
        letters = SPEED_UNITS.get(point.unit, "")
        if not letters:
            units = ", ".join(SPEED_UNITS)
            problems.append((path, f"MWV speed comes in the sensor's unit; say which: {units}", point.unit))
    field = None
    if options.sentence == "XDR":
        letters = XDR_UNITS.get(point.unit, "")
    else:
        field = FIELDS[options.sentence][options.field]
    return _Wanted(point.id, field, letters, options.reference, options.transducer, Scaling.of(point))
