"""What is wrong with the points of a device that no single table shows."""

from collections.abc import Iterator

from config import Point
from drivers.base import DeviceSetup
from drivers.modbus.options import DeviceOptions
from drivers.modbus.point import PointOptions
from drivers.modbus.raw import says
from drivers.modbus.reads import options_of, where_of

BROADCAST = 0  # Modbus over Serial Line V1.02, 2.2

Problem = tuple[str, str, object]
"""Key path, message, value found."""


def problems_of(device: DeviceSetup, *, line: bool = False) -> Iterator[Problem]:
    """All of them; `line`: it is on a serial line, behind a converter or not."""
    if line and options_of(device).address == BROADCAST:
        message = "unit 0 on a line is everybody, and nobody answers; units are 1 to 247"
        yield f"devices.{device.device.id}.address", message, BROADCAST
    for point in device.points:
        path = f"devices.{device.device.id}.points.{point.point.name}"
        yield from _place(path, where_of(point), options_of(device))
        yield from _sentinels(path, point.point, where_of(point))
        yield from _names(path, where_of(point))
        if where_of(point).is_text:
            yield from _text(path, point.point)


def _place(path: str, where: PointOptions, options: DeviceOptions) -> Iterator[Problem]:
    if where.beyond:
        yield f"{path}.register", where.beyond, where.address
    for key, number in (("register", where.address), ("scale_register", where.scale_register)):
        meant = "" if number is None else where.old_notation(number)
        if meant and not options.high_registers and not (key == "register" and where.beyond):
            yield f"{path}.{key}", f"{meant}; if it is meant as it stands, the device has high_registers = true", number
    if where.count > options.cap(where.table):
        message = f"{where.stored} takes {where.count} registers, but max_registers is {options.max_registers}"
        yield f"{path}.{'length' if where.stored == 'string' else 'type'}", message, where.length or where.stored


def _sentinels(path: str, point: Point, where: PointOptions) -> Iterator[Problem]:
    """Those beyond the type, where no scan plan says so."""
    if where.fixed:
        return
    layout = None if where.stored == "string" else where.layout(where.address)
    bits = 0 if layout is None else layout.bits or (1 if layout.type == "bool" else 8 * layout.width)
    for value in point.sentinel:
        if layout is None or not -(1 << bits - 1) <= value < 1 << bits:
            yield f"{path}.sentinel", f"{value} is never read as {where.stored}", value


def _names(path: str, where: PointOptions) -> Iterator[Problem]:
    """Those of numbers beyond the type."""
    layout = None if where.values is None else where.layout(where.address)
    for number in where.values or ():
        if layout is not None and not says(layout, number):
            yield f"{path}.values", f"{number} is never read as {where.stored}", number


def _text(path: str, point: Point) -> Iterator[Problem]:
    """What numbers have, and texts have not."""
    found = {
        "scale": point.scale if point.scale != 1 else None,
        "offset": point.offset or None,
        "limits": point.limits,
        "counter": point.counter,
        "report.deadband": point.report.deadband or None,
        "report.window": point.report.window,
    }
    for key, value in found.items():
        if value is not None:
            yield f"{path}.{key}", "the point says texts, which have none", value
