"""`lamppost-collector key`"""

from pathlib import Path

import click

from collector.cli.options import FILE

role_option = click.option(
    "--role",
    type=click.Choice(["acknowledge", "authority", "command", "configure", "update"]),
    default="acknowledge",
    show_default=True,
    help="What the key signs: the collector's answers, keyrings (offline), commands, configurations, new versions.",
)


@click.group("key")
def command() -> None:
    """Keys of the platform: of the authority, of operators, and the one that signs acknowledgements."""


@command.command("new")
@click.argument("file", type=FILE)
@role_option
def key_new(file: Path, role: str) -> None:
    """Make a private key in FILE and print the public one."""
    from buffer.keys import SigningKey

    click.echo(SigningKey.create(file).public(role=role).to_json())


@command.command("show")
@click.argument("file", type=FILE)
@role_option
def key_show(file: Path, role: str) -> None:
    """Print the public key of the private one in FILE."""
    from buffer.keys import SigningKey

    click.echo(SigningKey.load(file).public(role=role).to_json())
