"""`lamppost key`"""

from pathlib import Path

import click

from gateway.cli.output import config_option


@click.group("key")
def command() -> None:
    """The key that the gateway signs its batches with."""


@command.command("new")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def new(path: Path) -> None:
    """Make a private key at PATH (mode 0600); an existing file is never replaced."""
    from buffer.keys import SigningKey

    key = SigningKey.create(path)
    click.echo(f"{path}: made, key id {key.kid.hex()}", err=True)


@command.command("show")
@config_option
def show(config: Path) -> None:
    """Print the public key, one line of JSON, for `lamppost-collector gateways add`."""
    from gateway import installation

    found = installation.read(config).config
    key = installation.signing_key(found)
    click.echo(key.public(found.gateway.id, found.gateway.site, "batch").to_json())
