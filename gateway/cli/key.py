"""`lamppost key`"""

from pathlib import Path

import click

from gateway.cli.output import config_option

KEYS = Path("/etc/lamppost/keys")
keys_option = click.option(
    "--keys", type=click.Path(path_type=Path, file_okay=False), default=KEYS, show_default=True,
    help="The folder of keys and certificates.",
)  # fmt: skip


@click.group("key")
def command() -> None:
    """The keys of this gateway: the one that signs its batches, and that of its certificate."""


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
    from gateway.setup import installation

    found = installation.read(config).config
    key = installation.signing_key(found)
    click.echo(key.public(found.gateway.id, found.gateway.site, "batch").to_json())


@command.command("seal")
@keys_option
def seal(keys: Path) -> None:
    """Encrypt the keys of this gateway by its TPM, or by the host key where it has none; as root, after enrolling.

    The service gets them from systemd; a running agent is restarted. On another board, what a TPM sealed is lost.
    """
    from gateway.identity import sealed
    from gateway.identity.enrol import Places

    for name, by in sealed.seal(Places(keys).private).items():
        click.echo(f"{name}: sealed by {'the TPM' if by == 'TPM' else 'the host key: there is no TPM'}", err=True)


@command.command("unseal")
@keys_option
def unseal(keys: Path) -> None:
    """Make plain files of sealed keys again; as root."""
    from gateway.identity import sealed
    from gateway.identity.enrol import Places

    for name in sealed.unseal(Places(keys).private):
        click.echo(f"{name}: a plain file again", err=True)
