"""One adapter, scanned by bleak once for all buses of this process that listen, and healed when it falls silent."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakDBusError, BleakError
from dbus_fast.errors import DBusFastError

from drivers.ble.healing import Healer, Step
from drivers.ble.options import RadioOptions
from drivers.ble.watch import Watch
from drivers.errors import BusError

log = logging.getLogger(__name__)

Heard = Callable[[str, int, Mapping[int, bytes], Mapping[str, bytes], str], None]
"""Called with address, RSSI, new manufacturer data by company, new service data by UUID, and the name or ""."""

Senders = Callable[[], Sequence[int | str] | None]
"""Company ids and service UUIDs that tell all that is wanted; None where nothing tells it."""

# Core Specification Supplement 11, Part A, 1.4 and 1.11; the numbers are of Assigned Numbers, 2.3
MANUFACTURER_DATA, SERVICE_DATA_16, SERVICE_DATA_128 = 0xFF, 0x16, 0x21
SHORT = 2  # bytes of a 16-bit UUID

START_SECONDS = 10.0  # BlueZ answers StartDiscovery and RegisterMonitor within milliseconds; where it hangs, never
STOP_SECONDS = 2.0  # BlueZ answers StopDiscovery within milliseconds, or never
TICK_SECONDS = 1.0

# Devices whose last data are remembered to tell what is new: streets see some thousand addresses, and many change
# theirs every 15 minutes. The last and the second last so many are known.
MAX_REMEMBERED = 10_000

# Each client of BlueZ may scan once: this is its answer to one that does already. Power-cycling forgets all scans.
IN_PROGRESS = "org.bluez.Error.InProgress"

_NO_DATA: dict[int, bytes] = {}
_NO_SERVICE: dict[str, bytes] = {}
_NOTHING = (None, None)
_LOST = (BleakError, DBusFastError, OSError, EOFError)


@dataclass(frozen=True, slots=True)
class Mode:
    """How it scans, and why so."""

    scan: Literal["active", "passive"]
    why: str


class Radio:
    """Scans one adapter through BlueZ; kept for the life of its bus, opened and closed as that comes and goes.

    The first to listen to an adapter scans it, with its own options; who comes later listens along.
    """

    def __init__(self, options: RadioOptions, senders: Senders = lambda: None) -> None:
        self._options = options
        self._senders = senders
        self._watch = Watch(options.adapter)
        self._healer = Healer(options.silence, may_restart=options.restart_bluetoothd)
        self._listeners: list[Heard] = []
        self._ended: asyncio.Future[None] | None = None
        self._fresh = _Fresh(self._listeners)
        self._mode: Mode | None = None
        self._connecting = asyncio.Lock()

    @property
    def connecting(self) -> asyncio.Lock:
        """Held by who connects through this adapter; all buses of the process that use it share one."""
        return _scanning.get(self.adapter, self)._connecting  # noqa: SLF001 - of its own class

    @property
    def adapter(self) -> str:
        """The adapter's name at BlueZ, hciN, once open."""
        return self._watch.adapter.name

    def facts(self) -> dict[str, str | int]:
        """What status shows: adapter, how it scans and why, advertisements heard, and each healing step's count."""
        mode = self._mode or Mode("active", "not open yet")
        steps = {step.value: count for step, count in self._healer.counts.items()}
        return {
            "adapter": self.adapter, "scan": mode.scan, "why": mode.why, "state": self._healer.state.value,
            "advertisements": self._fresh.count, **steps,
        }  # fmt: skip

    async def open(self) -> None:
        """Connect to BlueZ and see that the adapter is there and on; raises `BusError`."""
        await self._watch.open()

    async def close(self) -> None:
        """Disconnect; safe at any time."""
        await self._watch.close()

    async def listen(self, heard: Heard) -> None:
        """Call `heard` for each advertisement that brings data; raises `BusError` when the adapter is gone."""
        first = _scanning.get(self.adapter)
        if first is not None:
            await first.along(heard)
        if not self._watch.connected:
            raise BusError(f"Bluetooth adapter {self.adapter} is not open")
        self._ended = asyncio.get_running_loop().create_future()
        _scanning[self.adapter] = self
        self._listeners.append(heard)
        try:
            await self._scan_on()
        finally:
            self._listeners.clear()
            if _scanning.get(self.adapter) is self:
                del _scanning[self.adapter]
            self._ended.set_result(None)
            self._ended = None

    async def along(self, heard: Heard) -> None:
        """Call `heard` too, while this radio listens; raises `BusError` at its end."""
        ended, listeners = self._ended, self._listeners
        listeners.append(heard)
        try:
            if ended is not None:
                await asyncio.shield(ended)
        finally:
            if heard in listeners:
                listeners.remove(heard)
        raise BusError(f"the scan with {self.adapter} ended")

    async def _scan_on(self) -> None:
        """Scan, and climb the ladder whenever nothing is heard; raises `BusError`."""
        while True:
            scanner = await self._start()
            self._healer.resume(_now())
            try:
                step = await self._until_silent()
            finally:
                self._fresh.ended = True
                if self._watch.connected:  # bleak cannot stop, nor forget its callback, without D-Bus
                    await _stop(scanner)
            await self._heal(step)

    async def _start(self) -> BleakScanner:
        self._mode = self._choose()
        try:
            return await self._started(self._mode)
        except BusError as error:
            if self._mode.scan == "active" or self._options.scan == "passive":
                raise
            self._mode = Mode("active", f"passive scanning failed: {error}")
            return await self._started(self._mode)

    def _choose(self) -> Mode:
        if self._options.scan != "auto":
            return Mode(self._options.scan, "configured")
        if not self._watch.adapter.monitors:
            return Mode("active", "BlueZ offers no advertisement monitors here (bluetoothd --experimental)")
        if not self._senders():
            return Mode("active", "a device is told by its name, or by nothing that BlueZ can look for")
        return Mode("passive", "BlueZ offers advertisement monitors")

    async def _started(self, mode: Mode) -> BleakScanner:
        bluez: BlueZScannerArgs = {
            "adapter": self.adapter,
            "filters": {"DuplicateData": True},
        }  # the same again is news
        if mode.scan == "passive":
            bluez["or_patterns"] = [_pattern(sender) for sender in sorted(set(self._senders() or ()), key=str)]
        try:
            self._fresh.ended = False
            scanner = BleakScanner(self._fresh, scanning_mode=mode.scan, bluez=bluez)
            async with asyncio.timeout(START_SECONDS):
                await scanner.start()
        except _LOST as error:
            if isinstance(error, BleakDBusError) and error.dbus_error == IN_PROGRESS:
                await self._end_left_over()
            raise BusError(f"cannot scan with {self.adapter}: {_reason(error)}") from error
        return scanner

    async def _end_left_over(self) -> None:
        """End a scan of this very process that BlueZ would not stop, or never said it had begun; raises `BusError`."""
        log.warning("adapter %s: still scans from before: %s", self.adapter, Step.POWER_CYCLE.value)
        self._healer.counts[Step.POWER_CYCLE] += 1
        await self._watch.power_cycle()

    async def _until_silent(self) -> Step:
        """The step that a silence asks for; raises `BusError` when something is gone."""
        gone = asyncio.ensure_future(self._watch.gone())
        tick = min(TICK_SECONDS, self._options.silence / 4000)
        try:
            while True:
                await asyncio.wait([gone], timeout=tick)
                if gone.done():
                    gone.result()
                before = self._healer.state
                step = self._healer.tick(_now(), self._fresh.count)
                self._tell(before.value, step)
                if step is not None and step is not Step.SAY_SO:
                    return step
        finally:
            gone.cancel()
            await asyncio.wait([gone])

    def _tell(self, before: str, step: Step | None) -> None:
        healer, seconds = self._healer, self._options.silence // 1000
        if step is None and healer.recovered:
            log.warning("adapter %s: advertisements are heard again (before: %s)", self.adapter, before)
        elif step is Step.SAY_SO and healer.loud:
            log.error("adapter %s: hears nothing, neither a new scan nor power-cycling helped", self.adapter)
        elif step is not None and healer.loud:
            log.warning("adapter %s: no advertisement for %d s: %s", self.adapter, seconds, step.value)

    async def _heal(self, step: Step) -> None:
        if step is Step.POWER_CYCLE:
            await self._watch.power_cycle()
        elif step is Step.RESTART_BLUEZ:
            try:
                await self._watch.restart_bluez()
            except BusError as error:  # the scan goes on without it
                if self._healer.loud:
                    log.warning("adapter %s: %s", self.adapter, error)


class _Fresh:
    """Passes on an advertisement only when it brought data.

    BlueZ tells every change of a device, such as its RSSI alone, and bleak calls with all that is known of it, old data
    included: they are the same objects then, and reporting them would date an old measurement as of now.
    """

    def __init__(self, listeners: Sequence[Heard]) -> None:
        self.ended = True
        self.count = 0
        self._listeners = listeners
        self._last: dict[str, tuple[object, object]] = {}
        self._older = self._last

    def __call__(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        if self.ended:
            return
        self.count += 1
        _, manufacturer, services, _, _, rssi, (_, told) = advertisement
        data, service, address = told.get("ManufacturerData"), told.get("ServiceData"), device.address
        before = self._last.get(address) or self._older.get(address, _NOTHING)
        if data is before[0]:
            if service is before[1]:
                return
            manufacturer = _NO_DATA
        elif service is before[1]:
            services = _NO_SERVICE
        self._last[address] = (data, service)
        if len(self._last) > MAX_REMEMBERED:
            self._older, self._last = self._last, {}
        name = advertisement.local_name or ""
        for heard in self._listeners:
            heard(address, rssi, manufacturer, services, name)


def _pattern(sender: int | str) -> OrPattern:
    """What the data of a company or service begin with: their ids, low byte first."""
    if isinstance(sender, int):
        return OrPattern(0, AdvertisementDataType(MANUFACTURER_DATA), sender.to_bytes(2, "little"))
    uuid = bytes.fromhex(sender.replace("-", ""))[::-1]
    kind = SERVICE_DATA_16 if len(uuid) == SHORT else SERVICE_DATA_128
    return OrPattern(0, AdvertisementDataType(kind), uuid)


_scanning: dict[str, Radio] = {}
"""By adapter: a process has one scan of each."""


async def _stop(scanner: BleakScanner) -> None:
    """Stop scanning as far as that can be done: the adapter may be what went away."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await scanner.stop()
    except _LOST:
        return


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


def _reason(error: Exception) -> str:
    if isinstance(error, BleakDBusError):
        return error.dbus_error_details or error.dbus_error
    if isinstance(error, TimeoutError):
        return "BlueZ does not answer"
    return str(error) or type(error).__name__
