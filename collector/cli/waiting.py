"""`lamppost-collector waiting`"""

import click

from collector import output
from collector.cli.options import database_option, gateway_option, json_option, reading
from collector.tables.database import Target


@click.command("waiting")
@gateway_option
@database_option
@json_option
def command(database: Target, gateway: str | None, *, as_json: bool) -> None:
    """Stored batches whose samples wait for a catalogue or a clock, or stay out for good."""
    from collector import query as queries

    with reading(database) as opened:
        rows = list(queries.waiting(opened, gateway=gateway))
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    columns = ["gateway", "stream", "number", "state", "samples", "reason"]
    output.as_table(columns, ([row[name] for name in columns] for row in rows))
