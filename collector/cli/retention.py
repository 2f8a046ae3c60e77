"""`lamppost-collector retention`"""

import click

from collector import output
from collector.cli.options import confirm, database_option, json_option, now_ms, tell, writing, yes_option
from collector.tables.database import Target


@click.command("retention")
@click.option("--keep", required=True, help="Let go samples older than this: 400d, or before this time.")
@database_option
@yes_option
@json_option
def command(keep: str, database: Target, *, yes: bool, as_json: bool) -> None:
    """Let go old samples; their hourly and daily sums stay, and so do the batches as received."""
    from collector.query import parse_time
    from collector.tables import rollups

    before = parse_time(keep, now_ms())
    confirm(f"Let go all samples before {output.moment(before)} UTC?", yes=yes)
    with writing(database) as opened:
        gone = rollups.let_go(opened, before)
    tell(f"{gone} samples let go", {"samples": gone, "before_ms": before}, as_json=as_json)
