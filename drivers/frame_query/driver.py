"""Asks on a serial port; the frame that answers goes to the kernels as it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, cast

from config.units import MINUTE
from drivers.base import BusSetup, DeviceSetup, Options, PolledDriver, Read, Sink
from drivers.decoding import steps
from drivers.errors import BadAnswer, SetupError
from drivers.frame.driver import Framed, Problems, hex_lines
from drivers.frame.framing import Damage, Framer
from drivers.frame.options import FramePoint
from drivers.frame_query.options import FrameQueryBus, FrameQueryDevice
from drivers.on_port import PortDriver, Turns

DEFAULT_EVERY = MINUTE  # ms, where the configuration does not say


class _Device(Framed):
    """One device: its question, and its points by what the agent asks for at once."""

    def __init__(self, setup: DeviceSetup, problems: Problems) -> None:
        super().__init__(setup, problems)
        options = cast("FrameQueryDevice", setup.options)
        self.send = options.send
        self.usual = options.size or options.max_size // 2
        every = setup.device.every or DEFAULT_EVERY
        self._every = {p.point.id: p.point.every or every for p in setup.points}

    def reads(self) -> Iterator[Read]:
        """A read a period: each gets a frame of its own."""
        for every in sorted(set(self._every.values())):
            points = tuple(point for point in self.read.points if self._every[point[0]] == every)
            yield Read(self.read.device, points, every, every)

    def answer(self, framer: Framer, data: bytes) -> bytes | None:
        """The first frame of this device; raises `BadAnswer` for one that is damaged or too short."""
        return next((cast("bytes", frame) for frame in framer.feed(data) if self._whole(frame)), None)

    def heard(self, framer: Framer, data: bytes, sink: Sink) -> None:
        """Give the sink every frame of this device and all damage."""
        for frame in framer.feed(data):
            try:
                for read in self.reads() if self._whole(frame) else ():
                    sink.scan(read, cast("bytes", frame))
            except BadAnswer as error:
                sink.failed(self.read.device, error)

    def _whole(self, frame: bytes | Damage) -> bool:
        """Whether it is a frame of this device; raises `BadAnswer` for one that is damaged or too short."""
        if isinstance(frame, Damage):
            raise BadAnswer(f"frame: {frame}")
        return self.fits(frame)


class FrameQueryDriver(PortDriver, PolledDriver):
    """Questions in bytes and answers in frames of any binary protocol."""

    BusOptions: ClassVar[type[Options]] = FrameQueryBus
    DeviceOptions: ClassVar[type[Options]] = FrameQueryDevice
    PointOptions: ClassVar[type[Options]] = FramePoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._options = cast("FrameQueryBus", setup.options)
        problems: Problems = []
        self._devices = {device.device.id: _Device(device, problems) for device in setup.devices}
        if problems:
            raise SetupError(problems)
        self._reads = [read for device in self._devices.values() for read in device.reads()]
        self._turns = Turns(self._options.timeout)

    def reads(self) -> list[Read]:
        """One for each device and period."""
        return self._reads

    async def read(self, read: Read) -> bytes:
        """The frame that answers; raises `NoAnswer`, `BadAnswer` or `BusError`."""
        device = self._devices[read.device]
        framer = Framer(device.framing)
        async with self._turns.turn():
            return await self._port.ask(device.send, lambda data: device.answer(framer, data), self._options.timeout)

    def cost(self, read: Read) -> float:
        """Of the question and the frame, or half the longest where its length is not fixed."""
        device = self._devices[read.device]
        return (len(device.send) + device.usual) * self._options.byte_ms

    def patience(self, read: Read) -> float:
        """The question, the time for an answer, and the quiet that follows a late one."""
        return len(self._devices[read.device].send) * self._options.byte_ms + 2 * self._options.timeout

    def replay(self, recording: str, sink: Sink) -> None:
        """Answers of the first device in hex, in pieces, one a line; # begins a comment line."""
        for device in tuple(self._devices.values())[:1]:
            framer = Framer(device.framing)
            for data in hex_lines(recording):
                device.heard(framer, data, sink)

    def capture(self, data: bytes, sink: Sink) -> Iterator[None]:
        """Decode bytes: answers one after the other, a piece a step."""
        for device in self._devices.values():
            framer = Framer(device.framing)
            for piece in steps(data):
                device.heard(framer, piece, sink)
                yield
