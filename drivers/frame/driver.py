"""Listens on a serial port; each frame goes to the kernels as it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, cast

from drivers.base import BusSetup, DeviceSetup, ListeningDriver, Options, Read, Sink
from drivers.decoding import steps
from drivers.errors import BadAnswer, SetupError
from drivers.frame.framing import Damage, Framer
from drivers.frame.options import FrameDevice, FramePoint, Match
from drivers.on_port import PortDriver, in_one_go

Problems = list[tuple[str, str, object]]


class FrameDriver(PortDriver, ListeningDriver):
    """Frames of any binary protocol from a serial port."""

    DeviceOptions: ClassVar[type[Options]] = FrameDevice
    PointOptions: ClassVar[type[Options]] = FramePoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        problems: Problems = []
        self._devices = [Framed(device, problems) for device in setup.devices]
        if problems:
            raise SetupError(problems)

    def reads(self) -> list[Read]:
        """One payload a device: its frame."""
        return [device.read for device in self._devices]

    async def listen(self, sink: Sink) -> None:
        """Feed `sink` until cancelled; raises `BusError` when the port is gone."""
        framers = self._framers()

        def forget() -> None:
            for framer in framers:
                framer.forget()

        await self._port.listen(in_one_go(lambda data: self._take(framers, data, sink), forget))

    def replay(self, recording: str, sink: Sink) -> None:
        """Bytes in hex, a piece a line; # begins a comment line."""
        framers = self._framers()
        for data in hex_lines(recording):
            self._take(framers, data, sink)

    def capture(self, data: bytes, sink: Sink) -> Iterator[None]:
        """Decode bytes, a piece a step."""
        framers = self._framers()
        for piece in steps(data):
            self._take(framers, piece, sink)
            yield

    def _framers(self) -> list[Framer]:
        return [Framer(device.framing) for device in self._devices]

    def _take(self, framers: list[Framer], data: bytes, sink: Sink) -> None:
        """Damage is the only device's, or nobody's: what is broken may be any device's."""
        alone = len(self._devices) == 1
        for device, framer in zip(self._devices, framers, strict=True):
            for frame in framer.feed(data):
                if not isinstance(frame, Damage):
                    device.take(frame, sink)
                elif alone:
                    sink.failed(device.read.device, BadAnswer(f"frame: {frame}"))
                else:
                    sink.stranger("damaged frame")


class Framed:
    """One device: its framing, and where its points lie."""

    def __init__(self, setup: DeviceSetup, problems: Problems) -> None:
        options = cast("FrameDevice", setup.options)
        self.framing = options.framing()
        self._match = options.match
        points = [(p.point.id, cast("FramePoint", p.options).layout()) for p in setup.points]
        self.read = Read(setup.device.id, tuple(points))
        self._size = max((layout.offset + layout.width for _, layout in points), default=0)
        if self._size > self.framing.longest:
            path = f"devices.{setup.device.id}.points"
            problems.append((path, f"no frame is longer than {self.framing.longest} bytes", self._size))

    def fits(self, frame: bytes) -> bool:
        """Whether it is a frame of this device; raises `BadAnswer` for one that is too short for the points."""
        if not all(_matches(frame, one) for one in self._match):
            return False
        if len(frame) < self._size:
            raise BadAnswer("frame: too short for its points")
        return True

    def take(self, frame: bytes, sink: Sink) -> None:
        """Give the sink a frame of this device; others are passed over."""
        try:
            if self.fits(frame):
                sink.scan(self.read, frame)
        except BadAnswer as error:
            sink.failed(self.read.device, error)


def hex_lines(recording: str) -> Iterator[bytes]:
    """The bytes of each line of a recording; raises `BadAnswer`."""
    for line in recording.splitlines():
        if line and not line.startswith("#"):
            try:
                yield bytes.fromhex(line)
            except ValueError as error:
                raise BadAnswer("a line is not hex") from error


def _matches(frame: bytes, match: Match) -> bool:
    return frame[match.at : match.at + len(match.bytes)] == match.bytes
