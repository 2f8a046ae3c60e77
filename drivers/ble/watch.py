"""A connection of our own to BlueZ: finds the adapter, notices that something is gone, and switches it off and on."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.errors import DBusFastError

from drivers.errors import BusError

BLUEZ = "org.bluez"
ADAPTER = "org.bluez.Adapter1"
MONITORS = "org.bluez.AdvertisementMonitorManager1"
DAEMON = "org.freedesktop.DBus"
MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
SYSTEMD = "org.freedesktop.systemd1"
NO_OWNER = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner")
UNIT = "bluetooth.service"  # BlueZ's own, src/bluetooth.service.in

CALL_SECONDS = 5.0  # BlueZ answers at once; D-Bus may start it first, which takes a second or two
POWER_SECONDS = 10.0  # a controller that loads its firmware takes some seconds to come on
OFF_SECONDS = 1.0  # what a USB controller needs to forget

_ROOT = "/org/bluez/"


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as BlueZ has it: hciN, whether it is on, and whether it offers passive scanning."""

    name: str
    powered: bool
    monitors: bool


class Watch:
    """A connection to the system bus that ends when D-Bus, BlueZ or the adapter (hciN or an address) does."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._bus: MessageBus | None = None
        self._gone: asyncio.Future[str] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._switching = False
        self._left_off = False
        self.adapter = Adapter(wanted, powered=False, monitors=False)

    async def open(self) -> None:
        """Connect; raises `BusError` when D-Bus, BlueZ or the adapter is missing or the adapter is off."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._open()
            if self._left_off:  # by ourselves, when it did not come on again
                await self.power(on=True)
        except BaseException as error:  # whatever ends it, the connection is not left open
            await self.close()
            if isinstance(error, TimeoutError) and not isinstance(error, BusError):
                raise BusError("BlueZ or the D-Bus system bus does not answer") from error
            if isinstance(error, OSError | EOFError | DBusFastError) and not isinstance(error, BusError):
                raise BusError(f"no D-Bus system bus: {_text(error)}") from error
            raise

    async def close(self) -> None:
        """Disconnect; safe at any time."""
        bus, self._bus = self._bus, None
        ending, self._ending = self._ending, None
        if bus is not None:
            bus.disconnect()
        if ending is not None:
            await asyncio.wait([ending])
        self._gone = None

    @property
    def connected(self) -> bool:
        """Whether D-Bus is still there."""
        return self._bus is not None and self._bus.connected

    async def gone(self) -> None:
        """Wait; raises `BusError` that says what went away."""
        if self._gone is None:
            raise BusError(f"Bluetooth adapter {self._wanted} is not open")
        raise BusError(await asyncio.shield(self._gone))

    async def power_cycle(self) -> None:
        """Switch the adapter off and on; raises `BusError` when it does not come back."""
        self._switching = True
        try:
            await self.power(on=False)
            await asyncio.sleep(OFF_SECONDS)
        finally:  # cancelled or not: it is not left off
            try:
                await asyncio.shield(self.power(on=True))
            finally:
                self._switching = False

    async def power(self, *, on: bool) -> None:
        """Switch the adapter; raises `BusError`."""
        self._left_off = True
        body = [ADAPTER, "Powered", Variant("b", on)]
        path = _ROOT + self.adapter.name
        reply = await self._try(BLUEZ, path, PROPERTIES, "Set", "ssv", body, POWER_SECONDS)
        if reply.message_type is not MessageType.METHOD_RETURN:
            word = "on" if on else "off"
            raise BusError(f"Bluetooth adapter {self.adapter.name} cannot be switched {word}: {_told(reply)}")
        self._left_off = not on

    async def restart_bluez(self) -> None:
        """Have systemd restart bluetoothd; raises `BusError` when that is not allowed."""
        path, interface = "/org/freedesktop/systemd1", f"{SYSTEMD}.Manager"
        reply = await self._try(SYSTEMD, path, interface, "RestartUnit", "ss", [UNIT, "replace"], CALL_SECONDS)
        if reply.message_type is not MessageType.METHOD_RETURN:
            raise BusError(f"bluetoothd cannot be restarted: {_told(reply)}")

    async def _try(
        self, destination: str, path: str, interface: str, member: str, signature: str, body: list[Any], seconds: float
    ) -> Message:
        if self._bus is None:
            raise BusError(f"Bluetooth adapter {self._wanted} is not open")
        try:
            async with asyncio.timeout(seconds):
                return await _call(self._bus, destination, path, interface, member, signature, body)
        except TimeoutError as error:
            raise BusError(f"{destination} does not answer {member}") from error
        except (OSError, EOFError, DBusFastError) as error:
            raise BusError(f"D-Bus went away: {_text(error)}") from error

    async def _open(self) -> None:
        self._gone = asyncio.get_running_loop().create_future()
        bus = self._bus = MessageBus(bus_type=BusType.SYSTEM)
        await bus.connect()
        self._ending = asyncio.create_task(self._await_end(bus, self._gone))
        bus.add_message_handler(self._judge)
        await _match(bus, f"type='signal',sender='{DAEMON}',member='NameOwnerChanged',arg0='{BLUEZ}'")
        await _match(bus, f"type='signal',sender='{BLUEZ}',interface='{MANAGER}',member='InterfacesRemoved'")
        self.adapter = await self._find(bus)
        path = _ROOT + self.adapter.name
        rule = f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',member='PropertiesChanged',path='{path}'"
        await _match(bus, rule)
        if not self.adapter.powered and not self._left_off:
            raise BusError(f"Bluetooth adapter {self.adapter.name} is off (bluetoothctl power on)")

    async def _find(self, bus: MessageBus) -> Adapter:
        reply = await _call(bus, BLUEZ, "/", MANAGER, "GetManagedObjects", "", [])
        if reply.error_name in NO_OWNER:
            raise BusError("BlueZ is not running (systemctl start bluetooth)")
        if reply.message_type is not MessageType.METHOD_RETURN:
            raise BusError(f"BlueZ does not tell its adapters: {_told(reply)}")
        there = {path: interfaces for path, interfaces in reply.body[0].items() if ADAPTER in interfaces}
        for path, interfaces in there.items():
            if self._wanted in (path.removeprefix(_ROOT), interfaces[ADAPTER]["Address"].value):
                return _adapter(path, interfaces)
        names = ", ".join(sorted(path.removeprefix(_ROOT) for path in there)) or "none"
        raise BusError(f"there is no Bluetooth adapter {self._wanted} (there are: {names})")

    @staticmethod
    async def _await_end(bus: MessageBus, gone: "asyncio.Future[str]") -> None:
        """Tell `gone` when D-Bus is. One task waits for it: who cancels that wait, ends it for all others."""
        why = "D-Bus went away"
        try:
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except (OSError, EOFError, DBusFastError) as error:
            why = f"{why}: {_text(error)}"
        if not gone.done():
            gone.set_result(why)

    def _judge(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and self._gone is not None and not self._gone.done():
            lost = self._lost(message)
            if lost:
                self._gone.set_result(lost)

    def _lost(self, message: Message) -> str:
        """What a signal says went away; "" when nothing did."""
        name, path = self.adapter.name, _ROOT + self.adapter.name
        if message.member == "NameOwnerChanged" and message.body[0] == BLUEZ:
            return "BlueZ went away"
        if message.member == "InterfacesRemoved" and message.body[0] == path and ADAPTER in message.body[1]:
            return f"Bluetooth adapter {name} went away"
        if message.member == "PropertiesChanged" and message.path == path and message.body[0] == ADAPTER:
            powered = message.body[1].get("Powered")
            if powered is not None and not powered.value and not self._switching:
                return f"Bluetooth adapter {name} was switched off"
        return ""


def _adapter(path: str, interfaces: Mapping[str, Mapping[str, Variant]]) -> Adapter:
    kinds = interfaces.get(MONITORS, {}).get("SupportedMonitorTypes")
    monitors = kinds is not None and "or_patterns" in kinds.value
    return Adapter(path.removeprefix(_ROOT), interfaces[ADAPTER]["Powered"].value, monitors)


async def _match(bus: MessageBus, rule: str) -> None:
    await _call(bus, DAEMON, "/org/freedesktop/DBus", DAEMON, "AddMatch", "s", [rule])


async def _call(
    bus: MessageBus, destination: str, path: str, interface: str, member: str, signature: str, body: list[Any]
) -> Message:
    message = Message(
        destination=destination, path=path, interface=interface, member=member, signature=signature, body=body
    )
    return await bus.call(message)


def _told(reply: Message) -> str:
    return str(reply.body[0] if reply.body and reply.body[0] else reply.error_name)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
