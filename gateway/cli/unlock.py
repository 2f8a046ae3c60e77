"""`lamppost unlock`"""

from pathlib import Path

import click

from gateway.cli.output import json_option, plain, print_json, run_dir_option
from gateway.control.client import Client
from gateway.control.sockets import control_socket


@click.command("unlock")
@click.argument("device")
@run_dir_option
@json_option
def command(device: str, *, run_dir: Path, as_json: bool) -> None:
    """End the lock of DEVICE. What was refused meanwhile is not done now."""
    with Client(control_socket(run_dir)) as client:
        told = client.call("unlock", device=device)
    if as_json:
        print_json(told)
    elif told is None:
        click.echo(plain(f"{device} was not locked"))
    else:
        click.echo(plain(f"{device} is unlocked; {told['who']} had locked it: {told['reason']}"))
