"""`lamppost-collector gaps`"""

import click

from collector import output
from collector.cli.options import database_option, gateway_option, json_option, reading
from collector.tables.database import Target


@click.command("gaps")
@gateway_option
@click.option("--state", type=click.Choice(["pending", "ledgered", "broken"]))
@database_option
@json_option
def command(database: Target, gateway: str | None, state: str | None, *, as_json: bool) -> None:
    """What is missing (pending), accounted for as lost (ledgered), or does not fit together (broken)."""
    from collector import query as queries

    with reading(database) as opened:
        rows = list(queries.gaps(opened, gateway=gateway, state=state))
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    output.as_table(
        ["gateway", "stream", "first", "last", "from (UTC)", "to (UTC)", "samples", "state", "reason"],
        (
            (
                r["gateway"],
                r["stream"][:8],
                r["first"],
                r["last"],
                output.moment(r["from_ms"]),
                output.moment(r["to_ms"]),
                r["samples"],
                r["state"],
                f"{r['reason']} ({r['refused']} refused)" if r["refused"] else r["reason"],
            )
            for r in rows
        ),
    )
