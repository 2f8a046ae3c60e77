"""One installation out of several files: each table stands in exactly one of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.errors import Problem, key_path
from config.source import Source
from config.suggest import choice

SECTIONS = ("gateway", "uplink", "buffer")
COLLECTIONS = ("buses", "devices")


@dataclass(frozen=True, slots=True)
class Entry:
    """One table, its key path, and the file it stands in."""

    file: Path
    path: str
    table: dict[str, Any]


@dataclass(slots=True)
class Tables:
    """The tables of all files together."""

    sections: dict[str, Entry] = field(default_factory=dict)
    buses: dict[str, Entry] = field(default_factory=dict)
    devices: dict[str, Entry] = field(default_factory=dict)


def merge(sources: Sequence[Source], problems: list[Problem]) -> Tables:
    """The tables of all files; one that stands in two is a problem that names both."""
    tables = Tables()
    for source in sources:
        for name, value in source.table.items():
            if name in SECTIONS:
                _put(tables.sections, name, Entry(source.file, name, value), problems)
            elif name in COLLECTIONS:
                target = tables.buses if name == "buses" else tables.devices
                for key, entry in _members(source, name, value, problems):
                    _put(target, key, entry, problems)
            else:
                message = f"unknown table; {choice(name, SECTIONS + COLLECTIONS)}"
                problems.append(Problem(str(source.file), key_path(name), message, value))
    return tables


def _members(source: Source, name: str, value: object, problems: list[Problem]) -> Iterator[tuple[str, Entry]]:
    if not isinstance(value, dict):
        problems.append(Problem(str(source.file), name, "must be a table", value))
        return
    for key, table in value.items():
        yield key, Entry(source.file, key_path(name, key), table)


def _put(target: dict[str, Entry], key: str, entry: Entry, problems: list[Problem]) -> None:
    if not isinstance(entry.table, dict):
        problems.append(Problem(str(entry.file), entry.path, "must be a table", entry.table))
    elif key in target:
        message = f"is defined twice; the other one is in {target[key].file}"
        problems.append(Problem(str(entry.file), entry.path, message))
    else:
        target[key] = entry
