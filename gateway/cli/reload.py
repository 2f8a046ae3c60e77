"""`lamppost reload`"""

from pathlib import Path

import click

from gateway.cli.output import json_option, plain, print_json, run_dir_option
from gateway.control.client import Client
from gateway.control.sockets import control_socket

ANSWER_S = 120.0
"""Writes under way are waited for, and buses closed."""


@click.command("reload")
@run_dir_option
@json_option
def command(run_dir: Path, as_json: bool) -> None:
    """Have the running agent use its changed files: buses that did not change run on.

    Nothing changes when something in the files is wrong.
    """
    with Client(control_socket(run_dir), ANSWER_S) as client:
        found = client.call("reload")
    if as_json:
        print_json(found)
        return
    for what in ("stopped", "begun"):
        if found[what]:
            click.echo(plain(f"{what}: {', '.join(found[what])}"))
    click.echo(f"{len(found['kept'])} buses run on; configuration {found['hash']}")
