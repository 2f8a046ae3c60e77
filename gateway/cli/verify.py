"""`lamppost verify`"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import json_option, plain, print_json, print_table

if TYPE_CHECKING:
    from buffer.keys import PublicKey


@click.command("verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--key", "key_file", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=True,
              help="The gateway's public key: what `lamppost key show` prints.")  # fmt: skip
@json_option
def command(file: Path, key_file: Path, as_json: bool) -> None:
    """Verify FILE: a batch as it is sent, a whole buffer or the record of a commissioning. Exit code 65: it fails."""
    from buffer.commissioning import is_record
    from buffer.keys import PublicKey

    key = PublicKey.load(key_file)
    if is_record(file):
        _record(file, key, as_json)
    else:
        _batches(file, key, as_json)
    click.echo("verified", err=True)


def _batches(file: Path, key: "PublicKey", as_json: bool) -> None:
    from buffer.chain import verify_file
    from ext import unpack
    from gateway.cli.progress import Progress
    from gateway.errors import NotVerified

    with Progress("verify") as progress:
        report = verify_file(file, key, lambda blocks: len(unpack(blocks)), progress.at)
    summary = {
        "gateway": report.gateway,
        "streams": [stream.hex() for stream in report.streams],
        "batches": report.batches,
        "samples": report.samples,
        "first": report.first,
        "last": report.last,
        "missing": list(report.missing),
        "findings": [{"number": finding.number, "what": finding.what} for finding in report.findings],
    }
    if as_json:
        print_json({"file": str(file), "ok": report.ok, **summary})
    else:
        for name, value in summary.items():
            click.echo(plain(f"{name}: {value}"))
    if not report.ok:
        raise NotVerified(f"{file}: {len(report.findings)} faults, {len(report.missing)} gaps")


def _record(file: Path, key: "PublicKey", as_json: bool) -> None:
    """Show what a technician signed for; raises what `Record.read` does."""
    from dataclasses import asdict

    from buffer.commissioning import Record

    record = Record.read(file.read_bytes(), key)
    if as_json:
        print_json({"file": str(file), "ok": True, "record": asdict(record)})
        return
    when = f"{datetime.fromtimestamp(record.at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC (clock {record.clock})"
    click.echo(plain(f"commissioning of {record.gateway} at {record.site} by {record.who}, {when}"))
    if record.note:
        click.echo(plain(record.note))
    rows = [(k.verdict, k.point, k.value, k.unit, k.quality, k.note) for k in record.looks]
    print_table("", ("verdict", "point", "value>", "unit", "quality", "note"), rows)
