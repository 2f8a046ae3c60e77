"""Asks on a serial port, in one or several steps, and gives the fields of the answers to the points that want them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

from config.units import MINUTE
from drivers.base import AskingDriver, BusSetup, DeviceSetup, Options, Read, Sink
from drivers.errors import BadAnswer, NoAnswer, SetupError
from drivers.line.driver import recorded
from drivers.line.fields import LinePoint, Problems, Wanted, present, wanted
from drivers.line.formats import Fields, Format, first
from drivers.line.framing import Damage, Framer, Framing
from drivers.on_port import PortDriver, Turns
from drivers.query.options import MAX_WAIT, QueryBus, QueryDevice, Step

MAX_ASK_S = 50  # for all steps: a bus that makes no progress for a minute counts as stuck
USUAL_ANSWER = 32  # bytes: a line with a handful of numbers
DEFAULT_EVERY = MINUTE  # ms, where the configuration does not say: sensors that are woken up live on batteries


@dataclass(frozen=True, slots=True)
class _Step:
    """A step for the device at its address."""

    send: bytes
    formats: tuple[Format, ...]
    framing: Framing
    wait_ms: int
    wait_field: str
    until: str

    @classmethod
    def of(cls, step: Step, device: QueryDevice) -> "_Step":
        send = step.send.replace("{address}", device.address).encode(device.encoding)
        framing = device.framing(step.checksum, step.checksum_mark)
        until = step.until.replace("{address}", device.address)
        return cls(send, step.formats(device.address), framing, step.wait, step.wait_field, until)

    def read(self, line: str | Damage) -> Fields:
        """The fields of an answer; raises `BadAnswer`."""
        fields = None if isinstance(line, Damage) else first(self.formats, line)
        if fields is None:
            raise BadAnswer(f"answer: {line if isinstance(line, Damage) else 'of no shape that is known'}")
        return fields

    def ends_wait(self, piece: bytes) -> bool:
        """Whether `piece` is the line that ends the wait after this step."""
        return bool(self.until) and piece.strip(self.framing.ends) == self.until.encode(self.framing.encoding)

    def wait(self, fields: Fields) -> int:
        """How long to wait before the next step, in ms; raises `BadAnswer`."""
        if not self.wait_field:
            return self.wait_ms
        text = fields.get(self.wait_field, "")
        if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) * 1000 <= MAX_WAIT):
            raise BadAnswer(f"answer: a wait that is none, or over {MAX_WAIT // 1000} s")
        return int(text) * 1000


class _Device:
    """One device: its steps, and its points by what the agent asks for at once."""

    def __init__(self, setup: DeviceSetup, problems: Problems) -> None:
        options = cast("QueryDevice", setup.options)
        self.id = setup.device.id
        self.steps = tuple(_Step.of(step, options) for step in options.ask)
        self._points = wanted(setup, tuple(one for step in self.steps for one in step.formats), problems)
        every = setup.device.every or DEFAULT_EVERY
        self._every = {p.point.id: p.point.every or every for p in setup.points}
        if not all(step.send for step in self.steps):
            problems.append((f"devices.{self.id}.ask", "sends nothing", None))

    def reads(self) -> Iterator[Read]:
        """A read a period: all its steps are gone through each time."""
        for every in sorted(set(self._every.values())):
            names = tuple(point.id for point in self._points if self._every[point.id] == every)
            yield Read(self.id, (), every, every, names)

    def points(self, read: Read) -> tuple[Wanted, ...]:
        """Those of a read."""
        return tuple(point for point in self._points if point.id in read.values)


class QueryDriver(PortDriver, AskingDriver):
    """Questions and answers in lines of any ASCII protocol."""

    BusOptions: ClassVar[type[Options]] = QueryBus
    DeviceOptions: ClassVar[type[Options]] = QueryDevice
    PointOptions: ClassVar[type[Options]] = LinePoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._options = cast("QueryBus", setup.options)
        problems: Problems = []
        self._devices = {device.device.id: _Device(device, problems) for device in setup.devices}
        if problems:
            raise SetupError(problems)
        self._reads = [read for device in self._devices.values() for read in device.reads()]
        self._turns = Turns(self._options.timeout)

    def reads(self) -> list[Read]:
        """One for each device and period."""
        return self._reads

    async def ask(self, read: Read, sink: Sink) -> None:
        """Go through the steps; raises `NoAnswer`, `BadAnswer` or `BusError`."""
        device = self._devices[read.device]
        try:
            async with asyncio.timeout(MAX_ASK_S):
                fields = await self._steps(device)
        except NoAnswer:
            raise
        except TimeoutError:
            raise NoAnswer(f"no end of it within {MAX_ASK_S} s") from None
        sink.values(device.id, present(device.points(read), fields))

    def cost(self, read: Read) -> float:
        """Of all steps and the waits between them, with answers of the usual length."""
        steps = self._devices[read.device].steps
        return sum((len(step.send) + USUAL_ANSWER) * self._options.byte_ms + step.wait_ms for step in steps)

    def patience(self, read: Read) -> float:
        """The first step, and the quiet that follows a late answer."""
        first = self._devices[read.device].steps[0]
        return len(first.send) * self._options.byte_ms + 2 * self._options.timeout

    async def _steps(self, device: _Device) -> Fields:
        """The fields of all answers."""
        fields: dict[str, str] = {}
        async with self._turns.turn():
            for step in device.steps:
                answer = step.read(await self._port.ask(step.send, self._receiver(step), self._options.timeout))
                fields.update(answer)
                await self._wait(step, step.wait(answer))
        return fields

    async def _wait(self, step: _Step, wait_ms: int) -> None:
        """Until the time is over or the line has come that ends it."""
        if not step.until or not wait_ms:
            await asyncio.sleep(wait_ms / 1000)
            return
        framer = Framer(step.framing, whole=True)
        try:
            await self._port.ask(b"", lambda data: _one(framer, data, step.until), wait_ms)
        except NoAnswer:
            return  # the time is over

    def _receiver(self, step: _Step) -> "_Receiver":
        return _Receiver(step, echo=self._options.echo)

    def replay(self, recording: str, sink: Sink) -> None:
        """The answers to all steps of the first device in turn, in a line each; 0x begins bytes in hex, # a comment."""
        for read in self._reads[:1]:
            device = self._devices[read.device]
            self._replay(device, recorded(recording, device.steps[0].framing.ends[-1:]), sink)

    def capture(self, data: bytes, sink: Sink) -> Iterator[None]:
        """Decode answers, each to the first step whose shape it has: a device a step."""
        for device in self._devices.values():
            end = device.steps[0].framing.ends[-1:]
            self._replay(device, [line + end for line in data.split(end)], sink)
            yield

    def _replay(self, device: _Device, pieces: list[bytes], sink: Sink) -> None:
        fields: dict[str, str] = {}
        turn = 0
        for piece in pieces:
            line = (
                None if turn and device.steps[turn - 1].ends_wait(piece) else self._receiver(device.steps[turn])(piece)
            )
            if line is None:
                continue
            try:
                fields.update(device.steps[turn].read(line))
            except BadAnswer as error:
                sink.failed(device.id, error)
                fields, turn = {}, 0
                continue
            turn = (turn + 1) % len(device.steps)
            if not turn:
                for read in device.reads():
                    sink.values(device.id, present(device.points(read), fields))
                fields = {}


class _Receiver:
    """Takes what arrives until there is a line, which is the answer; the echo of the question is passed over."""

    def __init__(self, step: _Step, *, echo: bool) -> None:
        self._framer = Framer(step.framing, whole=True)
        self._echo = step.send if echo else b""

    def __call__(self, data: bytes) -> str | Damage | None:
        """The first line, or what was wrong with it; None while there is none."""
        while data and self._echo and data[0] == self._echo[0]:
            data, self._echo = data[1:], self._echo[1:]
        if data:
            self._echo = b""  # nothing, or less, came back
        return next(self._framer.feed(data), None)


def _one(framer: Framer, data: bytes, until: str) -> bool | None:
    return True if until in framer.feed(data) else None
