"""`lamppost-collector refused`"""

import sys

import click

from collector import output
from collector.cli.options import database_option, json_option, reading
from collector.tables.database import Target


@click.command("refused")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="The newest so many.")
@click.option("--count", is_flag=True, help="How many for each reason, instead.")
@click.option("--raw", type=int, metavar="ID", help="The bytes of one, instead.")
@database_option
@json_option
def command(database: Target, limit: int, raw: int | None, *, count: bool, as_json: bool) -> None:
    """What was not taken, and why."""
    from collector import query as queries

    with reading(database) as opened:
        if raw is not None:
            sys.stdout.buffer.write(queries.refused_bytes(opened, raw))
            return
        rows = list(queries.refusals(opened) if count else queries.refused(opened, limit))
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    times = {"received_at", "last_at"}
    columns = ["reason", "count", "overflow", "last_at"] if count else ["id", "received_at", "topic", "reason", "bytes"]
    output.as_table(columns, ([output.moment(r[name]) if name in times else r[name] for name in columns] for r in rows))
