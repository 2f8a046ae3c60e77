"""The connections of a simulated BlueZ: services, characteristics, and devices that do not answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from dbus_fast import Message, Variant
from dbus_fast.aio.message_bus import MessageBus

from drivers.simulated.objects import DEVICE, Objects

_SERVICE = "org.bluez.GattService1"
_CHARACTERISTIC = "org.bluez.GattCharacteristic1"
_FAILED = "org.bluez.Error.Failed"
_UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"

_STEP = 16  # handles that a service has: two of its own, three for each characteristic


@dataclass
class Characteristic:
    """One characteristic: what it holds now, and what may be done with it."""

    value: bytes = b""
    flags: tuple[str, ...] = ("read",)
    notifying: bool = False


Service = dict[str, Characteristic]
"""Characteristics by UUID."""


@dataclass
class Gatt:
    """What can be connected to, by path of the device. `stuck` never answers Connect, `broken` answers with a text.

    `connected` is what is connected now, `most` the largest number that ever was at once, `connects` each attempt.
    """

    objects: Objects
    services: dict[str, dict[str, Service]] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    connects: list[str] = field(default_factory=list)
    connected: set[str] = field(default_factory=set)
    most: int = 0
    seconds: float = 0.0
    on_read: Callable[[str, Characteristic], None] = lambda _path, _characteristic: None
    _found: dict[str, Characteristic] = field(default_factory=dict)

    def notify(self, path: str, uuid: str, value: bytes) -> bool:
        """A characteristic of the device changes; whether somebody wants to know."""
        for place, one in self._found.items():
            if place.startswith(f"{path}/") and self.objects.get(place, _CHARACTERISTIC, "UUID").value == uuid:
                one.value = value
                if one.notifying:
                    self.objects.change(place, _CHARACTERISTIC, {"Value": Variant("ay", value)})
                return one.notifying
        return False

    def drop(self, path: str) -> None:
        """The link is lost."""
        self.connected.discard(path)
        for place, one in self._found.items():
            if place.startswith(f"{path}/"):
                one.notifying = False
        self.objects.change(path, DEVICE, {"ServicesResolved": Variant("b", False)})
        self.objects.change(path, DEVICE, {"Connected": Variant("b", False)})

    def answer(self, message: Message, path: str, bus: MessageBus) -> Message | bool:
        """The reply to a method of a device or characteristic; True when it comes later, or never."""
        if message.member == "Connect":
            return self._connect(message, path, bus)
        if message.member == "Disconnect":
            if path in self.connected:
                self.drop(path)
            return Message.new_method_return(message)
        if path in self._found:
            return self._characteristic(message, path, self._found[path])
        return Message.new_error(message, _UNKNOWN_METHOD, str(message.member))

    def _connect(self, message: Message, path: str, bus: MessageBus) -> Message | bool:
        self.connects.append(path)
        if path in self.stuck:
            return True
        if path in self.broken:
            return Message.new_error(message, _FAILED, self.broken[path])
        if not self.seconds:
            self._link(path)
            return Message.new_method_return(message)
        asyncio.get_running_loop().call_later(self.seconds, self._later, message, path, bus)
        return True

    def _later(self, message: Message, path: str, bus: MessageBus) -> None:
        self._link(path)
        bus.send(Message.new_method_return(message))

    def _link(self, path: str) -> None:
        self.connected.add(path)
        self.most = max(self.most, len(self.connected))
        self.objects.change(path, DEVICE, {"Connected": Variant("b", True)})
        self._publish(path)
        self.objects.change(path, DEVICE, {"ServicesResolved": Variant("b", True)})

    def _publish(self, path: str) -> None:
        for number, (uuid, service) in enumerate(self.services.get(path, {}).items()):
            place = f"{path}/service{number * _STEP + 1:04x}"
            if place in self.objects:
                continue
            about = {"UUID": Variant("s", uuid), "Device": Variant("o", path), "Primary": Variant("b", True)}
            self.objects.add(place, {_SERVICE: about})
            for index, (name, one) in enumerate(service.items()):
                self._add(f"{place}/char{number * _STEP + 2 + 3 * index:04x}", place, name, one)

    def _add(self, place: str, service: str, uuid: str, one: Characteristic) -> None:
        self._found[place] = one
        about = {
            "UUID": Variant("s", uuid),
            "Service": Variant("o", service),
            "Flags": Variant("as", list(one.flags)),
            "MTU": Variant("q", 247),
        }
        self.objects.add(place, {_CHARACTERISTIC: about})

    def _characteristic(self, message: Message, path: str, one: Characteristic) -> Message:
        if path.rpartition("/service")[0] not in self.connected:
            return Message.new_error(message, _FAILED, "Not connected")
        if message.member == "ReadValue":
            self.on_read(path, one)
            return Message.new_method_return(message, "ay", [one.value])
        if message.member == "WriteValue":
            one.value = bytes(message.body[0])
        elif message.member in ("StartNotify", "StopNotify"):
            one.notifying = message.member == "StartNotify"
        else:
            return Message.new_error(message, _UNKNOWN_METHOD, str(message.member))
        return Message.new_method_return(message)
