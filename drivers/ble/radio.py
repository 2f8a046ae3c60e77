"""One adapter, scanned by bleak, and a watch on everything that can take it away."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakDBusError, BleakError
from dbus_fast.errors import DBusFastError

from drivers.ble.watch import Watch
from drivers.errors import BusError

Heard = Callable[[str, int, Mapping[int, bytes]], None]

STOP_SECONDS = 2.0  # BlueZ answers StopDiscovery within milliseconds, or never

# Devices whose last data are remembered to tell what is new: streets see some thousand addresses, and many change
# theirs every 15 minutes.
MAX_REMEMBERED = 10_000


class Radio:
    """Active scanning on one adapter through BlueZ."""

    def __init__(self, adapter: str) -> None:
        self._adapter = adapter
        self._watch = Watch(adapter)

    async def open(self) -> None:
        """Connect to BlueZ and see that the adapter is there and on; raises `BusError`."""
        await self._watch.open()

    async def close(self) -> None:
        """Disconnect; safe at any time."""
        await self._watch.close()

    async def listen(self, heard: Heard) -> None:
        """Call `heard` with address, RSSI and manufacturer data of each advertisement; raises `BusError`."""
        fresh = _Fresh(heard)
        scanner = BleakScanner(
            fresh,
            bluez={"adapter": self._adapter, "filters": {"DuplicateData": True}},  # the same data again is news too
        )
        try:
            await scanner.start()
        except (BleakError, DBusFastError, OSError, EOFError) as error:
            raise BusError(f"cannot scan with {self._adapter}: {_reason(error)}") from error
        try:
            await self._watch.gone()
        finally:
            fresh.ended = True
            if self._watch.connected:  # bleak cannot stop, nor forget its callback, without D-Bus
                await _stop(scanner)


class _Fresh:
    """Passes on an advertisement only when it brought manufacturer data.

    BlueZ tells every change of a device, such as its RSSI alone, and bleak calls with all that is known of it, old data
    included: they are the same object then, and reporting them would date an old measurement as of now.
    """

    def __init__(self, heard: Heard) -> None:
        self.ended = False
        self._heard = heard
        self._last: OrderedDict[str, object] = OrderedDict()

    def __call__(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        data = advertisement.platform_data[1].get("ManufacturerData")
        if self.ended or data is None or data is self._last.get(device.address):
            return
        self._last[device.address] = data
        self._last.move_to_end(device.address)
        if len(self._last) > MAX_REMEMBERED:
            self._last.popitem(last=False)
        self._heard(device.address, advertisement.rssi, advertisement.manufacturer_data)


async def _stop(scanner: BleakScanner) -> None:
    """Stop scanning as far as that can be done: the adapter may be what went away."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await scanner.stop()
    except (BleakError, DBusFastError, OSError, EOFError):
        return


def _reason(error: Exception) -> str:
    if isinstance(error, BleakDBusError):
        return error.dbus_error_details or error.dbus_error
    return str(error) or type(error).__name__
