"""`lamppost-collector update`"""

from pathlib import Path

import click

from collector.cli.options import FILE, json_option, now_ms, tell


@click.group("update")
def command() -> None:
    """New versions of the gateways' package, signed."""


@command.command("sign")
@click.argument("package", type=FILE)
@click.option("--key", "key_file", type=FILE, required=True, help="The private key of role update.")
@click.option("--floor", help="What had this never goes below it again; its own version otherwise.")
@click.option("-o", "--output", "target", type=FILE, help="PACKAGE with the ending .update otherwise.")
@json_option
def sign(package: Path, key_file: Path, floor: str | None, target: Path | None, *, as_json: bool) -> None:
    """Make an update of the Debian package PACKAGE, for `lamppost update`. Runs anywhere; the key is kept offline."""
    from buffer.keys import SigningKey
    from collector.orders import updates

    target = target or package.with_suffix(".update")
    key = SigningKey.load(key_file)
    manifest = updates.sign(package, key, target, now_ms(), floor)
    row = {
        "version": manifest.version, "architecture": manifest.architecture, "floor": manifest.floor,
        "bytes": manifest.size, "sha256": manifest.sha256.hex(), "kid": key.kid.hex(), "file": str(target),
    }  # fmt: skip
    tell(f"{target}: {manifest.version} for {manifest.architecture}, signed by {key.kid.hex()}", row, as_json=as_json)
