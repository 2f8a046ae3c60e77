"""Points become visits: which characteristics of a device are read in one connection, and how often. Sans-IO."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from config.units import format_duration
from drivers.base import DeviceSetup, PointSetup, Read
from drivers.ble_gatt.options import BATTERY_EVERY, GattDevice, GattPoint

# Connections that an adapter holds at once besides the one that visits: cheap controllers have room for ten or less.
MAX_KEPT = 6

Problem = tuple[str, str, object]


@dataclass(frozen=True, slots=True)
class Part:
    """One characteristic and its points; `read` is how the kernels decode its value."""

    characteristic: str
    service: str | None
    notify: bool
    optional: bool
    read: Read


def visits(device: DeviceSetup) -> Iterator[Read]:
    """One for each period; `request` is its parts."""
    periods: defaultdict[int, list[PointSetup]] = defaultdict(list)
    for point in device.points:
        periods[_every(device, point)].append(point)
    for every, points in periods.items():
        names = tuple(point.point.id for point in points)
        yield Read(device.device.id, (), tuple(_parts(device.device.id, points, every)), every, names)


def kept(device: DeviceSetup) -> bool:
    """Whether it stays connected, to be notified."""
    return any(_options(point).notify for point in device.points)


def problems(devices: Sequence[DeviceSetup]) -> Iterator[Problem]:
    """Addresses that are used twice, periods too short for a battery, and more kept connections than there is room."""
    seen: dict[str, str] = {}
    for device in devices:
        path, address = f"devices.{device.device.id}", cast("GattDevice", device.options).address
        if address in seen:
            yield f"{path}.address", f"is the address of {seen[address]} too", address
        seen.setdefault(address, device.device.id)
        yield from _too_often(path, device)
    many = [device.device.id for device in devices if kept(device)]
    if len(many) > MAX_KEPT:
        yield f"devices.{many[MAX_KEPT]}", f"an adapter keeps {MAX_KEPT} devices connected for notify", len(many)


def _too_often(path: str, device: DeviceSetup) -> Iterator[Problem]:
    shortest = cast("GattDevice", device.options).shortest
    if kept(device):  # the link is up anyway
        return
    message = (
        f"the device may be visited every {format_duration(shortest)} at most, for its battery's sake; "
        'one that is fed otherwise has supply = "mains", one that bears more has min_every'
    )
    if device.device.every and device.device.every < shortest:
        yield f"{path}.every", message, format_duration(device.device.every)
    for point in device.points:
        if point.point.every and point.point.every < shortest:
            yield f"{path}.points.{point.point.name}.every", message, format_duration(point.point.every)


def _every(device: DeviceSetup, point: PointSetup) -> int:
    shortest = cast("GattDevice", device.options).shortest
    return point.point.every or device.device.every or max(BATTERY_EVERY, shortest)


def _parts(device: str, points: Sequence[PointSetup], every: int) -> Iterator[Part]:
    by_place: defaultdict[tuple[str, str | None, bool], list[PointSetup]] = defaultdict(list)
    for point in points:
        options = _options(point)
        by_place[options.characteristic, options.service, options.notify].append(point)
    for (characteristic, service, notify), group in by_place.items():
        layouts = tuple((point.point.id, _options(point).layout()) for point in group)
        optional = all(_options(point).optional for point in group)
        yield Part(characteristic, service, notify, optional, Read(device, layouts, characteristic, every))


def _options(point: PointSetup) -> GattPoint:
    return cast("GattPoint", point.options)
