"""`lamppost-collector key`"""

from pathlib import Path

import click

from collector.cli.options import FILE


@click.group("key")
def command() -> None:
    """The platform's key, which signs acknowledgements."""


@command.command("new")
@click.argument("file", type=FILE)
def key_new(file: Path) -> None:
    """Make a private key in FILE and print the public one (the gateways' authority.json)."""
    from buffer.keys import SigningKey

    click.echo(SigningKey.create(file).public(role="acknowledge").to_json())


@command.command("show")
@click.argument("file", type=FILE)
def key_show(file: Path) -> None:
    """Print the public key of the private one in FILE (the gateways' authority.json)."""
    from buffer.keys import SigningKey

    click.echo(SigningKey.load(file).public(role="acknowledge").to_json())
