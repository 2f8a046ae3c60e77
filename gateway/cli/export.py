"""`lamppost export`"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from gateway.cli.output import config_option, plain
from gateway.errors import NotVerified

if TYPE_CHECKING:
    from gateway.keeping.formats import Writer
    from gateway.keeping.history import Selection, Told

NICE = 10
"""The daemon goes first."""
FORMATS = ("csv", "ndjson", "senml")


class When(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on, and not before
    """A moment as ms since the epoch: a date, a date and time (UTC unless it says), or a duration before now."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from config import parse_duration

        text = str(value)
        with contextlib.suppress(ValueError):
            return time.time_ns() // 1_000_000 - parse_duration(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is no time; such are 24h (ago), 2026-11-23, 2026-11-23T12:00:00-05:00", param, ctx)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@click.command("export")
@click.argument("points", nargs=-1)
@click.option("--since", type=When(), help="From this time on: 2026-11-23, 2026-11-23T12:00Z, or 24h for 24 hours ago.")
@click.option("--until", type=When(), help="Before this time.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True, help="The form.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file, instead of stdout.")
@click.option("--store", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="A store file: a copy, or one that was set aside.  [default: the configuration's]")  # fmt: skip
@config_option
def command(
    points: tuple[str, ...], since: int | None, until: int | None, form: str, output: Path | None,
    store: Path | None, config: Path,
) -> None:  # fmt: skip
    """Write out the samples that the buffer has, delivered ones included. The daemon may run, or not.

    POINTS are full ids, or shell patterns such as 'meter1/*'; all by default. Rows come in the order of the batches;
    what is not sealed yet comes last.
    """
    from buffer.reader import Reader
    from gateway.cli.progress import Progress
    from gateway.keeping.formats import WRITERS
    from gateway.keeping.history import History, Selection

    os.nice(NICE)
    selection = Selection(points, since, until)
    with (
        Reader(store or _configured(config)) as reader,
        Progress("export", prints=output is None) as progress,
        _opened(output) as out,
    ):
        history = History(reader, selection, progress.at)
        writer = WRITERS[form](out, reader.gateway)
        for sample in history.samples():
            writer.write(sample)
        writer.close()
    _tell(writer, history.told, selection)


def _configured(config: Path) -> Path:
    from gateway.setup import installation

    return installation.read(config).config.buffer.path


@contextlib.contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """Where the text goes; a file is there wholly or not at all."""
    if output is None:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]  # it is a TextIOWrapper
        yield sys.stdout
        sys.stdout.flush()
        return
    part = output.with_name(output.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as out:
            yield out
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _tell(writer: "Writer", told: "Told", selection: "Selection") -> None:
    """What is not among it, on stderr."""
    click.echo(f"{writer.written} samples", err=True)
    for reason, count in writer.left_out.items():
        click.echo(f"{count} left out: {reason}", err=True)
    if selection.timed and told.undated:
        click.echo(f"{told.undated} left out: nobody knows their time (the clock was never set in that boot)", err=True)
    for line in told.damaged:
        click.echo(plain(f"damaged: {line}"), err=True)
    if told.damaged:
        raise NotVerified(f"{len(told.damaged)} batches are damaged; all others are written")
