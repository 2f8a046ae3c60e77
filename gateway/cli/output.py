"""What every verb prints with: data on stdout, as a table for people or as JSON; texts from devices made harmless."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from gateway.control.client import run_dir
from gateway.plain import plain

__all__ = ("config_option", "json_option", "plain", "print_json", "print_table", "run_dir_option")

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def config_option(function: F) -> F:
    """`--config`, by default /etc/lamppost/lamppost.toml."""
    return click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path, readable=False),  # what is wrong with it, config says: exit code 78
        default=Path("/etc/lamppost/lamppost.toml"),
        envvar="LAMPPOST_CONFIG",
        show_default=True,
        help="The main configuration file; conf.d/*.toml beside it is read too.",
    )(function)


def run_dir_option(function: F) -> F:
    """`--run-dir`, where the daemon's sockets are."""
    return click.option(
        "--run-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=run_dir,
        help="Where the daemon's sockets are.  [default: $LAMPPOST_RUN_DIR or /run/lamppost]",
    )(function)


def print_json(value: object) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(value, separators=(",", ":"), default=str) + "\n")
    sys.stdout.flush()


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, one_line: bool = False
) -> None:
    """A table on stdout; a column whose name ends in `>` stands to the right; of `one_line`, cells are cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        side: Literal["left", "right"] = "right" if column.endswith(">") else "left"
        table.add_column(column.rstrip(">"), justify=side, no_wrap=one_line)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console().print(table)
