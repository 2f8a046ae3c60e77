"""Modbus TCP: points become the fewest reads, each one request and one answer."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, cast

from drivers.base import BusSetup, DeviceSetup, PointSetup, PolledDriver, Read, Sink, points_of
from drivers.errors import BadAnswer, DeviceError, ExceptionAnswer, NoAnswer, SetupError
from drivers.modbus.client import Client
from drivers.modbus.identity import Identity
from drivers.modbus.options import BusOptions, DeviceOptions, PointOptions
from drivers.modbus.pdu import (
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    Frame,
    Request,
    Table,
    parse_frame,
    parse_request,
    payload,
)
from drivers.modbus.planner import Span, divide, extent, plan
from drivers.modbus.recording import lines
from drivers.modbus.vector import RegisterVector

DEFAULT_EVERY = 10_000  # ms, for points that no table gives a period

# What devices answer to a request that holds an address or a count which they do not take (APP 7).
_TOO_WIDE = (ILLEGAL_ADDRESS, ILLEGAL_VALUE)


class ModbusDriver(PolledDriver):
    """One Modbus TCP server and the units that answer through it."""

    BusOptions = BusOptions
    DeviceOptions = DeviceOptions
    PointOptions = PointOptions
    VectorOptions = RegisterVector
    IdentifyOptions = Identity
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        problems = [problem for device in setup.devices for problem in _problems(device)]
        if problems:
            raise SetupError(problems)
        options = cast("BusOptions", setup.options)
        self._client = Client(options.host, options.port, options.timeout, options.connect_timeout)
        self._devices = {device.device.id: device for device in setup.devices}
        self._points = {point.point.id: point for _, point in points_of(setup)}
        self._reads = [read for device in setup.devices for read in self._plan(device)]

    def reads(self) -> Sequence[Read]:
        """The reads that stand now: as planned, with those replaced that a device refused."""
        return tuple(self._reads)

    async def open(self) -> None:
        """Connect to the host; raises `BusError`."""
        await self._client.open()

    async def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    async def read(self, read: Read) -> bytes:
        """Ask once and wait for the answer, at most the bus's timeout; raises `DeviceError` or `BusError`."""
        return await self._client.ask(cast("Request", read.request))

    def narrower(self, read: Read, error: DeviceError) -> Sequence[Read]:
        """After an illegal address or value in a merged read: the parts that take its place; else nothing."""
        if not isinstance(error, ExceptionAnswer) or error.code not in _TOO_WIDE or read not in self._reads:
            return ()
        device, table = self._devices[read.device], cast("Request", read.request).table
        groups = divide([_span(self._points[point]) for point, _ in read.points], _options(device).cap(table))
        if len(groups) == 1:
            return ()
        parts = [self._read(device, table, group, read.every) for group in groups]
        place = self._reads.index(read)
        self._reads[place : place + 1] = parts
        return parts

    def replay(self, recording: str, sink: Sink) -> None:
        """Decode recorded frames; a request that is not one of the reads is a stranger, one left unanswered failed."""
        reads = {read.request: read for read in self._reads}
        waiting: dict[int, tuple[Request, Read]] = {}
        for line in lines(recording):
            try:
                frame = parse_frame(line.data)
            except BadAnswer as error:
                sink.stranger(f"line {line.number}: {error}")
                continue
            if line.asked:
                _note(waiting, frame, reads, sink)
            elif frame.transaction in waiting:
                _answer(*waiting.pop(frame.transaction), frame, sink)
            else:
                sink.stranger(f"line {line.number}: an answer that nobody waits for")
        for _, read in waiting.values():
            sink.failed(read.device, NoAnswer("no answer in the recording"))

    def _plan(self, device: DeviceSetup) -> Iterator[Read]:
        wanted: defaultdict[tuple[int, Table], list[Span]] = defaultdict(list)
        for point in device.points:
            every = point.point.every or device.device.every or DEFAULT_EVERY
            wanted[every, _where(point).table].append(_span(point))
        options = _options(device)
        for (every, table), spans in wanted.items():
            for group in plan(spans, options.cap(table), options.gap(table)):
                yield self._read(device, table, group, every)

    def _read(self, device: DeviceSetup, table: Table, group: Sequence[Span], every: int) -> Read:
        first, count = extent(group)
        points = tuple((span.point, _where(self._points[span.point]).layout(first)) for span in group)
        request = Request(_options(device).address, table, first, count)
        return Read(device.device.id, points, request, every)


def _note(waiting: dict[int, tuple[Request, Read]], frame: Frame, reads: dict[object, Read], sink: Sink) -> None:
    request = parse_request(frame)
    read = reads.get(request)
    if request is None or read is None:
        sink.stranger(f"a request that is not one of ours: unit {frame.unit}, {frame.pdu.hex(' ')}")
    else:
        waiting[frame.transaction] = request, read


def _answer(request: Request, read: Read, frame: Frame, sink: Sink) -> None:
    try:
        data = payload(request, frame.unit, frame.pdu)
    except DeviceError as error:
        sink.failed(read.device, error)
    else:
        sink.scan(read, data)


def _problems(device: DeviceSetup) -> Iterable[tuple[str, str, object]]:
    """What is wrong with the points of a device that no single table shows."""
    options = _options(device)
    for point in device.points:
        where = _where(point)
        path = f"devices.{device.device.id}.points.{point.point.name}"
        if where.beyond:
            yield f"{path}.register", where.beyond, where.address
        elif where.old_notation and not options.high_registers:
            message = f"{where.old_notation}; if it is meant as it stands, the device has high_registers = true"
            yield f"{path}.register", message, where.address
        if where.count > options.cap(where.table):
            message = f"{where.kind} takes {where.count} registers, but max_registers is {options.max_registers}"
            yield f"{path}.type", message, where.kind


def _options(device: DeviceSetup) -> DeviceOptions:
    return cast("DeviceOptions", device.options)


def _where(point: PointSetup) -> PointOptions:
    return cast("PointOptions", point.options)


def _span(point: PointSetup) -> Span:
    where = _where(point)
    return Span(where.address, where.count, point.point.id)
