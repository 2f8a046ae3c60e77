"""`lamppost-collector export`"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from collector import output
from collector.cli.options import FILE, database_option, gateway_option, now_ms, reading
from collector.errors import FileFault, UsageError
from collector.files import STANDARD, sync
from collector.tables.database import Target

if TYPE_CHECKING:
    from collector.export.parquet import ParquetFolder
    from collector.export.texts import Writer

FORMATS = ("csv", "ndjson", "senml", "parquet")


@click.command("export")
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option("--from", "since", help="From this time on: 2026-05-04T12:00 (UTC), 24h (ago), or ms since 1970.")
@click.option("--to", "until", help="Before this time.")
@click.option("--point", "points", multiple=True, help="Shell pattern of device/point or gateway/device/point.")
@gateway_option
@click.option("--public/--all", "public", default=True, help="Points marked public only (default), or every one.")
@click.option("--state", type=FILE, help="Go on where the export that wrote this file ended, and note where this does.")
@click.option("-o", "--output", "target", type=FILE, default=STANDARD, help="A file, or for Parquet a folder.")
@database_option
def command(
    database: Target, form: str, since: str | None, until: str | None, points: tuple[str, ...], gateway: str | None,
    state: Path | None, target: Path, *, public: bool,
) -> None:  # fmt: skip
    """Samples as files, in the order in which they arrived. Only points marked public, unless --all."""
    from collector.export import state as states
    from collector.export.reading import Selection, Source
    from collector.query import parse_time

    times = [None if text is None else parse_time(text, now_ms()) for text in (since, until)]
    selection = Selection(points, gateway, times[0], times[1], everything=not public)
    with reading(database) as opened:
        source = Source(opened, selection)
        after = 0 if state is None else states.load(state, selection, source)
        with _opened(form, target, after, fresh=state is None) as writer:
            for found in source.readings(after):
                writer.write(found)
            writer.close()
        if state is not None and source.newest is not None:
            states.save(state, selection, source.newest)
    output.note(f"{writer.written} samples")
    for reason, count in writer.left_out.items():
        output.note(f"{count} left out: {reason}")


@contextlib.contextmanager
def _opened(form: str, target: Path, after: int, *, fresh: bool) -> Iterator["Writer | ParquetFolder"]:
    if form == "parquet":
        with _folder(target, after, fresh=fresh) as folder:
            yield folder
        return
    from collector.export.texts import WRITERS

    with _text(target) as out:
        yield WRITERS[form](out)


@contextlib.contextmanager
def _folder(target: Path, after: int, *, fresh: bool) -> Iterator["ParquetFolder"]:
    from collector.export.parquet import ParquetFolder

    if target == STANDARD:
        raise UsageError("Parquet goes into a folder: --output")
    if fresh and target.is_dir() and any(target.iterdir()):
        raise UsageError(f"{target}: is not empty; --state goes on where an export ended")
    folder = ParquetFolder(target, after)
    try:
        yield folder
    finally:
        folder.abandon()


@contextlib.contextmanager
def _text(target: Path) -> Iterator[TextIO]:
    """Where the text goes; a file is there wholly or not at all."""
    if target == STANDARD:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]  # it is a TextIOWrapper
        yield sys.stdout
        sys.stdout.flush()
        return
    part = target.with_name(f".{target.name}.new")
    try:
        with part.open("w", encoding="utf-8", newline="") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
        sync(target.parent)
    except OSError as error:
        raise FileFault(f"{target}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
