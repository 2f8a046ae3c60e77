"""Notices that D-Bus, BlueZ or the adapter is gone: bleak itself falls silent then."""

import asyncio
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.errors import DBusFastError

from drivers.errors import BusError

BLUEZ = "org.bluez"
ADAPTER = "org.bluez.Adapter1"
DAEMON = "org.freedesktop.DBus"
MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
NO_OWNER = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner")

CALL_SECONDS = 5.0  # BlueZ answers at once; D-Bus may start it first, which takes a second or two


class Watch:
    """A connection to the system bus that ends when one of the three does."""

    def __init__(self, adapter: str) -> None:
        self._adapter = adapter
        self._path = f"/org/bluez/{adapter}"
        self._bus: MessageBus | None = None
        self._gone: asyncio.Future[str] | None = None

    async def open(self) -> None:
        """Connect; raises `BusError` when D-Bus, BlueZ or the adapter is missing or the adapter is off."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._open()
        except BaseException as error:  # whatever ends it, the connection is not left open
            await self.close()
            if isinstance(error, TimeoutError):
                raise BusError("BlueZ or the D-Bus system bus does not answer") from error
            if isinstance(error, OSError | EOFError | DBusFastError) and not isinstance(error, BusError):
                raise BusError(f"no D-Bus system bus: {_text(error)}") from error
            raise

    async def close(self) -> None:
        """Disconnect; safe at any time."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()

    @property
    def connected(self) -> bool:
        """Whether D-Bus is still there."""
        return self._bus is not None and self._bus.connected

    async def gone(self) -> None:
        """Wait; raises `BusError` that says what went away."""
        if self._bus is None or self._gone is None:
            raise BusError(f"Bluetooth adapter {self._adapter} is not open")
        lost = asyncio.ensure_future(_disconnected(self._bus))
        try:
            done, _ = await asyncio.wait((lost, self._gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
        raise BusError(self._gone.result() if self._gone in done else lost.result())

    async def _open(self) -> None:
        self._gone = asyncio.get_running_loop().create_future()
        bus = self._bus = MessageBus(bus_type=BusType.SYSTEM)
        await bus.connect()
        bus.add_message_handler(self._judge)
        await self._match(bus)
        await self._check(bus)

    async def _match(self, bus: MessageBus) -> None:
        for rule in (
            f"type='signal',sender='{DAEMON}',member='NameOwnerChanged',arg0='{BLUEZ}'",
            f"type='signal',sender='{BLUEZ}',interface='{MANAGER}',member='InterfacesRemoved'",
            f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',member='PropertiesChanged',path='{self._path}'",
        ):
            await _call(bus, DAEMON, "/org/freedesktop/DBus", DAEMON, "AddMatch", [rule])

    async def _check(self, bus: MessageBus) -> None:
        reply = await _call(bus, BLUEZ, self._path, PROPERTIES, "Get", [ADAPTER, "Powered"])
        if reply.error_name in NO_OWNER:
            raise BusError("BlueZ is not running (systemctl start bluetooth)")
        if reply.message_type is not MessageType.METHOD_RETURN:
            raise BusError(f"there is no Bluetooth adapter {self._adapter}")
        if not reply.body[0].value:
            raise BusError(f"Bluetooth adapter {self._adapter} is off (bluetoothctl power on)")

    def _judge(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and self._gone is not None and not self._gone.done():
            lost = self._lost(message)
            if lost:
                self._gone.set_result(lost)

    def _lost(self, message: Message) -> str:
        """What a signal says went away; "" when nothing did."""
        if message.member == "NameOwnerChanged" and message.body[0] == BLUEZ:
            return "BlueZ went away"
        if message.member == "InterfacesRemoved" and message.body[0] == self._path and ADAPTER in message.body[1]:
            return f"Bluetooth adapter {self._adapter} went away"
        if message.member == "PropertiesChanged" and message.path == self._path and message.body[0] == ADAPTER:
            powered = message.body[1].get("Powered")
            if powered is not None and not powered.value:
                return f"Bluetooth adapter {self._adapter} was switched off"
        return ""


async def _call(bus: MessageBus, destination: str, path: str, interface: str, member: str, body: list[Any]) -> Message:
    message = Message(
        destination=destination, path=path, interface=interface, member=member, signature="s" * len(body), body=body
    )
    return await bus.call(message)


async def _disconnected(bus: MessageBus) -> str:
    try:
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    except (OSError, EOFError, DBusFastError) as error:
        return f"D-Bus went away: {_text(error)}"
    return "D-Bus went away"


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
