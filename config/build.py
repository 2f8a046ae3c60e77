"""Turn raw tables into models, adding what is wrong to a list instead of stopping at it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from config.errors import Problem, key_path
from config.merge import Entry
from config.models import Profile
from config.point import Point, Table
from config.problems import explain
from config.scalars import ID_HINT, Loading, is_identifier

MAX_POINTS = 100_000  # of all devices; ten times the largest plan measured, and about 100 MB of memory

Raw = dict[str, Any]
T = TypeVar("T", bound=Table)


@dataclass(slots=True)
class Builder:
    """What is known while tables are checked."""

    problems: list[Problem]
    files: dict[str, str] = field(default_factory=dict)
    points: int = 0

    def problem(self, file: Path, path: str, message: str, found: object = None) -> None:
        """Note one thing to mend."""
        self.problems.append(Problem(str(file), path, message, found))

    def table(self, model: type[T], entry: Entry, raw: dict[str, Any]) -> T | None:
        """`raw` as `model`; None after noting why not."""
        try:
            return model.model_validate(raw, context=Loading(entry.file.parent))
        except ValidationError as error:
            for path, message, found in explain(error, entry.path, model):
                self.problem(entry.file, path, message, found)
            return None

    def named(self, entry: Entry, name: str) -> bool:
        """Whether `name` is a proper id; noted when not."""
        if not is_identifier(name):
            self.problem(entry.file, entry.path, f"{ID_HINT}, for example lamp-7", name)
        return is_identifier(name)


def split(model: type[Table], raw: Raw, but: frozenset[str] = frozenset()) -> tuple[Raw, Raw]:
    """The keys that `model` knows, and the driver's own; those in `but` are in neither."""
    known = model.keys()
    ours = {key: value for key, value in raw.items() if key in known and key not in but}
    return ours, {key: value for key, value in raw.items() if key not in known and key not in but}


def point(builder: Builder, entry: Entry, device: str, name: str, raw: dict[str, Any]) -> Point | None:
    """One point out of its table; `device` is "" in a profile."""
    ours, options = split(Point, raw)
    full = f"{device}/{name}" if device else name
    return builder.table(Point, entry, {**ours, "id": full, "name": name, "options": options})


def point_tables(builder: Builder, entry: Entry) -> dict[str, Entry]:
    """The point tables of a device or profile, those with a bad name or that are no tables left out and noted."""
    raw = entry.table.get("points", {})
    path = f"{entry.path}.points" if entry.path else "points"
    if not isinstance(raw, dict):
        builder.problem(entry.file, path, "must be a table of points, for example [points.level]", raw)
        return {}
    found = {}
    for name, table in raw.items():
        one = Entry(entry.file, f"{path}.{key_path(name)}", table)
        if not builder.named(one, name):
            continue
        if not isinstance(table, dict):
            builder.problem(entry.file, one.path, "must be a table", table)
            continue
        found[name] = one
    return found


@dataclass(frozen=True, slots=True)
class Shelved:
    """A profile, the file it came from, that file's table, and the tables that its points were made from."""

    profile: Profile
    file: Path
    table: Raw
    tables: dict[str, Entry]


def merge_points(
    builder: Builder, device: Entry, name: str, own: dict[str, Entry], shelved: Shelved | None
) -> dict[str, Point]:
    """The points of a device: the profile's, each key overridden by the device's own, then those that only it has."""
    inherited = shelved.profile.points if shelved is not None else {}
    before, builder.points = builder.points, builder.points + len(inherited.keys() | own.keys())
    if builder.points > MAX_POINTS:
        if before <= MAX_POINTS:
            builder.problem(device.file, device.path, f"all devices together have more than {MAX_POINTS} points")
        return {}
    points = {key: p.model_copy(update={"id": f"{name}/{key}"}) for key, p in inherited.items() if key not in own}
    for key, entry in own.items():
        base = shelved.tables[key].table if shelved is not None and key in inherited else {}
        made = point(builder, entry, name, key, {**base, **entry.table})
        if made is not None:
            points[key] = made
    return points
