"""`lamppost-collector access`"""

import click

from collector import output
from collector.cli.options import database_option, json_option, reading, tell, writing
from collector.tables.database import Target

site_option = click.option("--site", required=True)


@click.group("access")
def command() -> None:
    """Which roles of a PostgreSQL may read which site."""


@command.command("grant")
@click.argument("role")
@site_option
@database_option
@json_option
def access_grant(role: str, site: str, database: Target, *, as_json: bool) -> None:
    """Let ROLE, which is there already, read what one site's gateways sent, and nothing else."""
    from collector.tables import pgaccess

    with writing(database) as opened:
        pgaccess.grant(opened, role, site)
    tell(f"{role} may read {site}", {"role": role, "site": site}, as_json=as_json)


@command.command("revoke")
@click.argument("role")
@site_option
@database_option
@json_option
def access_revoke(role: str, site: str, database: Target, *, as_json: bool) -> None:
    """Let ROLE read the site no more."""
    from collector.tables import pgaccess

    with writing(database) as opened:
        pgaccess.revoke(opened, role, site)
    tell(f"{role} may read {site} no more", {"role": role, "site": site}, as_json=as_json)


@command.command("list")
@database_option
@json_option
def access_list(database: Target, *, as_json: bool) -> None:
    """Who may read which site."""
    from collector.tables import pgaccess

    with reading(database) as opened:
        rows = list(pgaccess.listed(opened))
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    output.as_table(["role", "site"], ((row["role"], row["site"]) for row in rows))
