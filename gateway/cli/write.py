"""`lamppost write`"""

import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import json_option, plain, print_json, run_dir_option
from gateway.control.client import Client
from gateway.control.sockets import control_socket, status_socket

WITHIN_S = 60.0
"""A write begins within half a minute, or never; the device, and looking what it did, may take as long again."""
EX_NOT_DONE = 1
DONE = ("verified", "written")


@click.command("write", context_settings={"ignore_unknown_options": True})  # -5 is a value
@click.argument("point")
@click.argument("value")
@click.option("--why", default="on site", show_default=True, help="What for; it stands in the record.")
@click.option("--dry-run", is_flag=True, help="Check everything, read the point, and write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@run_dir_option
@json_option
def command(point: str, value: str, *, why: str, dry_run: bool, yes: bool, run_dir: Path, as_json: bool) -> None:
    """Write VALUE to POINT (device/point) by the running agent: the same rules and the same record as for commands."""
    if not (yes or dry_run):
        click.confirm(plain(f"{point}: {_now(run_dir, point)}; write {value}?"), abort=True, err=True)
    with Client(control_socket(run_dir), WITHIN_S) as client:
        told = client.call("write", point=point, value=value, why=why, dry_run=dry_run)
    if as_json:
        print_json(told)
    else:
        _show(told)
    if told["status"] not in DONE:
        sys.exit(EX_NOT_DONE)


def _now(run_dir: Path, point: str) -> str:
    """What the point says, for who is asked."""
    with Client(status_socket(run_dir)) as client:
        points = client.call("status")["points"]
    found = next((one for one in points if one["id"] == point), None)
    if found is None:
        raise click.UsageError(f"no point {point!r}")
    return f"now {found['value']} {found['unit']} ({found['quality']})"


def _show(told: dict[str, Any]) -> None:
    click.echo(plain(f"{told['status']}{' (dry run)' if told['dry_run'] else ''}"))
    for one in told["writes"]:
        read = "" if one["read_back"] is None else f", it reads {one['read_back']}"
        reason = f": {one['reason']}" if one["reason"] else ""
        click.echo(plain(f"  {one['point']} = {one['value']}: {one['status']} in {one['ms']} ms{read}{reason}"))
    if told["reason"] and not told["writes"]:
        click.echo(plain(f"  {told['reason']}"))
