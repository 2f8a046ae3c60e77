"""The tree of D-Bus objects that a simulated BlueZ has, told as it changes."""

from collections.abc import Callable
from typing import Any

from dbus_fast import Message, MessageType, Variant

ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"

_MANAGER = "org.freedesktop.DBus.ObjectManager"
_PROPERTIES = "org.freedesktop.DBus.Properties"

Properties = dict[str, Variant]


class Objects:
    """Interfaces and their properties by path; `send` takes what is to be told, once there is a bus."""

    def __init__(self) -> None:
        self.send: Callable[[Message], object] | None = None
        self.all: dict[str, dict[str, Properties]] = {}
        self.forget()

    def __contains__(self, path: str) -> bool:
        return path in self.all

    def forget(self) -> None:
        """As it is when bluetoothd starts; nothing is told."""
        self.send = None
        self.all = {"/org/bluez": {"org.bluez.AgentManager1": {}}}

    def paths(self, interface: str) -> list[str]:
        """The objects that have it."""
        return [path for path, interfaces in self.all.items() if interface in interfaces]

    def find(self, path: str, interface: str, name: str) -> Variant | None:
        """A property, where there is one."""
        return self.all.get(path, {}).get(interface, {}).get(name)

    def get(self, path: str, interface: str, name: str) -> Variant:
        """A property; raises `KeyError`."""
        return self.all[path][interface][name]

    def add(self, path: str, interfaces: dict[str, Properties]) -> None:
        """A new object."""
        self.all[path] = interfaces
        self._signal("/", _MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def remove(self, path: str) -> None:
        """It is gone, and what lies below it."""
        for one in [one for one in self.all if one == path or one.startswith(f"{path}/")]:
            self._signal("/", _MANAGER, "InterfacesRemoved", "oas", [one, list(self.all.pop(one))])

    def change(self, path: str, interface: str, properties: Properties) -> None:
        """Properties have new values."""
        self.all[path][interface].update(properties)
        self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, properties, []])

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        if self.send is not None:
            kind = MessageType.SIGNAL
            message = Message(
                message_type=kind, path=path, interface=interface, member=member, signature=signature, body=body
            )
            self.send(message)
