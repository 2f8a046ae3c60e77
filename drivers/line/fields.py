"""From the texts of a line to a device's points: numbers exact, scaled exactly, or absent with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import Field as Bounds

from drivers.base import DeviceSetup, Options, PointSetup
from drivers.line.formats import Fields, Format
from drivers.line.pattern import group
from drivers.numbers import Scaling, number
from ext import BAD_ANSWER, GOOD, SENSOR_FAULT, Value

MAX_MISSING = 16  # texts that say "no value"; manuals name up to three
MAX_TEXT = 256  # characters of a value that is text

Problems = list[tuple[str, str, object]]


class LinePoint(Options):
    """`[devices.x.points.y]`: a field of the device's lines, by name."""

    field: str = Bounds(min_length=1, max_length=32)
    kind: Literal["number", "text"] = "number"
    missing: tuple[str, ...] = Bounds(default=(), max_length=MAX_MISSING)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One point and the field that feeds it."""

    id: str
    field: str
    kind: str
    missing: tuple[str, ...]
    scaling: Scaling

    def take(self, text: str) -> tuple[str, Value, int]:
        """The point with what `text` says: a sensor fault where it says nothing, a bad answer where it is no value."""
        text = text.strip()
        if not text or text in self.missing:
            return self.id, None, SENSOR_FAULT
        if self.kind == "text":
            return self.id, text[:MAX_TEXT], GOOD
        try:
            return self.id, *self.scaling.apply(number(text))
        except ValueError:
            return self.id, None, BAD_ANSWER


def wanted(device: DeviceSetup, formats: tuple[Format, ...], problems: Problems) -> tuple[Wanted, ...]:
    """The points of `device`; a field that no format gives is noted."""
    names = [one.names for one in formats]
    known = None if None in names else frozenset().union(*(cast("frozenset[str]", one) for one in names))
    return tuple(_wanted(device, point, known, problems) for point in device.points)


def _wanted(device: DeviceSetup, setup: PointSetup, known: frozenset[str] | None, problems: Problems) -> Wanted:
    options, point = cast("LinePoint", setup.options), setup.point
    name = options.field if known is None else group(options.field)
    if known is not None and name not in known:
        path = f"devices.{device.device.id}.points.{point.name}.field"
        problems.append((path, f"no line has that field; there are: {', '.join(sorted(known))}", options.field))
    return Wanted(point.id, name, options.kind, options.missing, Scaling.of(point))


def taken(points: tuple[Wanted, ...], fields: Fields) -> list[tuple[str, Value, int]]:
    """What `fields` say of `points`; those that they do not name are left out."""
    return [point.take(fields[point.field]) for point in points if point.field in fields]


def present(points: tuple[Wanted, ...], fields: Mapping[str, str]) -> list[tuple[str, Value, int]]:
    """As `taken`, with a bad answer for the points that the fields do not name."""
    return [
        point.take(fields[point.field]) if point.field in fields else (point.id, None, BAD_ANSWER) for point in points
    ]
