"""Modbus: points become the fewest reads, each one request and one answer."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import ClassVar, cast

from drivers.base import BusSetup, Memory, PolledDriver, Read, Sink, points_of
from drivers.errors import DeviceError, ExceptionAnswer, NotWritable, SetupError
from drivers.modbus.answers import Answers
from drivers.modbus.bus import BusOptions, TcpBus
from drivers.modbus.elsewhere import RATES, answered, units
from drivers.modbus.encode import MASK_WRITE, encode
from drivers.modbus.identity import Identity
from drivers.modbus.monitor import ModbusMonitor
from drivers.modbus.options import DeviceOptions
from drivers.modbus.pdu import Request
from drivers.modbus.point import PointOptions
from drivers.modbus.problems import problems_of
from drivers.modbus.reads import Reads, where_of
from drivers.modbus.replay import Replay
from drivers.modbus.transport import client
from drivers.modbus.vector import RegisterVector
from drivers.modbus.write import write_of
from drivers.numbers import Scaling
from drivers.port import SerialBus
from drivers.signs import Elsewhere, Signs
from drivers.tap import Monitor
from ext import EXCEPTION, Value


class ModbusDriver(PolledDriver):
    """One bus and the units that answer on it."""

    BusOptions = BusOptions
    DeviceOptions = DeviceOptions
    PointOptions = PointOptions
    VectorOptions = RegisterVector
    IdentifyOptions = Identity
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        line = not isinstance(setup.options, TcpBus)
        problems = [problem for device in setup.devices for problem in problems_of(device, line=line)]
        if problems:
            raise SetupError(problems)
        self._client = client(setup.options, self.tap)
        self._devices = {device.device.id: cast("DeviceOptions", device.options) for device in setup.devices}
        self._points = {
            point.point.id: (device.device.id, where_of(point), Scaling.of(point.point))
            for device, point in points_of(setup)
        }
        self._reads = Reads(setup.devices)
        self._answers = Answers(setup.devices)

    def reads(self) -> Sequence[Read]:
        """The reads that stand now: as planned, with those replaced that a device refused."""
        return self._reads.all

    def remember(self, memory: Memory) -> None:
        """Plan with what earlier lives learned, and keep what this one learns."""
        self._reads.remember(memory)

    def forget(self, device: str) -> None:
        """Ask again for all that `device` refuses."""
        self._reads.forget(device)

    async def open(self) -> None:
        """Open the bus anew; raises `BusError`."""
        await self._client.open()

    async def close(self) -> None:
        """Close the bus."""
        await self._client.close()

    async def read(self, read: Read) -> bytes:
        """Ask and wait for the answer, at most the bus's timeout; raises `DeviceError` or `BusError`."""
        request = cast("Request", read.request)
        options = self._devices[read.device]
        return await self._client.ask(request, room=options.room(request), rest_ms=options.turnaround)

    def signs(self) -> Signs:
        """Whether the line has an echo, and whose answers more follows."""
        followed = {name: self._client.followed(options.address) for name, options in self._devices.items()}
        return Signs(self._client.echo, followed)

    def elsewhere(self, device: str, *, alone: bool) -> Iterator[Elsewhere]:
        """The other rates where nothing on a serial line answers, then, of one device, the other addresses."""
        probe = self.probe(device)
        if probe is None:
            return
        request, line = cast("Request", probe.request), self.setup.options
        if alone and isinstance(line, SerialBus):
            for baud in RATES:
                if baud != line.baud:
                    yield Elsewhere("baud", baud, partial(self._at, baud, request))
        if alone and len(self._devices) > 1:
            return  # they do not all have wrong addresses
        for unit in units(request.unit, {options.address for options in self._devices.values()}):
            yield Elsewhere("address", unit, partial(answered, self._client.ask, replace(request, unit=unit)))

    async def _at(self, baud: int, request: Request) -> None:
        await self._client.set_baud(baud)
        try:
            await answered(self._client.ask, request)
        finally:
            await self._client.set_baud(cast("SerialBus", self.setup.options).baud)

    def cost(self, read: Read) -> float:
        """How long `read` occupies the bus when it is answered at once, in ms."""
        return self._client.cost(cast("Request", read.request)) + self._devices[read.device].turnaround

    def patience(self, read: Read) -> float:
        """How long `read` occupies the bus when nothing answers, in ms."""
        return self._client.patience(cast("Request", read.request))

    def not_before(self, read: Read) -> int:
        """Boot ms before which `read` must not be asked: a late answer to another could be taken for its own."""
        if not self._client.waits:
            return 0
        request = cast("Request", read.request)
        wait_s = self._client.wait_s(request, self._devices[read.device].room(request))
        return 0 if wait_s <= 0 else ceil(1000 * (time.clock_gettime(time.CLOCK_BOOTTIME) + wait_s))

    async def ask(self, read: Read, sink: Sink) -> None:
        """Give `sink` what answers `read`; what the device is known to refuse is said to be so without asking."""
        if self._reads.spared(read):
            sink.values(read.device, [(name, None, EXCEPTION) for name in read.names])
            return
        try:
            data = await self.read(read)
        except DeviceError as error:
            self._reads.failed(read, error)
            raise
        self._reads.answered(read)
        self.give(read, data, sink)
        if (again := self._reads.unproved(read)) is not None:
            await self._prove(again)

    async def _prove(self, read: Read) -> None:
        """See whether a refusal was for good; what else goes wrong shows at the next read."""
        try:
            await self.read(read)
        except DeviceError as error:
            self._reads.prove(read, refused=isinstance(error, ExceptionAnswer))
        else:
            self._reads.prove(read, refused=False)

    def give(self, read: Read, data: bytes, sink: Sink) -> None:
        """Give `sink` all that the answer to `read` says."""
        self._answers.give(read, data, sink)

    async def write(self, point: str, value: Value) -> None:
        """Write `value`, and see that the answer repeats it; what the device says afterwards is for a read to tell.

        Raises `NotWritable` before anything is sent, else as `ask` does.
        """
        if point not in self._points:
            raise NotWritable(f"{point}: there is no such point on this bus")
        device, where, scaling = self._points[point]
        options = self._devices[device]
        exponent = self._answers.exponent(device, where)
        writing = encode(where, scaling, value, exponent=exponent, multiple=options.write_multiple)
        if writing.function == MASK_WRITE and not options.mask_write:
            raise NotWritable(
                f"{point} is a part of a register: without function 22 (mask_write = true) its other bits could be lost"
            )
        await self._client.ask(write_of(options.address, writing), rest_ms=options.turnaround)

    def narrower(self, read: Read, error: DeviceError) -> Sequence[Read]:
        """After an illegal address or value in a merged read: the parts that take its place; else nothing."""
        return self._reads.narrower(read, error)

    def monitor(self) -> Monitor:
        """One that says what each frame is."""
        return ModbusMonitor(cast("BusOptions", self.setup.options).transport)

    def recording(self, pieces: Sequence[tuple[bool, bytes]]) -> str:
        """Requests and answers."""
        return "".join(f"{'>' if sent else '<'} {data.hex(' ')}\n" for sent, data in pieces)

    def replay(self, recording: str, sink: Sink) -> None:
        """Decode recorded frames; a request that is not one of the reads is a stranger, one left unanswered failed."""
        options = cast("BusOptions", self.setup.options)
        Replay(options.transport, self._reads.all, self._answers, sink).run(recording)
