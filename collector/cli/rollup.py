"""`lamppost-collector rollup`"""

import click

from collector.cli.options import database_option, json_option, tell, writing
from collector.tables.database import Target


@click.command("rollup")
@database_option
@json_option
def command(database: Target, *, as_json: bool) -> None:
    """Make the hourly and daily sums that are due (table `rollups`); from a timer, beside `run`."""
    from collector.tables import rollups

    with writing(database) as opened:
        hours = rollups.renew(opened)
    tell(f"{hours} hours of streams", {"hours": hours}, as_json=as_json)
