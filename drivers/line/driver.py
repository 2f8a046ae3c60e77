"""Listens on a serial port and gives the fields of each line to the points that want them."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, cast

from drivers.base import BusSetup, DeviceSetup, ListeningDriver, Options, Read, Sink
from drivers.decoding import steps
from drivers.errors import BadAnswer, SetupError
from drivers.line.fields import LinePoint, Problems, taken, wanted
from drivers.line.formats import first
from drivers.line.framing import Damage, Framer, Framing
from drivers.line.options import LineDevice
from drivers.on_port import PortDriver, in_one_go


class LineDriver(PortDriver, ListeningDriver):
    """Lines of any ASCII protocol from a serial port."""

    DeviceOptions: ClassVar[type[Options]] = LineDevice
    PointOptions: ClassVar[type[Options]] = LinePoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        problems: Problems = []
        self._devices = [_Listener(device, problems) for device in setup.devices]
        if problems:
            raise SetupError(problems)

    def reads(self) -> list[Read]:
        """None: lines have no fixed layout."""
        return []

    async def listen(self, sink: Sink) -> None:
        """Feed `sink` until cancelled; raises `BusError` when the port is gone."""
        framers = self._framers(whole=False)

        def forget() -> None:
            for framer in framers.values():
                framer.forget_line()

        await self._port.listen(in_one_go(lambda data: self._take(framers, data, sink), forget))

    def replay(self, recording: str, sink: Sink) -> None:
        """A line a line; one that begins with 0x is bytes in hex, taken as they are; # begins a comment line."""
        framers = self._framers(whole=True)
        for data in recorded(recording, self._end):
            self._take(framers, data, sink)

    def capture(self, data: bytes, sink: Sink) -> Iterator[None]:
        """Decode bytes that begin and end with a line, a piece a step."""
        framers = self._framers(whole=True)
        for piece in steps(data + self._end):
            self._take(framers, piece, sink)
            yield

    @property
    def _end(self) -> bytes:
        return self._devices[0].framing.ends[-1:] if self._devices else b""

    def _framers(self, *, whole: bool) -> dict[Framing, Framer]:
        return {device.framing: Framer(device.framing, whole=whole) for device in self._devices}

    def _take(self, framers: dict[Framing, Framer], data: bytes, sink: Sink) -> None:
        for framing, framer in framers.items():
            devices = [device for device in self._devices if device.framing == framing]
            for line in framer.feed(data):
                if isinstance(line, Damage):
                    self._lost(f"line: {line}", sink)
                elif not [True for device in devices if device.take(line, sink)]:
                    self._lost("line: of no shape that is known", sink)

    def _lost(self, what: str, sink: Sink) -> None:
        """What cannot be used is the only device's, or nobody's."""
        if len(self._devices) == 1:
            sink.failed(self._devices[0].device, BadAnswer(what))
        else:
            sink.stranger(what)


class _Listener:
    """One device: how its lines look, and its points."""

    def __init__(self, setup: DeviceSetup, problems: Problems) -> None:
        options = cast("LineDevice", setup.options)
        self.device = setup.device.id
        self.framing = options.framing(options.checksum, options.checksum_mark)
        self._formats = options.formats(options.address)
        self._strict = options.others == "error"
        self._points = wanted(setup, self._formats, problems)

    def take(self, line: str, sink: Sink) -> bool:
        """Give the sink what the points want of `line`; False when it is no line of this device."""
        fields = first(self._formats, line)
        if fields is None:
            return not self._strict
        values = taken(self._points, fields)
        if values:
            sink.values(self.device, values)
        return True


def recorded(recording: str, end: bytes) -> list[bytes]:
    """The bytes of a recording, a piece a line; raises `BadAnswer`."""
    pieces = []
    for line in recording.splitlines():
        if line.startswith("0x"):
            try:
                pieces.append(bytes.fromhex(line[2:]))
            except ValueError as error:
                raise BadAnswer("a line that begins with 0x is not hex") from error
        elif line and not line.startswith("#"):
            pieces.append(line.encode("latin-1", "replace") + end)
    return pieces
