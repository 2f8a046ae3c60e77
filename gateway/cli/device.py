"""`lamppost device`"""

import click

from gateway.cli.device_quirks import command as quirks


@click.group("device")
def command() -> None:
    """Look at single devices."""


command.add_command(quirks)
