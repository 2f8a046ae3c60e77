"""BlueZ without a radio: the part of its D-Bus interface that scanning uses, on a bus of the test's own."""

import asyncio
from typing import Any

from dbus_fast import BusType, Message, MessageType, NameFlag, Variant
from dbus_fast.aio.message_bus import MessageBus

ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
UNKNOWN = "org.freedesktop.DBus.Error.UnknownObject"

Properties = dict[str, Variant]


class FakeBluez:
    """Owns `org.bluez`; tells devices by InterfacesAdded, then PropertiesChanged, as bluetoothd does."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.filters: list[dict[str, Any]] = []
        self.errors: dict[str, tuple[str, str]] = {}
        self._objects: dict[str, dict[str, Properties]] = {"/org/bluez": {"org.bluez.AgentManager1": {}}}
        self._bus: MessageBus | None = None
        self._asked = asyncio.Event()

    @property
    def bus(self) -> MessageBus:
        """The connection, once started."""
        assert self._bus is not None
        return self._bus

    @property
    def scanning(self) -> bool:
        """Whether an adapter is discovering."""
        return any(i[ADAPTER]["Discovering"].value for i in self._objects.values() if ADAPTER in i)

    async def until_scanning(self, *, on: bool = True) -> None:
        """Wait until somebody has started, or stopped, discovery."""
        while self.scanning != on:
            self._asked.clear()
            await self._asked.wait()

    async def start(self) -> None:
        """Appear on the bus of DBUS_SYSTEM_BUS_ADDRESS."""
        self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name("org.bluez", NameFlag.DO_NOT_QUEUE)

    async def stop(self) -> None:
        """Vanish, as bluetoothd does when it crashes."""
        if self._bus is not None and self._bus.connected:
            self._bus.disconnect()
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def add_adapter(self, name: str = "hci0", *, powered: bool = True) -> None:
        """An adapter is plugged in."""
        self._add(
            f"/org/bluez/{name}",
            ADAPTER,
            {
                "Address": Variant("s", "00:00:5E:00:53:01"),
                "Powered": Variant("b", powered),
                "Discovering": Variant("b", False),
                "Roles": Variant("as", ["central"]),
            },
        )

    def remove_adapter(self, name: str = "hci0") -> None:
        """An adapter is pulled out."""
        path = f"/org/bluez/{name}"
        del self._objects[path]
        self._signal("/", MANAGER, "InterfacesRemoved", "oas", [path, [ADAPTER]])

    def power(self, *, on: bool, name: str = "hci0") -> None:
        """An adapter is switched on or off."""
        self._change(f"/org/bluez/{name}", ADAPTER, {"Powered": Variant("b", on)})

    def advertise(self, address: str, data: dict[int, bytes], rssi: int = -60, name: str = "") -> None:
        """One advertisement, heard by hci0."""
        said: Properties = {"RSSI": Variant("n", rssi)}
        if data:
            said["ManufacturerData"] = Variant("a{qv}", {key: Variant("ay", value) for key, value in data.items()})
        if name:
            said["Name"] = Variant("s", name)
        path = self._device(address)
        if path in self._objects:
            self._change(path, DEVICE, said)
        else:
            self._add(path, DEVICE, {**_new_device(address, name), **said})

    def tell_rssi(self, address: str, rssi: int) -> None:
        """A change of signal strength alone, with no new data."""
        self._change(self._device(address), DEVICE, {"RSSI": Variant("n", rssi)})

    def _device(self, address: str) -> str:
        return f"/org/bluez/hci0/dev_{address.replace(':', '_')}"

    def _add(self, path: str, interface: str, properties: Properties) -> None:
        self._objects[path] = {interface: properties}
        if self._bus is not None:
            self._signal("/", MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, self._objects[path]])

    def _change(self, path: str, interface: str, properties: Properties) -> None:
        self._objects[path][interface].update(properties)
        self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, properties, []])

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        kind = MessageType.SIGNAL
        self.bus.send(
            Message(message_type=kind, path=path, interface=interface, member=member, signature=signature, body=body)
        )

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or message.path is None or message.member is None:
            return None
        self.calls.append((message.path, message.member))
        if message.member in self.errors:
            return Message.new_error(message, *self.errors[message.member])
        if message.member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self._objects])
        if message.path not in self._objects:
            return Message.new_error(message, UNKNOWN, f"no object {message.path}")
        if message.interface == PROPERTIES and message.member == "Get":
            interface, name = message.body
            return Message.new_method_return(message, "v", [self._objects[message.path][interface][name]])
        return self._answer_adapter(message, message.path)

    def _answer_adapter(self, message: Message, path: str) -> Message:
        if message.member == "SetDiscoveryFilter":
            self.filters.append({key: variant.value for key, variant in message.body[0].items()})
        elif message.member in ("StartDiscovery", "StopDiscovery"):
            self._change(path, ADAPTER, {"Discovering": Variant("b", message.member == "StartDiscovery")})
            self._asked.set()
        else:
            return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", str(message.member))
        return Message.new_method_return(message)


def _new_device(address: str, name: str) -> Properties:
    return {
        "Address": Variant("s", address),
        "AddressType": Variant("s", "random"),
        "Adapter": Variant("o", "/org/bluez/hci0"),
        "Alias": Variant("s", name or address.replace(":", "-")),
        "Connected": Variant("b", False),
        "Paired": Variant("b", False),
        "ServicesResolved": Variant("b", False),
    }
