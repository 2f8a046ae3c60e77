"""`lamppost tail --frames`"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import plain, print_json
from gateway.cli.scan import refuse_to_overwrite
from gateway.control.client import Client
from gateway.control.sockets import status_socket

Write = Callable[[dict[str, Any]], bool]
"""Takes a frame; whether there is room for more."""


def print_frames(
    buses: tuple[str, ...], count: int | None, record: Path | None, run_dir: Path, *, as_json: bool
) -> None:
    """Show frames until `count`, Ctrl-C, or the recording is as long as one may be."""
    if record is not None:
        refuse_to_overwrite(record)
        if len(buses) != 1:
            raise click.UsageError("--record: name the one bus to record")
    shown = 0
    with Client(status_socket(run_dir)) as client:
        rows = client.stream("frames", buses=list(buses))
        heads = [next(rows)] if buses else []
        with _recording(record, heads) as write:
            for row in rows:
                if "driver" in row:
                    continue
                if row.get("missed"):
                    click.echo(f"... {row['missed']} pieces not shown", err=True)
                    continue
                _show(row, as_json=as_json)
                shown += 1
                if not write(row) or shown == count:
                    return


@contextmanager
def _recording(file: Path | None, heads: list[dict[str, Any]]) -> Iterator[Write]:
    """Writes frames to a file, if there is to be one."""
    if file is None:
        yield lambda _: True
        return
    from drivers.recording import MAX_BYTES, line

    head = heads[0]
    first: float | None = None
    with file.open("x", encoding="ascii") as out:
        out.writelines(f"# {text}\n" for text in _head(file, head))

        def write(row: dict[str, Any]) -> bool:
            nonlocal first
            first = row["utc_ms"] if first is None else first
            at = max(0.0, (row["utc_ms"] - first) / 1000)
            out.write(line(at, sent=row["sent"], data=bytes.fromhex(row["hex"]), what=row["what"]))
            out.flush()
            if out.tell() < MAX_BYTES - MAX_BYTES // 1000:
                return True
            click.echo(f"{file} has {MAX_BYTES} bytes, and takes no more", err=True)
            return False

        yield write


def _head(file: Path, head: dict[str, Any]) -> Iterator[str]:
    """How to play it."""
    yield f"recorded {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} by lamppost; to play it:"
    yield f"[buses.{head['bus']}]"
    yield 'driver = "replay"'
    yield f'of = "{head["driver"]}"'
    yield f'file = "{file.name.encode("ascii", "replace").decode()}"'
    if head["transport"]:
        yield f'bus = {{ transport = "{head["transport"]}" }}'


def _show(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    when = datetime.fromtimestamp(row["utc_ms"] / 1000, UTC).astimezone()
    arrow = ">" if row["sent"] else "<"
    text = f"{row['hex']}  {row['what']}" if row["what"] and row["hex"] else row["hex"] or row["what"]
    if not row["what"]:
        text = f"{text}  {bytes.fromhex(row['hex']).decode('latin-1').strip()!a}"
    click.echo(plain(f"{when:%H:%M:%S}.{when.microsecond // 1000:03d}  {row['bus']:<10} {arrow} {text}"))
