"""`lamppost verify`"""

from pathlib import Path

import click

from gateway.cli.output import json_option, plain, print_json


@click.command("verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--key", "key_file", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=True,
              help="The gateway's public key: what `lamppost key show` prints.")  # fmt: skip
@json_option
def command(file: Path, key_file: Path, as_json: bool) -> None:
    """Verify FILE, a batch as it is sent or a whole buffer: signatures, chain, contents. Exit code 65 if it fails."""
    from buffer.chain import verify_file
    from buffer.keys import PublicKey
    from ext import unpack
    from gateway.cli.progress import Progress
    from gateway.errors import NotVerified

    with Progress("verify") as progress:
        report = verify_file(file, PublicKey.load(key_file), lambda blocks: len(unpack(blocks)), progress.at)
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
    click.echo("verified", err=True)
