"""`lamppost tail`"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import json_option, plain, print_json, run_dir_option
from gateway.control.client import Client
from gateway.control.sockets import status_socket


@click.command("tail")
@click.argument("points", nargs=-1, metavar="[POINT|BUS]...")
@click.option("-n", "count", type=click.IntRange(1), help="Stop after this many samples or frames.")
@click.option("--frames", is_flag=True, help="Show what goes over the buses, not samples.")
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False),
              help="With --frames and one BUS: write them to a file that the driver replay plays.")  # fmt: skip
@run_dir_option
@json_option
def command(
    points: tuple[str, ...], count: int | None, frames: bool, record: Path | None, run_dir: Path, as_json: bool
) -> None:
    """Show samples as they arrive. POINTS are full ids, or shell patterns such as 'meter1/*'; all by default.

    With --frames, every request and answer on the buses that are named, or on all.
    """
    if frames:
        from gateway.cli.tail_frames import print_frames

        print_frames(points, count, record, run_dir, as_json=as_json)
        return
    if record is not None:
        raise click.UsageError("--record goes with --frames")
    with Client(status_socket(run_dir)) as client:
        for index, sample in enumerate(client.stream("tail", points=list(points))):
            if as_json:
                print_json(sample)
            else:
                _show(sample)
            if count is not None and index + 1 >= count:
                return


def _show(sample: dict[str, Any]) -> None:
    if sample.get("missed"):
        click.echo(f"... {sample['missed']} samples not shown", err=True)
    when = datetime.fromtimestamp(sample["utc_ms"] / 1000, UTC).astimezone()
    value = "-" if sample["value"] is None else sample["value"]
    note = "" if sample["quality"] == "good" else f"  [{sample['quality']}]"
    click.echo(
        plain(f"{when:%H:%M:%S}.{when.microsecond // 1000:03d}  {sample['point']:<32} {value} {sample['unit']}{note}")
    )
