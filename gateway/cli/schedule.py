"""`lamppost schedule`"""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from gateway.cli.output import json_option, plain, print_json, print_table, run_dir_option
from gateway.control.client import Client
from gateway.control.sockets import status_socket


@click.command("schedule")
@run_dir_option
@json_option
def command(run_dir: Path, as_json: bool) -> None:
    """Show the schedule: who signed it, what is in force by it now, and the next ten switches."""
    with Client(status_socket(run_dir)) as client:
        found = client.call("schedule")
    if as_json:
        print_json(found)
        return
    for line in _head(found):
        click.echo(plain(line))
    zone = ZoneInfo(found["zone"])
    rows = ((one["point"], one["value"], _when(one["since_ms"], zone), _state(one)) for one in found["in_force"])
    if found["in_force"]:
        print_table("\nin force", ("point", "value>", f"since ({zone.key})", "state"), rows)
    if found["next"]:
        rows = ((one["point"], one["value"], _when(one["utc_ms"], zone), one["at"]) for one in found["next"])
        print_table("\nnext", ("point", "value>", f"at ({zone.key})", "entry"), rows)


def _head(found: dict[str, Any]) -> list[str]:
    if found["edition"] is None:
        return [found["damaged"] or "no schedule has come yet"]
    lines = [f"schedule {found['edition']} by {found['who']} ({found['key']}): {found['why']}"]
    if found["trial"]:
        lines.append("on trial: its first writes are not all done")
    if found["highest"] > found["edition"]:
        lines.append(f"rolled back from {found['highest']}")
    if found["utc_ms"] is None:
        lines.append("nobody has told the time: each point has its unset_value, or what it had")
    return [*lines, *(f"left out: {one}" for one in found["left_out"])]


def _when(utc_ms: int | None, zone: ZoneInfo) -> str:
    return "" if utc_ms is None else f"{datetime.fromtimestamp(utc_ms / 1000, zone):%a %m-%d %H:%M}"


def _state(one: dict[str, Any]) -> str:
    if one["state"] == "command":
        return "a command holds until the next switch"
    return f"{one['state']}: {one['reason']}" if one["reason"] else str(one["state"])
