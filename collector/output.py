"""What the verbs print: data to standard output as a table or NDJSON; nothing a device sent acts on the terminal."""

import datetime as dt
import json
import sys
from collections.abc import Iterable, Sequence

import click

MAX_CELL = 200  # characters of a text in a table


def printable(value: object, *, whole: bool = False) -> str:
    """Return the value as text of one line; characters that are not printable (controls, bidi marks) become escapes.

    It is cut short unless it is wanted `whole`: what is signed is shown to the last character.
    """
    text = "" if value is None else str(value)
    shown = text if whole or len(text) <= MAX_CELL else text[: MAX_CELL - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def moment(utc_ms: int | None) -> str:
    """Return ms since the epoch as UTC, or nothing."""
    if utc_ms is None:
        return ""
    try:
        return dt.datetime.fromtimestamp(utc_ms / 1000, dt.UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
    except (ValueError, OverflowError, OSError):
        return f"{utc_ms} ms"


def as_json(row: object) -> None:
    """Print one JSON object as a line."""
    click.echo(json.dumps(row))


def as_table(columns: Sequence[str], rows: Iterable[Iterable[object]], *, asked: bool = False) -> None:
    """Print a table; every cell is made harmless. Colours follow NO_COLOR and the terminal.

    What somebody is `asked` about goes to standard error, whole.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell, whole=asked)) for cell in row))
    terminal = (sys.stderr if asked else sys.stdout).isatty()
    Console(width=None if terminal else 1000, stderr=asked).print(table)


def note(text: str) -> None:
    """Say something that is not data, on standard error."""
    click.echo(printable(text), err=True)
