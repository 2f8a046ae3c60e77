"""`lamppost device quirks`"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import config_option, json_option, print_json, print_table, run_dir_option

if TYPE_CHECKING:
    from gateway.polling.quirks import Kept


@click.command("quirks")
@click.argument("device", required=False)
@click.option("--forget", is_flag=True, help="Forget it: everything is asked again.")
@config_option
@run_dir_option
@json_option
def command(device: str | None, *, forget: bool, config: Path, run_dir: Path, as_json: bool) -> None:
    """Show what was learned of DEVICE, or of all: what it refuses, and how much it gives in one answer."""
    from gateway.polling import quirks
    from gateway.setup import installation

    installed = installation.read(config).config
    path = quirks.beside(installed.buffer.path)
    if device is not None and device not in installed.devices:
        raise click.UsageError(f"no device {device!r} in {config}")
    if forget:
        _forget(path, run_dir, device, as_json=as_json)
        return
    kept = {name: one for name, one in quirks.load(path).items() if device in (None, name)}
    if as_json:
        print_json([{"device": name, "driver": one.driver, "learned": one.learned} for name, one in kept.items()])
    elif kept:
        print_table("", ("device", "what"), [(name, text) for name, one in kept.items() for text in _texts(one)])
    else:
        click.echo("nothing odd was learned")


def _texts(kept: "Kept") -> Iterator[str]:
    from drivers.modbus.reads import describe

    try:
        yield from describe(kept.learned) if kept.driver == "modbus" else [str(kept.learned)]
    except ValueError as error:
        yield f"not understood: {error}"


def _forget(path: Path, run_dir: Path, device: str | None, *, as_json: bool) -> None:
    """By the daemon, which asks again at once; where none runs, in the file."""
    from gateway.control.client import Client
    from gateway.control.sockets import control_socket
    from gateway.errors import NotRunning
    from gateway.polling import quirks

    try:
        with Client(control_socket(run_dir)) as client:
            gone = client.call("forget", device=device)
    except NotRunning:
        gone = quirks.forget(path, [] if device is None else [device])
    if as_json:
        print_json(gone)
    else:
        click.echo(f"forgotten: {', '.join(gone)}" if gone else "there was nothing to forget")
