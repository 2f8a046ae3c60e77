"""`lamppost queue`"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import json_option, print_json, print_table, run_dir_option
from gateway.control.client import Client
from gateway.control.sockets import status_socket


@click.command("queue")
@run_dir_option
@click.option("--save", nargs=2, type=(int, click.Path(path_type=Path, dir_okay=False)), metavar="NUMBER FILE",
              help="Write a batch, as it is sent, into FILE.")  # fmt: skip
@click.option("--store", "--buffer", "buffer", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Read this store file instead of asking the daemon.")  # fmt: skip
@json_option
def command(run_dir: Path, save: tuple[int, Path] | None, buffer: Path | None, as_json: bool) -> None:
    """Show the batches that wait for the platform's acknowledgement, and those that were set aside."""
    if save is not None:
        _save(run_dir, buffer, *save)
        return
    rows = _offline(buffer) if buffer is not None else _ask(run_dir)
    if as_json:
        print_json(rows)
        return
    print_table(
        "",
        ("number>", "kind", "priority", "samples>", "bytes>", ""),
        [
            (r["number"], r["kind"], r["priority"], r["samples"], r["bytes"],
             _remark(r))
            for r in rows
        ],
    )  # fmt: skip
    total, shown = _total(run_dir, buffer), sum(not row["salvaged"] for row in rows)
    refused = f", {total['refused']} of them set aside" if total["refused"] else ""
    more = f", the oldest {shown} shown" if shown < total["batches"] else ""
    click.echo(f"{total['batches']} batches, {total['samples']} samples, {total['bytes']} bytes{refused}{more}")
    if salvaged := len(rows) - shown:
        click.echo(f"{salvaged} batches more, salvaged from a damaged buffer (lamppost status)")


def _remark(row: dict[str, Any]) -> str:
    """What is not as usual with a batch."""
    told = ["salvaged"] * row["salvaged"]
    told += [f"thinned to {row['thinned_s']} s"] if row["thinned_s"] else []
    told += [f"set aside: {row['refused']}"] if row["refused"] is not None else []
    return "; ".join(told)


def _total(run_dir: Path, buffer: Path | None) -> dict[str, int]:
    """The sums over everything that waits."""
    if buffer is None:
        with Client(status_socket(run_dir)) as client:
            held: dict[str, int] = client.call("status")["buffer"]["held"]
            return held
    from buffer.reader import Reader

    with Reader(buffer) as reader:
        return asdict(reader.stock().held)


def _ask(run_dir: Path) -> list[dict[str, Any]]:
    with Client(status_socket(run_dir)) as client:
        rows: list[dict[str, Any]] = client.call("queue")
        return rows


def _offline(buffer: Path) -> list[dict[str, Any]]:
    from buffer.reader import Reader
    from gateway.keeping.queued import held_json

    with Reader(buffer) as reader:
        return [held_json(batch) for batch in reader.held()]


def _save(run_dir: Path, buffer: Path | None, number: int, target: Path) -> None:
    from buffer.reader import read_batches
    from gateway.errors import GatewayError

    if buffer is None:
        with Client(status_socket(run_dir)) as client:
            buffer = Path(client.call("status")["buffer"]["path"])
    for batch in read_batches(buffer, number, number):
        target.write_bytes(batch.message)
        return
    raise GatewayError(f"batch {number} is not in {buffer}", "lamppost queue")
