"""The source of a schedule: a TOML or JSON file that people edit, review and keep under version control."""

import json
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from buffer import schedule
from buffer.command import read_point, read_value
from buffer.errors import BatchFormatError
from buffer.schedule import EVERY_DAY, Entry
from collector.errors import CommandFault
from collector.files import read_bounded

MAX_SOURCE_BYTES = 256 << 10  # MAX_ENTRIES with long lists, and as much again of comments
FIELDS = {"point", "points", "at", "value", "days", "earliest", "latest", "only", "unless"}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def load(path: Path) -> tuple[Entry, ...]:
    """The entries in a file; raises CommandFault with the file's name."""
    try:
        return parse(read_bounded(path, MAX_SOURCE_BYTES).decode())
    except (UnicodeError, CommandFault) as error:
        raise CommandFault(f"{path}: {error}") from error


def parse(text: str) -> tuple[Entry, ...]:
    """The entries of a source; raises CommandFault."""
    try:
        table = (
            json.loads(text, parse_float=Decimal)
            if text.lstrip().startswith("{")
            else tomllib.loads(text, parse_float=Decimal)
        )
    except (ValueError, RecursionError) as error:
        raise CommandFault(str(error)) from error
    if unknown := set(table) - {"entry"}:
        raise CommandFault(f"unknown: {', '.join(sorted(unknown))}; a source has nothing but [[entry]] tables")
    rows = table.get("entry", [])
    if not isinstance(rows, list) or not 1 <= len(rows) <= schedule.MAX_ENTRIES:
        raise CommandFault(f"a schedule has 1 to {schedule.MAX_ENTRIES} entries, written as [[entry]] tables")
    return tuple(_entries(rows))


def _entries(rows: list[Any]) -> Iterator[Entry]:
    for count, row in enumerate(rows, 1):
        try:
            yield _entry(row)
        except (BatchFormatError, CommandFault) as error:
            raise CommandFault(f"entry {count}: {error}") from error


def _entry(row: Any) -> Entry:  # noqa: ANN401 - what a file says
    if not isinstance(row, dict) or (unknown := set(row) - FIELDS):
        known = ", ".join(sorted(FIELDS))
        raise CommandFault(f"unknown: {', '.join(sorted(unknown))}; known: {known}" if isinstance(row, dict) else known)
    if missing := {"at", "value"} - set(row) or ({"points"} if not {"point", "points"} & set(row) else set()):
        raise CommandFault(f"lacks {' and '.join(sorted(missing))}")
    value = row["value"]
    points = [*_texts(row, "points"), *([row["point"]] if "point" in row else [])]
    return Entry(
        tuple(map(read_point, points)),
        _text(row, "at"),
        read_value(Decimal(value) if type(value) is int else value),
        _days(row.get("days", list(DAYS))),
        _text(row, "earliest"),
        _text(row, "latest"),
        _texts(row, "only"),
        _texts(row, "unless"),
    )


def _days(names: Any) -> str:  # noqa: ANN401 - what a file says
    if not isinstance(names, list) or not names or not all(name in DAYS for name in names):
        raise CommandFault(f"days is a list of {', '.join(DAYS)}")
    return "".join(day for day in EVERY_DAY if DAYS[int(day) - 1] in names)


def _text(row: dict[str, Any], name: str) -> str:
    found = row.get(name, "")
    if not isinstance(found, str):
        raise CommandFault(f"{name} is a text in quotes")
    return found


def _texts(row: dict[str, Any], name: str) -> tuple[str, ...]:
    found = row.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise CommandFault(f"{name} is a list of texts")
    return tuple(found)
