"""Listens on a serial port; each frame goes to the kernels as it is."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, cast

from drivers.base import BusSetup, DeviceSetup, ListeningDriver, Options, Read, Sink
from drivers.decoding import steps
from drivers.errors import BadAnswer, SetupError
from drivers.frame.framing import Damage, Framer
from drivers.frame.options import FrameDevice, FramePoint, Match
from drivers.port import Port, SerialBus

# A device sends a frame in one go: what follows silence within a frame is another. Longer than the latency timer of USB
# adapters (16 ms) and than what a loaded machine adds.
MAX_SILENCE_S = 1.0

Problems = list[tuple[str, str, object]]


class FrameDriver(ListeningDriver):
    """Frames of any binary protocol from a serial port."""

    BusOptions: ClassVar[type[Options]] = SerialBus
    DeviceOptions: ClassVar[type[Options]] = FrameDevice
    PointOptions: ClassVar[type[Options]] = FramePoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        problems: Problems = []
        self._devices = [Framed(device, problems) for device in setup.devices]
        if problems:
            raise SetupError(problems)
        self._port = Port(cast("SerialBus", setup.options), self.tap)

    def reads(self) -> list[Read]:
        """One payload a device: its frame."""
        return [device.read for device in self._devices]

    async def open(self) -> None:
        """Open the port; raises `BusError`."""
        await self._port.open()

    async def close(self) -> None:
        """Close the port."""
        await self._port.close()

    async def listen(self, sink: Sink) -> None:
        """Feed `sink` until cancelled; raises `BusError` when the port is gone."""
        loop = asyncio.get_running_loop()
        framers = self._framers()
        last = loop.time()

        def take(data: bytes) -> None:
            nonlocal last
            now = loop.time()
            if now - last > MAX_SILENCE_S:
                for framer in framers:
                    framer.forget()
            last = now
            self._take(framers, data, sink)

        await self._port.listen(take)

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
