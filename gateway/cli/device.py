"""`lamppost device`"""

import click

from gateway.cli.device_list import list_, show
from gateway.cli.device_quirks import command as quirks
from gateway.cli.device_replace import command as replace


@click.group("device")
def command() -> None:
    """Look at single devices, and note an exchanged meter."""


for one in (list_, show, quirks, replace):
    command.add_command(one)
