"""Asks the meters of one line and gives what their records say to the points that select them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

from config.units import MINUTE, format_duration
from drivers.base import AskingDriver, BusSetup, DeviceSetup, Options, PointSetup, Read, Sink
from drivers.errors import BadAnswer, DeviceError, SetupError
from drivers.mbus.frames import SELECTED, Damage, Frame, Framer
from drivers.mbus.master import MAX_TELEGRAMS, ONLY_METER, Master, Target
from drivers.mbus.options import MbusBus, MbusDevice, MbusPoint
from drivers.mbus.points import Wanted
from drivers.mbus.telegram import Telegram, about, parse
from drivers.mbus.wire import Tcp, Wire
from drivers.port import Port
from drivers.tap import Tap

DEFAULT_EVERY = 15 * MINUTE  # ms; what a battery meter bears

Problem = tuple[str, str, object]


@dataclass(frozen=True, slots=True)
class _Meter:
    """One device: how it is found, and its points."""

    id: str
    target: Target
    telegrams: int
    points: dict[str, Wanted]

    def give(self, telegrams: Sequence[Telegram], names: Iterable[str], sink: Sink) -> None:
        """Tell what its points say of a whole read-out."""
        header = about(telegrams[0].header)
        records = [record for telegram in telegrams for record in telegram.records]
        sink.values(self.id, [self.points[name].take(header, records) for name in names])


class MbusDriver(AskingDriver):
    """Meters on a wired M-Bus."""

    BusOptions: ClassVar[type[Options]] = MbusBus
    DeviceOptions: ClassVar[type[Options]] = MbusDevice
    PointOptions: ClassVar[type[Options]] = MbusPoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        problems = [*_shared(setup.devices), *(problem for device in setup.devices for problem in _problems(device))]
        if problems:
            raise SetupError(problems)
        options = cast("MbusBus", setup.options)
        self._wire = wire(options, self.tap)
        self._master = Master(self._wire, options.baud, options.latency_ms)
        self._meters = {device.device.id: _meter(device) for device in setup.devices}
        self._reads = tuple(read for device in setup.devices for read in _plan(device))

    def reads(self) -> Sequence[Read]:
        """One read-out a meter and period."""
        return self._reads

    async def open(self) -> None:
        """Open the port or connect; raises `BusError`."""
        await self._wire.open()

    async def close(self) -> None:
        """Close it."""
        await self._wire.close()

    async def ask(self, read: Read, sink: Sink) -> None:
        """Read the meter out, all its telegrams; raises `DeviceError` or `BusError`."""
        meter = self._meters[read.device]
        telegrams = await self._master.read(meter.target, meter.telegrams)
        meter.give(telegrams, read.values, sink)

    def cost(self, read: Read) -> float:
        """Of one telegram of the usual length, or of as many as the meter is said to have."""
        meter = self._meters[read.device]
        return self._master.usual_ms(meter.target, meter.telegrams if meter.telegrams < MAX_TELEGRAMS else 1)

    def patience(self, read: Read) -> float:
        """All tries to reach the meter."""
        return self._master.longest_ms(self._meters[read.device].target)

    def replay(self, recording: str, sink: Sink) -> None:
        """Bytes in hex, a line as it pleases, requests and answers; # begins a comment line."""
        framer, waiting = Framer(), dict[str, list[Telegram]]()
        for found in (*framer.feed(_bytes(recording)), *framer.end()):
            if isinstance(found, Damage):
                self._damaged(BadAnswer(f"M-Bus: {found}"), sink)
            elif isinstance(found, Frame) and found.answer:
                self._replayed(found, waiting, sink)
        for device in waiting:
            sink.failed(device, BadAnswer("the recording ends before the last telegram"))

    def recording(self, pieces: Sequence[tuple[bool, bytes]]) -> str:
        """In hex; requests say nothing of values."""
        return "".join(data.hex() + "\n" for sent, data in pieces if not sent)

    def _replayed(self, frame: Frame, waiting: dict[str, list[Telegram]], sink: Sink) -> None:
        try:
            telegram = parse(frame.data)
        except DeviceError as error:
            self._damaged(error, sink)
            return
        meter = next((one for one in self._meters.values() if _answers(one.target, frame, telegram)), None)
        if meter is None:
            sink.stranger("an M-Bus meter that no device is")
            return
        telegrams = waiting.setdefault(meter.id, [])
        telegrams.append(telegram)
        if not telegram.more or len(telegrams) == meter.telegrams:
            meter.give(waiting.pop(meter.id), meter.points, sink)

    def _damaged(self, error: DeviceError, sink: Sink) -> None:
        """What cannot be read is the only meter's, or nobody's."""
        if len(self._meters) == 1:
            sink.failed(next(iter(self._meters)), error)
        else:
            sink.stranger("damaged M-Bus telegram")


def wire(options: MbusBus, tap: Tap | None = None) -> Wire:
    """What carries the bytes, not opened; `tap` is told them."""
    if options.transport == "tcp":
        return Tcp(str(options.host), int(options.port), tap)
    return Port(options.serial, tap)


def _answers(target: Target, frame: Frame, telegram: Telegram) -> bool:
    by_address = target.address in (None, ONLY_METER, frame.address) or frame.address == SELECTED
    return by_address and target.matches(telegram.header)


def _bytes(recording: str) -> bytes:
    lines = (line for line in recording.splitlines() if not line.startswith("#"))
    try:
        return bytes.fromhex("".join(lines))
    except ValueError as error:
        raise BadAnswer("the recording is not hex") from error


def _meter(device: DeviceSetup) -> _Meter:
    points = {point.point.id: Wanted.of(point) for point in device.points}
    return _Meter(device.device.id, _options(device).target, _options(device).telegrams, points)


def _plan(device: DeviceSetup) -> Iterator[Read]:
    periods: defaultdict[int, list[str]] = defaultdict(list)
    for point in device.points:
        periods[_every(device, point)].append(point.point.id)
    for every, names in periods.items():
        yield Read(device.device.id, (), _options(device).target, every, tuple(names))


def _every(device: DeviceSetup, point: PointSetup) -> int:
    return point.point.every or device.device.every or max(DEFAULT_EVERY, _options(device).shortest)


def _shared(devices: Sequence[DeviceSetup]) -> Iterator[Problem]:
    """Meters that would answer to the same address."""
    seen: dict[Target, str] = {}
    for device in devices:
        options = _options(device)
        where = Target(options.address) if options.address is not None else options.target
        if where in seen:
            key = "address" if options.address is not None else "secondary"
            value = options.address if options.address is not None else options.secondary
            yield f"devices.{device.device.id}.{key}", f"is that of {seen[where]} too", value
        seen.setdefault(where, device.device.id)


def _problems(device: DeviceSetup) -> Iterator[Problem]:
    """Periods that are too short for the meter, and units that its records cannot be had in."""
    path, shortest = f"devices.{device.device.id}", _options(device).shortest
    if device.device.every and device.device.every < shortest:
        yield f"{path}.every", _too_often(shortest), format_duration(device.device.every)
    for setup in device.points:
        point, units = setup.point, cast("MbusPoint", setup.options).units()
        if point.every and point.every < shortest:
            yield f"{path}.points.{point.name}.every", _too_often(shortest), format_duration(point.every)
        if units and point.unit not in units:
            yield f"{path}.points.{point.name}.unit", f"say which: {', '.join(units)}", point.unit


def _too_often(shortest: int) -> str:
    return (
        f"the meter may be read every {format_duration(shortest)} at most, for its battery's sake; "
        'one that is fed otherwise has supply = "mains" or "bus", one that bears more has min_every'
    )


def _options(device: DeviceSetup) -> MbusDevice:
    return cast("MbusDevice", device.options)
