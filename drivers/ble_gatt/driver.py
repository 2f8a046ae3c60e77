"""Visits the devices near one adapter, one connection at a time, and gives what their characteristics hold."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from drivers.base import AskingDriver, BusSetup, Options, Read, Sink
from drivers.ble_gatt.options import GattBus, GattDevice, GattPoint
from drivers.ble_gatt.plan import Part, kept, problems, visits
from drivers.errors import BadAnswer, BusError, DeviceError, NotWritable, SetupError
from ext import Layout, Value

if TYPE_CHECKING:
    from drivers.ble.radio import Radio
    from drivers.ble_gatt.peripheral import Peripheral

# address, UUID of the characteristic, its value in hex
_RECORD = re.compile(r"((?:[0-9A-F]{2}:){5}[0-9A-F]{2}) ([0-9a-f-]{4,36}) ((?:[0-9A-Fa-f]{2})*)")


class GattDriver(AskingDriver):
    """Bluetooth LE devices that are connected to."""

    BusOptions: ClassVar[type[Options]] = GattBus
    DeviceOptions: ClassVar[type[Options]] = GattDevice
    PointOptions: ClassVar[type[Options]] = GattPoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        if found := list(problems(setup.devices)):
            raise SetupError(found)
        self._reads = tuple(read for device in setup.devices for read in visits(device))
        self._addresses = {d.device.id: cast("GattDevice", d.options).address for d in setup.devices}
        self._notify = {
            device.device.id: [part for read in self._reads for part in _parts(read) if part.notify]
            for device in setup.devices
            if kept(device)
        }
        self._radio: Radio | None = None
        self._scan: asyncio.Task[None] | None = None
        self._peripherals: dict[str, Peripheral] = {}

    def reads(self) -> Sequence[Read]:
        """One visit a device and period."""
        return self._reads

    def facts(self) -> Mapping[str, str | int]:
        """How the adapter scans, and what was done to heal it."""
        return {} if self._radio is None else self._radio.facts()

    async def open(self) -> None:
        """See that adapter and BlueZ are there, and scan: BlueZ connects only to what it hears; raises `BusError`."""
        from drivers.ble.radio import Radio  # bleak costs 10 MB: only for who has a Bluetooth bus
        from drivers.ble_gatt.peripheral import Peripheral

        options = cast("GattBus", self.setup.options)
        if self._radio is None:
            self._radio = Radio(options)
        await self._radio.open()
        self._scan = asyncio.create_task(self._radio.listen(lambda *_: None))
        adapter, seconds = self._radio.adapter, options.timeout / 1000
        self._peripherals = {
            device: Peripheral(adapter, address, kept=device in self._notify, seconds=seconds)
            for device, address in self._addresses.items()
        }

    async def close(self) -> None:
        """Leave every device and the adapter as they were."""
        peripherals, self._peripherals = self._peripherals, {}
        await asyncio.gather(*(one.leave() for one in peripherals.values()))
        scan, self._scan = self._scan, None
        if scan is not None:
            scan.cancel()
            with suppress(asyncio.CancelledError, BusError):
                await scan
        if self._radio is not None:
            await self._radio.close()

    async def ask(self, read: Read, sink: Sink) -> None:
        """Connect and read what the visit is for; raises `DeviceError` when nothing came of it, or `BusError`."""
        wanted = [*(part for part in _parts(read) if not part.notify), *self._notify.get(read.device, ())]
        peripheral = self._peripheral(read.device)
        try:
            async with self._turn():
                found = await peripheral.visit(wanted, lambda part, value: sink.scan(part.read, value))
        except DeviceError:
            self._check()  # when the radio is gone it is not the device's fault
            raise
        checked = [(part, _checked(part, value)) for part, value in found]
        if checked and not any(isinstance(value, bytes) for _, value in checked):
            raise next(value for _, value in checked if isinstance(value, DeviceError))
        for part, value in checked:
            _give(part, value, sink)

    async def write(self, point: str, value: Value) -> None:
        """Write a characteristic that the point is all of, and have the device acknowledge it; raises as `ask`."""
        part, data = self._encoded(point, value)
        peripheral = self._peripheral(point.partition("/")[0])
        async with self._turn():
            await peripheral.write(part, data)

    def patience(self, read: Read) -> float:  # noqa: ARG002 - the same for all
        """What a visit takes that comes to nothing, ms."""
        return cast("GattBus", self.setup.options).timeout

    def replay(self, recording: str, sink: Sink) -> None:
        """A value a line: `C4:11:22:33:44:55 2a6e 0a0b`; # begins a comment line."""
        devices = {address: device for device, address in self._addresses.items()}
        for number, line in enumerate(recording.splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            match = _RECORD.fullmatch(line)
            if match is None or match[1] not in devices:
                raise BadAnswer(f"line {number} is not: address of a device, UUID in hex, value in hex")
            for part in (p for r in self._reads if r.device == devices[match[1]] for p in _parts(r)):
                if part.characteristic == match[2]:
                    _give(part, _checked(part, bytes.fromhex(match[3])), sink)

    def _peripheral(self, device: str) -> "Peripheral":
        self._check()
        return self._peripherals[device]

    def _turn(self) -> asyncio.Lock:
        """Connections are made one at a time by an adapter: a second one at once fails in most controllers."""
        assert self._radio is not None  # noqa: S101 - open, or _check would have raised
        return self._radio.connecting

    def _check(self) -> None:
        if self._scan is None:
            raise BusError(f"Bluetooth adapter {cast('GattBus', self.setup.options).adapter} is not open")
        if self._scan.done():
            self._scan.result()

    def _encoded(self, name: str, value: Value) -> tuple[Part, bytes]:
        parts = [part for read in self._reads for part in _parts(read) if name in part.read.names]
        if not parts:
            raise NotWritable(f"there is no point {name}")
        point = next(p.point for d in self.setup.devices for p in d.points if p.point.id == name)
        layout = parts[0].read.points[0][1]
        if len(parts[0].read.points) > 1 or layout.offset or layout.bits or layout.type.startswith(("bool", "float")):
            raise NotWritable(f"{name}: only an integer that is all of its characteristic can be written")
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise NotWritable(f"{name}: {value!r} is no number")
        raw = (Decimal(str(value)) - point.offset) / point.scale
        return parts[0], _integer(name, raw, layout)


def _checked(part: Part, value: bytes | DeviceError) -> bytes | DeviceError:
    size = max(layout.offset + layout.width for _, layout in part.read.points)
    if isinstance(value, bytes) and len(value) < size:
        return BadAnswer(f"characteristic {part.characteristic} has {len(value)} bytes, not {size}")
    return value


def _give(part: Part, value: bytes | DeviceError, sink: Sink) -> None:
    """The points of a characteristic, or what was wrong with it; one that a device need not have is left out."""
    if isinstance(value, bytes):
        sink.scan(part.read, value)
    elif not part.optional:
        sink.values(part.read.device, [(name, None, value.quality) for name in part.read.names])
        sink.failed(part.read.device, value)


def _integer(name: str, raw: Decimal, layout: Layout) -> bytes:
    """The bytes of a whole number, in the layout's order; raises `NotWritable` when it does not fit."""
    try:
        big = int(raw).to_bytes(layout.width, "big", signed=layout.type.startswith("int"))
    except OverflowError as error:
        raise NotWritable(f"{name}: {raw} does not fit {layout.type}") from error
    if raw != int(raw):
        raise NotWritable(f"{name}: the value is between two steps of its scale")
    return bytes(big[place] for place in layout.positions())


def _parts(read: Read) -> tuple[Part, ...]:
    return cast("tuple[Part, ...]", read.request)
