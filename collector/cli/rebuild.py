"""`lamppost-collector rebuild`"""

import click

from collector.cli.options import database_option, json_option, tell, writing
from collector.tables.database import Target


@click.command("rebuild")
@database_option
@json_option
def command(database: Target, *, as_json: bool) -> None:
    """Make every derived table anew from the stored batches (stop `run` first; one transaction)."""
    from collector.receiving import derive

    with writing(database) as opened:
        count = derive.rebuild(opened)
    tell(f"{count} batches", {"batches": count}, as_json=as_json)
