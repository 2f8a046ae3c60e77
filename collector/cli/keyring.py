"""`lamppost-collector keyring`"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector import output
from collector.cli.options import (
    FILE,
    broker_options,
    confirm,
    database_option,
    json_option,
    now_ms,
    tell,
    writing,
    yes_option,
)
from collector.tables.database import Target

if TYPE_CHECKING:
    from buffer.keyring import RingKey
    from collector.broker import Address


@click.group("keyring")
def command() -> None:
    """Whom the gateways believe: a source that people edit, and the numbered keyring that the authority signs of it."""


@command.command("new")
@click.argument("source", type=FILE)
def keyring_new(source: Path) -> None:
    """Begin a SOURCE without keys."""
    from collector.identity import ringsource

    ringsource.create(source)


@command.command("add")
@click.argument("source", type=FILE)
@click.argument("key", type=FILE)
@click.option("--name", required=True, help="Whose key it is.")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="SITE[/GATEWAY[/DEVICE[/POINT]]], each an id or *."
)
@click.option("--until", required=True, help='The last day (UTC), a time with its zone, or "never".')
@json_option
def keyring_add(source: Path, key: Path, name: str, scopes: tuple[str, ...], until: str, *, as_json: bool) -> None:
    """Write the public key in the file KEY (key new prints it) into SOURCE."""
    from buffer.keys import PublicKey
    from collector.identity import keyrings, ringsource

    added = keyrings.row(ringsource.add(source, name, PublicKey.load(key), scopes, until))
    text = f"{name}: {added['role']} for {', '.join(scopes)}, counts no more from {added['until']} (UTC)"
    tell(text, added, as_json=as_json)


@command.command("remove")
@click.argument("source", type=FILE)
@click.argument("name")
@click.option("--role", help="Only the key of this role.")
@json_option
def keyring_remove(source: Path, name: str, role: str | None, *, as_json: bool) -> None:
    """Take NAME's keys out of SOURCE. Gateways go on believing them until they have the next signed keyring."""
    from collector.identity import keyrings, ringsource

    for key in ringsource.remove(source, name, role):
        tell(f"{key.name}: {key.role} is no longer in {source}", keyrings.row(key), as_json=as_json)


@command.command("show")
@click.argument("file", type=FILE)
@click.option("--authority", type=FILE, help="The authority's public key, which FILE must be signed by.")
@json_option
def keyring_show(file: Path, authority: Path | None, *, as_json: bool) -> None:
    """Show a source, or with --authority a signed keyring."""
    from collector.identity import keyrings, ringsource

    if authority is None:
        keys = ringsource.load(file)
    else:
        _, ring = keyrings.load(file, keyrings.load_authority(authority))
        keys = ring.keys
        output.note(f"keyring {ring.number}, signed {output.moment(ring.issued_ms)} (UTC)")
    _show(keys, as_json=as_json)


@command.command("sign")
@click.argument("source", type=FILE)
@click.option("--key", "key_file", type=FILE, required=True, help="The authority's private key.")
@click.option("--number", type=click.IntRange(1), help="Higher than any before; the one after --after otherwise.")
@click.option("--after", type=FILE, help="The keyring before this one; what is at --output otherwise.")
@click.option(
    "-o", "--output", "target", type=FILE, default="keyring.cose", show_default=True, help="- is standard output."
)
@yes_option
@json_option
def keyring_sign(
    source: Path, key_file: Path, number: int | None, after: Path | None, target: Path, *, yes: bool, as_json: bool
) -> None:
    """Sign what is in SOURCE, after showing it. Done where the authority's key is kept: offline."""
    from buffer.keyring import Keyring
    from buffer.keys import SigningKey
    from collector.errors import KeyringFault
    from collector.files import write_whole
    from collector.identity import keyrings, ringsource

    keys = ringsource.load(source)
    signer = SigningKey.load(key_file)
    after = after or (target if target.exists() else None)
    before = None if after is None else keyrings.load(after, signer.public(role="authority"))[1]
    if number is None and before is None:
        raise KeyringFault("the first keyring needs its --number; later ones count on from --after")
    chosen = number or (before.number + 1 if before else 1)
    if before is not None and chosen <= before.number:
        raise KeyringFault(f"number {chosen} is not above {before.number}, that of {after}: gateways would refuse it")
    _show(keys, as_json=False, asked=True)
    for line in keyrings.changes(before.keys, keys) if before else []:
        output.note(line)
    for line in keyrings.doubts(keys, now_ms()):
        output.note(f"note: {line}")
    confirm(f"Sign these {len(keys)} keys as keyring {chosen}?", yes=yes)
    write_whole(target, Keyring(chosen, now_ms(), keys).sign(signer))
    row = {"number": chosen, "keys": len(keys), "authority": signer.kid.hex(), "file": str(target)}
    tell(f"keyring {chosen} is in {target}", row, as_json=as_json and str(target) != "-")


def _show(keys: "Sequence[RingKey]", *, as_json: bool, asked: bool = False) -> None:
    from collector.identity import keyrings

    rows = [keyrings.row(key) for key in keys]
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    columns = ["name", "role", "kid", "scopes", "until"]
    shown = [{**row, "scopes": ", ".join(row["scopes"])} for row in rows]
    output.as_table(
        [*columns[:-1], "counts no more from (UTC)"], ([row[c] for c in columns] for row in shown), asked=asked
    )


@command.command("relay")
@click.argument("file", type=FILE)
@click.option("--authority", type=FILE, required=True, help="The authority's public key, as gateways have it.")
@click.option("--gateway", "chosen", multiple=True, help="Only to this one; to all that are known otherwise.")
@broker_options
@database_option
@yes_option
@json_option
def keyring_relay(
    file: Path,
    authority: Path,
    chosen: tuple[str, ...],
    address: "Address",
    database: Target,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Send a signed keyring to gateways; the broker keeps it for those that are away (retained)."""
    from collector.identity import keyrings
    from collector.orders import relay

    public = keyrings.load_authority(authority)
    message, ring = keyrings.load(file, public)
    with writing(database) as opened:
        gateways = chosen or tuple(keyrings.all_gateways(opened))
        confirm(f"Send keyring {ring.number} with {len(ring.keys)} keys to {', '.join(gateways)}?", yes=yes)
        for row in relay.keyring(opened, address, message, ring, public, gateways):
            heard = "" if row["listening"] else "; it is away and gets it when it comes back"
            tell(f"keyring {ring.number} is sent to {row['gateway']}{heard}", row, as_json=as_json)
