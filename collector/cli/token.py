"""`lamppost-collector token`"""

from pathlib import Path

import click

from collector import output
from collector.cli.options import FILE, database_option, json_option, now_ms, reading, tell, writing
from collector.database import Target

HOUR_MS = 3_600_000


@click.group("token")
def command() -> None:
    """Invitations: each lets one gateway become known, once."""


@command.command("add")
@click.argument("gateway")
@click.option("--site", required=True, help="The site that it stands on.")
@click.option("--url", required=True, help="The enrolment server as gateways reach it: https://host:port")
@click.option("--ca", "folder", type=FILE, required=True, help="The authority that the server's certificate is of.")
@click.option("--hours", type=click.IntRange(1, 720), default=24, show_default=True, help="How long it is good.")
@database_option
@json_option
def add(gateway: str, site: str, url: str, folder: Path, hours: int, database: Target, *, as_json: bool) -> None:
    """Print a token for GATEWAY. If it is known already, the box that uses the token takes its place."""
    from buffer.enrolment import Token
    from collector import tokens
    from collector.ca import CertificateAuthority

    token = Token.make(url.rstrip("/"), CertificateAuthority.load(folder).fingerprint, gateway, site)
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
    from collector import tokens

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
    from collector import tokens

    with writing(database) as opened:
        count = tokens.withdraw(opened, gateway)
    tell(f"{gateway}: {count} tokens withdrawn", {"gateway": gateway, "withdrawn": count}, as_json=as_json)
