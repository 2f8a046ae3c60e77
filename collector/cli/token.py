"""`lamppost-collector token`"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from collector import output
from collector.cli.options import FILE, database_option, json_option, now_ms, reading, tell, writing
from collector.tables.database import Target

HOUR_MS = 3_600_000
CA = Path("/var/lib/lamppost-collector/ca")

_INVITATION = (
    click.option("--url", help="The enrolment server as gateways reach it: https://host:port; as setup wrote it down."),
    click.option(
        "--ca", "folder", type=FILE, default=CA, show_default=True,
        help="The authority that the server's certificate is of.",
    ),
    click.option("--hours", type=click.IntRange(1, 720), default=24, show_default=True, help="How long it is good."),
)  # fmt: skip


def invitation_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """What an invitation says of the platform, and how long it is good."""
    for option in reversed(_INVITATION):
        verb = option(verb)
    return verb


@click.group("token")
def command() -> None:
    """Invitations: each lets one gateway become known, once."""


@command.command("add")
@click.argument("gateway")
@click.option("--site", required=True, help="The site that it stands on.")
@invitation_options
@database_option
@json_option
def add(gateway: str, site: str, url: str | None, folder: Path, hours: int, database: Target, *, as_json: bool) -> None:
    """Print a token for GATEWAY. If it is known already, the box that uses the token takes its place."""
    from buffer.enrolment import Token
    from collector.identity import tokens
    from collector.identity.ca import CertificateAuthority
    from collector.setup import Places
    from collector.setup import url as known_url

    at = (url or known_url(Places())).rstrip("/")
    token = Token.make(at, CertificateAuthority.load(folder).fingerprint, gateway, site)
    made = now_ms()
    with writing(database) as opened:
        tokens.add(opened, token, made, made + hours * HOUR_MS)
    output.note(f"good until {output.moment(made + hours * HOUR_MS)} UTC; whoever has it can enrol as {gateway}")
    if as_json:
        output.as_json({"gateway": gateway, "site": site, "ends_at": made + hours * HOUR_MS, "token": token.text()})
    else:
        click.echo(token.text())


@command.command("list")
@database_option
@json_option
def listed(database: Target, *, as_json: bool) -> None:
    """What became of the tokens."""
    from collector.identity import tokens

    with reading(database) as opened:
        rows = tokens.overview(opened)
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    output.as_table(
        ["gateway", "site", "good until (UTC)", "used (UTC)", "by key", "misuses"],
        (
            (
                r["gateway"],
                r["site"],
                output.moment(r["ends_at"]),
                output.moment(r["used_at"]),
                r["kid"],
                r["misuses"] or "",
            )
            for r in rows
        ),
    )


@command.command("withdraw")
@click.argument("gateway")
@database_option
@json_option
def withdraw(gateway: str, database: Target, *, as_json: bool) -> None:
    """Let the tokens of GATEWAY be good for nobody any more, and forget what became of them."""
    from collector.identity import tokens

    with writing(database) as opened:
        count = tokens.withdraw(opened, gateway)
    tell(f"{gateway}: {count} tokens withdrawn", {"gateway": gateway, "withdrawn": count}, as_json=as_json)
