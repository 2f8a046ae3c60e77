"""`lamppost-collector gateways`"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from collector import output
from collector.cli.options import (
    broker_options,
    database_option,
    gateway_option,
    json_option,
    now_ms,
    reading,
    tell,
    writing,
)
from collector.cli.token import invitation_options
from collector.tables.database import Target

if TYPE_CHECKING:
    from buffer.keys import PublicKey
    from collector.broker import Address


@click.group("gateways")
def command() -> None:
    """Which gateways are known."""


@command.command("add")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--beside", is_flag=True, help="Keep the gateway's older keys valid as well.")
@database_option
@json_option
def gateways_add(file: TextIO, database: Target, *, beside: bool, as_json: bool) -> None:
    """Make the public keys in FILE known, one a line (lamppost key show prints it; - is standard input)."""
    from buffer.keys import MAX_KEY_FILE
    from collector.identity import registry

    with writing(database) as opened:
        line = file.readline(MAX_KEY_FILE + 1)
        while True:
            key = registry.parse(line)
            added = registry.add(opened, key, now_ms(), beside=beside)
            _tell_added(key, added=added, as_json=as_json)
            if not (line := file.readline(MAX_KEY_FILE + 1)).strip():
                return


def _tell_added(key: "PublicKey", *, added: bool, as_json: bool) -> None:
    if as_json:
        output.as_json({"gateway": key.gateway, "site": key.site, "kid": key.kid.hex(), "added": added})
    else:
        output.note(f"{key.gateway} of site {key.site}: key {key.kid.hex()} {'added' if added else 'was known'}")


@command.command("list")
@database_option
@json_option
def gateways_list(database: Target, *, as_json: bool) -> None:
    """One row a key, with what its gateway has delivered."""
    from collector.identity import registry

    with reading(database) as opened:
        rows = registry.overview(opened)
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    output.as_table(
        ["gateway", "site", "key", "state", "batches", "last", "waiting", "gaps"],
        (
            (
                r["gateway"],
                r["site"],
                r["kid"],
                _state(r),
                r["batches"],
                output.moment(r["last_at"]),
                r["waiting"],
                r["gaps"],
            )
            for r in rows
        ),
    )


def _state(row: dict[str, Any]) -> str:
    if row["revoked_at"] is not None:
        return f"revoked {output.moment(row['revoked_at'])}"
    if row["wiped_at"] is not None:
        return f"wiped {output.moment(row['wiped_at'])}"
    return "FORKED" if row["forked"] else "ok"


@command.command("streams")
@gateway_option
@database_option
@json_option
def gateways_streams(gateway: str | None, database: Target, *, as_json: bool) -> None:
    """The lives of gateways' stores, the newest last; commands name the one they are for."""
    from collector.orders import commands

    with reading(database) as opened:
        found = list(commands.streams(opened, gateway))
    if as_json:
        for row in found:
            output.as_json(row)
        return
    output.as_table(
        ["gateway", "stream", "first seen (UTC)", "newest", "of (UTC)", "state"],
        (
            (
                r["gateway"],
                r["stream"],
                output.moment(r["first_seen"]),
                r["newest"],
                output.moment(r["newest_ms"]),
                "ok" if r["forked_at"] is None else "FORKED",
            )
            for r in found
        ),
    )


@command.command("revoke")
@click.argument("gateway")
@click.option("--kid", help="Only this key of it.")
@database_option
@json_option
def gateways_revoke(gateway: str, kid: str | None, database: Target, *, as_json: bool) -> None:
    """Believe GATEWAY's signatures no more, and let its tokens end; what is stored stays."""
    from collector.identity import registry

    with writing(database) as opened:
        count = registry.revoke(opened, gateway, now_ms(), kid)
    tell(f"{gateway}: {count} keys revoked", {"gateway": gateway, "revoked": count}, as_json=as_json)


@command.command("replace")
@click.argument("gateway")
@invitation_options
@database_option
@json_option
@click.pass_context
def gateways_replace(
    context: click.Context, gateway: str, url: str | None, folder: Path, hours: int, database: Target, *, as_json: bool
) -> None:
    """Print a token for the box that takes GATEWAY's place.

    The old box's keys count until it is used, unless they were revoked before, as those of a stolen one.
    """
    from collector.cli.token import add
    from collector.identity import keyrings

    with reading(database) as opened:
        site = keyrings.site_of(opened, gateway)
    context.invoke(
        add, gateway=gateway, site=site, url=url, folder=folder, hours=hours, database=database,
        as_json=as_json,
    )  # fmt: skip


@command.command("cut")
@click.argument("gateway")
@broker_options
@json_option
def gateways_cut(gateway: str, address: "Address", *, as_json: bool) -> None:
    """End GATEWAY's live session, after it was revoked and the broker has the list of `ca crl`."""
    import asyncio

    from collector.identity.cut import cut

    asyncio.run(cut(address, gateway))
    tell(f"{gateway}: its session was ended", {"gateway": gateway, "cut": True}, as_json=as_json)


@command.command("confirm")
@click.argument("gateway")
@database_option
@json_option
def gateways_confirm(gateway: str, database: Target, *, as_json: bool) -> None:
    """Take and acknowledge GATEWAY's forked streams again: what is stored stands, the other side stays refused."""
    from collector.identity import registry

    with writing(database) as opened:
        count = registry.confirm(opened, gateway)
    tell(f"{gateway}: {count} streams confirmed", {"gateway": gateway, "confirmed": count}, as_json=as_json)
