"""`lamppost-collector places`"""

import json
from pathlib import Path

import click

from collector.cli.options import FILE, database_option, gateway_option, reading
from collector.files import STANDARD, write_whole
from collector.tables.database import Target


@click.command("places")
@gateway_option
@click.option("--label", "labels", multiple=True, help="A label of the devices to tell as well; none otherwise.")
@click.option("--public/--all", "public", default=True, help="Devices with a public point (default), or every one.")
@click.option("-o", "--output", "target", type=FILE, default=STANDARD, help="A file, instead of standard output.")
@database_option
def command(database: Target, gateway: str | None, labels: tuple[str, ...], target: Path, *, public: bool) -> None:
    """Where the assets with open data stand, as GeoJSON."""
    from collector.export import places

    with reading(database) as opened:
        found = places.collection(opened, gateway=gateway, labels=labels, everything=not public)
    write_whole(target, json.dumps(found, ensure_ascii=False).encode() + b"\n")
