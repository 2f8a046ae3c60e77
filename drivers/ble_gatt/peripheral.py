"""One device that is connected to by bleak: each visit bounded in time, whatever the device or BlueZ does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from dbus_fast.errors import DBusFastError

from drivers.ble.formats import short
from drivers.ble_gatt.plan import Part
from drivers.errors import BadAnswer, DeviceError, ExceptionAnswer, NoAnswer

ATTEMPTS = 2  # one connection in ten or so fails by interference alone, and the next try succeeds
CONNECT_SHARE = 0.9  # of a visit's time: bleak gives up first, and tells BlueZ
DISCONNECT_SECONDS = 3.0  # BlueZ tells of the end within two

Notified = Callable[[Part, bytes], None]
Found = list[tuple[Part, bytes | DeviceError]]

_FAILED = (BleakError, DBusFastError, OSError, EOFError, AssertionError)  # bleak asserts a bus that may be gone


class Peripheral:
    """A device at `address`, seen by `adapter`; `kept` stays connected, for what it notifies."""

    def __init__(self, adapter: str, address: str, *, kept: bool, seconds: float) -> None:
        self._place = BLEDevice(address, None, {"path": f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}"})
        self._kept = kept
        self._seconds = seconds
        self._client: BleakClient | None = None

    async def visit(self, parts: Sequence[Part], notified: Notified) -> Found:
        """The value of each part that is read, or what was wrong with it; raises `DeviceError` when out of reach."""
        async with self._link(parts, notified) as client:
            return [(part, await _fetch(client, part)) for part in parts if not part.notify]

    async def write(self, part: Part, value: bytes) -> None:
        """Write the whole characteristic, acknowledged where the device does that; raises `DeviceError`."""
        async with self._link((), lambda _part, _value: None) as client:
            there = _find(client, part)
            if there is None:
                raise BadAnswer(f"has no characteristic {part.characteristic}")
            await client.write_gatt_char(there, value, response="write" in there.properties)

    async def leave(self) -> None:
        """Disconnect; safe at any time."""
        client, self._client = self._client, None
        if client is not None:
            await _end(client)

    @asynccontextmanager
    async def _link(self, parts: Sequence[Part], notified: Notified) -> AsyncIterator[BleakClient]:
        try:
            async with asyncio.timeout(self._seconds):
                client = await self._connected(parts, notified)
                yield client
        except BaseException as error:  # whatever ended the visit, the link does not stay half open
            await self.leave()
            if isinstance(error, DeviceError):
                raise
            if isinstance(error, TimeoutError):
                raise NoAnswer(f"no answer within {self._seconds:g} s") from error
            if _unknown(error):
                raise NoAnswer("not heard: BlueZ does not see it near") from error
            if isinstance(error, BleakGATTProtocolError):
                raise ExceptionAnswer(error.code, _reason(error)) from error
            if isinstance(error, _FAILED):
                raise NoAnswer(f"connection failed: {_reason(error)}") from error
            raise
        if not self._kept:
            await self.leave()

    async def _connected(self, parts: Sequence[Part], notified: Notified) -> BleakClient:
        if self._client is not None and self._client.is_connected:
            return self._client
        await self.leave()
        client = self._client = BleakClient(self._place, timeout=self._seconds * CONNECT_SHARE)
        await _connect(client)
        for part in parts:
            if part.notify:
                await _subscribe(client, part, notified)
        return client


async def _connect(client: BleakClient) -> None:
    for attempt in range(ATTEMPTS):
        try:
            await client.connect()
        except BleakError as error:
            if _unknown(error) or attempt + 1 == ATTEMPTS:
                raise
        else:
            return


async def _subscribe(client: BleakClient, part: Part, notified: Notified) -> None:
    there = _find(client, part)
    if there is None and part.optional:
        return
    if there is None:
        raise BadAnswer(f"has no characteristic {part.characteristic}")
    await client.start_notify(there, lambda _, value: notified(part, bytes(value)))


async def _fetch(client: BleakClient, part: Part) -> bytes | DeviceError:
    there = _find(client, part)
    if there is None:
        return BadAnswer(f"has no characteristic {part.characteristic}")
    try:
        return bytes(await client.read_gatt_char(there))
    except BleakGATTProtocolError as error:  # the device refused this one: an answer
        return ExceptionAnswer(error.code, _reason(error))


def _find(client: BleakClient, part: Part) -> BleakGATTCharacteristic | None:
    for service in client.services:
        if part.service in (None, short(service.uuid)):
            for one in service.characteristics:
                if short(one.uuid) == part.characteristic:
                    return one
    return None


async def _end(client: BleakClient) -> None:
    try:
        async with asyncio.timeout(DISCONNECT_SECONDS):
            await client.disconnect()
    except _FAILED:
        return


def _unknown(error: BaseException) -> bool:
    """Whether BlueZ has no such device: it forgets what it has not heard for half a minute."""
    return isinstance(error, BleakDeviceNotFoundError) or (
        type(error) is BleakError and str(error).endswith("not found")  # what bleak has noticed by itself
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, BleakDBusError):
        return error.dbus_error_details or error.dbus_error
    return str(error) or type(error).__name__
