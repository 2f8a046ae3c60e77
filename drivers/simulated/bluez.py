"""BlueZ without a radio: the part of its D-Bus interface that a gateway uses, for the tests and the demo.

Names and types are those of https://github.com/bluez/bluez/tree/master/doc (org.bluez.*.rst).
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from dbus_fast import BusType, Message, MessageType, NameFlag, Variant
from dbus_fast.aio.message_bus import MessageBus

from drivers.simulated.gatt import Gatt, Service
from drivers.simulated.objects import ADAPTER, DEVICE, Objects, Properties

BLUEZ = "org.bluez"
MONITORS = "org.bluez.AdvertisementMonitorManager1"
MONITOR = "org.bluez.AdvertisementMonitor1"
DBUS = "org.freedesktop.DBus"
MANAGER = f"{DBUS}.ObjectManager"
PROPERTIES = f"{DBUS}.Properties"
SYSTEMD = "org.freedesktop.systemd1"

_UNKNOWN_OBJECT = f"{DBUS}.Error.UnknownObject"
_UNKNOWN_METHOD = f"{DBUS}.Error.UnknownMethod"
_NOT_READY = ("org.bluez.Error.NotReady", "Resource Not Ready")

_NAMES = (0x08, 0x09)  # Assigned Numbers 2.3, AD types: shortened and complete local name
_SERVICE_DATA = 0x16  # ... service data of a 16-bit UUID
_MANUFACTURER = 0xFF  # ... manufacturer specific data
_BASE = "-0000-1000-8000-00805f9b34fb"  # Core Specification 5.4, Vol 3 Part B, 2.5.1

Sessions = dict[tuple[str, str], list[tuple[int, int, bytes]] | None]
"""What listens by (path of adapter, client or monitor): patterns of a monitor, None for a discovery."""


class SimulatedBluez:
    """Owns `org.bluez`; tells devices by InterfacesAdded, then PropertiesChanged, as bluetoothd does.

    `calls` is what was called, (path, member); `errors` answers a member with an error, and what is in `mute` is not
    answered at all. `deaf` is a radio that hears nothing, in the ways that `cured_by` names the call to end.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.filters: list[dict[str, Any]] = []
        self.errors: dict[str, tuple[str, str]] = {}
        self.mute: set[str] = set()
        self.deaf = False
        self.objects = Objects()
        self.gatt = Gatt(self.objects)
        self._sessions: Sessions = {}
        self._bus: MessageBus | None = None
        self._news = asyncio.Event()

    async def start(self, *names: str) -> None:
        """Appear on the bus of DBUS_SYSTEM_BUS_ADDRESS, also as `names`."""
        self._bus = bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        bus.add_message_handler(self._take)
        for rule in (
            f"type='signal',sender='{DBUS}',member='NameOwnerChanged'",
            f"type='signal',interface='{MANAGER}',member='InterfacesAdded'",
        ):
            await bus.call(_method(DBUS, "/org/freedesktop/DBus", DBUS, "AddMatch", "s", [rule]))
        self.objects.send = bus.send
        for name in (BLUEZ, *names):
            await bus.request_name(name, NameFlag.DO_NOT_QUEUE)

    async def stop(self) -> None:
        """Vanish, as bluetoothd does when it crashes, with all that it knew."""
        self._sessions.clear()
        self.objects.forget()
        if self._bus is not None and self._bus.connected:
            self._bus.disconnect()
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    # Its surroundings ------------------------------------------------------------------------------------------------

    def add_adapter(
        self, name: str = "hci0", *, address: str = "00:00:5E:00:53:01", powered: bool = True, monitors: bool = False
    ) -> None:
        """An adapter is plugged in; `monitors` is whether it offers passive scanning."""
        properties = {
            "Address": Variant("s", address),
            "Powered": Variant("b", powered),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central"]),
        }
        interfaces: dict[str, Properties] = {ADAPTER: properties}
        if monitors:
            interfaces[MONITORS] = {"SupportedMonitorTypes": Variant("as", ["or_patterns"])}
        self.objects.add(f"/org/bluez/{name}", interfaces)

    def remove_adapter(self, name: str = "hci0") -> None:
        """An adapter is pulled out."""
        self._end(lambda adapter, _: adapter == f"/org/bluez/{name}")
        self.objects.remove(f"/org/bluez/{name}")

    def power(self, *, on: bool, name: str = "hci0") -> None:
        """An adapter is switched on or off, which ends its scans."""
        path = f"/org/bluez/{name}"
        if not on:
            self._end(lambda adapter, _: adapter == path)
        self.objects.change(path, ADAPTER, {"Powered": Variant("b", on)})

    def advertise(
        self, address: str, manufacturer: Mapping[int, bytes] | None = None, rssi: int = -60, name: str = "",
        service: Mapping[str, bytes] | None = None, adapter: str = "hci0",
    ) -> bool:  # fmt: skip
        """One advertisement near `adapter`; whether somebody hears it. `service` has 16-bit UUIDs in hex."""
        path = f"/org/bluez/{adapter}"
        if self.deaf or not self._heard(path, name, manufacturer or {}, service or {}):
            return False
        said: Properties = {"RSSI": Variant("n", rssi)}
        if manufacturer:
            said["ManufacturerData"] = Variant("a{qv}", {k: Variant("ay", v) for k, v in manufacturer.items()})
        if service:
            long = {f"0000{uuid}{_BASE}": Variant("ay", data) for uuid, data in service.items()}
            said["ServiceData"] = Variant("a{sv}", long)
        if name:
            said["Name"] = Variant("s", name)
        device = device_path(address, adapter)
        if device in self.objects:
            self.objects.change(device, DEVICE, said)
        else:
            self.objects.add(device, {DEVICE: {**_new_device(address, name, path), **said}})
        return True

    def tell_rssi(self, address: str, rssi: int, adapter: str = "hci0") -> None:
        """A change of signal strength alone, with no new data."""
        self.objects.change(device_path(address, adapter), DEVICE, {"RSSI": Variant("n", rssi)})

    def add_peripheral(self, address: str, services: Mapping[str, Service], adapter: str = "hci0") -> None:
        """A device that can be connected to, known to BlueZ."""
        path = device_path(address, adapter)
        if path not in self.objects:
            self.objects.add(path, {DEVICE: _new_device(address, "", f"/org/bluez/{adapter}")})
        self.gatt.services[path] = dict(services)

    # What tests look at ----------------------------------------------------------------------------------------------

    @property
    def bus(self) -> MessageBus:
        """The connection, once started."""
        assert self._bus is not None  # noqa: S101 - tests start it
        return self._bus

    @property
    def scanning(self) -> bool:
        """Whether somebody listens."""
        return bool(self._sessions)

    @property
    def passive(self) -> bool:
        """Whether nobody makes it send scan requests."""
        return all(patterns is not None for patterns in self._sessions.values())

    async def until_scanning(self, *, on: bool = True) -> None:
        """Wait until somebody listens, or nobody does."""
        while self.scanning != on:
            await self.news()

    async def news(self) -> None:
        """Wait for the next call or change of who listens."""
        self._news.clear()
        await self._news.wait()

    # ----------------------------------------------------------------------------------------------------------------

    def _heard(self, adapter: str, name: str, manufacturer: Mapping[int, bytes], service: Mapping[str, bytes]) -> bool:
        for (path, _), patterns in self._sessions.items():
            if path == adapter and (patterns is None or _matches(patterns, name, manufacturer, service)):
                return True
        return False

    def _end(self, which: Any) -> None:  # noqa: ANN401 - a predicate of (adapter, client)
        self._sessions = {key: value for key, value in self._sessions.items() if not which(*key)}
        for path in self.objects.paths(ADAPTER):
            self._discovering(path)
        self._news.set()

    def _discovering(self, path: str) -> None:
        now = any(adapter == path and patterns is None for (adapter, _), patterns in self._sessions.items())
        if self.objects.get(path, ADAPTER, "Discovering").value != now:
            self.objects.change(path, ADAPTER, {"Discovering": Variant("b", now)})

    def _take(self, message: Message) -> Message | bool | None:
        if message.message_type is MessageType.SIGNAL:
            self._signalled(message)
            return None
        if message.message_type is not MessageType.METHOD_CALL or message.path is None or message.member is None:
            return None
        self.calls.append((message.path, message.member))
        self._news.set()
        if message.member in self.mute:
            return True
        if message.member in self.errors:
            return Message.new_error(message, *self.errors[message.member])
        return self._answer(message, message.path)

    def _signalled(self, message: Message) -> None:
        if message.member == "NameOwnerChanged" and not message.body[2]:
            gone = message.body[0]
            if any(client.split(" ")[0] == gone for _, client in self._sessions):
                self._end(lambda _, client: client.split(" ")[0] == gone)
        elif message.member == "InterfacesAdded" and MONITOR in message.body[1]:
            self._activate(message, message.body[0])

    def _activate(self, message: Message, path: str) -> None:
        """A monitor that was registered before is exported now: this is when bluetoothd begins to use it."""
        patterns = [tuple(item) for item in message.body[1][MONITOR]["Patterns"].value]
        for key in self._sessions:
            if key[1] == f"{message.sender} {path}":
                self._sessions[key] = [(offset, kind, bytes(data)) for offset, kind, data in patterns]
        self._news.set()

    def _answer(self, message: Message, path: str) -> Message | bool:
        if message.interface == f"{SYSTEMD}.Manager":
            return Message.new_method_return(message, "o", [f"/{SYSTEMD.replace('.', '/')}/job/1"])
        if message.member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self.objects.all])
        if path not in self.objects:
            return Message.new_error(message, _UNKNOWN_OBJECT, f"no object {path}")
        if message.interface == PROPERTIES:
            return self._property(message, path)
        if message.interface in (ADAPTER, MONITORS):
            return self._adapter(message, path)
        return self.gatt.answer(message, path, self.bus)

    def _property(self, message: Message, path: str) -> Message:
        interface, name = message.body[:2]
        if message.member == "Set" and (interface, name) == (ADAPTER, "Powered"):
            self.power(on=message.body[2].value, name=path.rpartition("/")[2])
            return Message.new_method_return(message)
        if message.member == "Get" and (found := self.objects.find(path, interface, name)) is not None:
            return Message.new_method_return(message, "v", [found])
        return Message.new_error(message, f"{DBUS}.Error.InvalidArgs", f"no property {name}")

    def _adapter(self, message: Message, path: str) -> Message:
        if not self.objects.get(path, ADAPTER, "Powered").value:
            return Message.new_error(message, *_NOT_READY)
        client = message.sender or ""
        if message.member == "SetDiscoveryFilter":
            self.filters.append({key: variant.value for key, variant in message.body[0].items()})
        elif message.member == "StartDiscovery":
            if (path, client) in self._sessions:
                return Message.new_error(message, "org.bluez.Error.InProgress", "Operation already in progress")
            self._sessions[path, client] = None
        elif message.member == "StopDiscovery":
            self._sessions.pop((path, client), None)
        elif message.member == "RegisterMonitor":
            self._sessions[path, f"{client} {message.body[0]}"] = []
        elif message.member == "UnregisterMonitor":
            self._sessions.pop((path, f"{client} {message.body[0]}"), None)
        else:
            return Message.new_error(message, _UNKNOWN_METHOD, str(message.member))
        self._discovering(path)
        return Message.new_method_return(message)


def device_path(address: str, adapter: str = "hci0") -> str:
    """Where BlueZ has a device."""
    return f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}"


def _matches(
    patterns: list[tuple[int, int, bytes]], name: str, manufacturer: Mapping[int, bytes], service: Mapping[str, bytes]
) -> bool:
    """Whether one of the patterns (start, AD type, content) is in the advertisement."""
    fields = [(kind, name.encode()) for kind in _NAMES if name]
    fields += [(_MANUFACTURER, company.to_bytes(2, "little") + data) for company, data in manufacturer.items()]
    fields += [(_SERVICE_DATA, bytes.fromhex(uuid)[::-1] + data) for uuid, data in service.items()]
    return any(
        kind == wanted and data[start : start + len(content)] == content
        for start, wanted, content in patterns
        for kind, data in fields
    )


def _new_device(address: str, name: str, adapter: str) -> Properties:
    return {
        "Address": Variant("s", address),
        "AddressType": Variant("s", "random"),
        "Adapter": Variant("o", adapter),
        "Alias": Variant("s", name or address.replace(":", "-")),
        "Connected": Variant("b", False),
        "Paired": Variant("b", False),
        "ServicesResolved": Variant("b", False),
    }


def _method(destination: str, path: str, interface: str, member: str, signature: str, body: list[Any]) -> Message:
    return Message(
        destination=destination, path=path, interface=interface, member=member, signature=signature, body=body
    )
