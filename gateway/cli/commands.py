"""`lamppost commands`"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import json_option, print_json, print_table, run_dir_option
from gateway.control.client import Client
from gateway.control.sockets import status_socket


@click.command("commands")
@run_dir_option
@json_option
def command(run_dir: Path, as_json: bool) -> None:
    """Show the last commands, whoever gave them, and what came of them; the newest first."""
    with Client(status_socket(run_dir)) as client:
        found = client.call("commands")
    if as_json:
        print_json(found)
        return
    columns = ("when", "by", "what", "result", "why", "reason")
    print_table("", columns, [_row(one) for one in found])


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    when = datetime.fromtimestamp(one["accepted_ms"] / 1000, UTC).astimezone()
    who = one["who"] if one["source"] != "remote" else f"{one['who']} ({one['key']})"
    what = ", ".join(f"{write['point']} = {write.get('value')}" for write in one["writes"])
    status = ("dry run: " if one["dry_run"] else "") + (one["status"] if one["final"] else "being done")
    return f"{when:%m-%d %H:%M:%S}", f"{one['source']}: {who}", what, status, one["why"], one["reason"]
