"""`lamppost config`"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import config_option, json_option, plain, print_json, run_dir_option


@click.group("config")
def command() -> None:
    """The configuration that is in effect."""


@command.command("show")
@click.option("--effective", is_flag=True, help="Every key with its value and where that comes from.")
@config_option
@run_dir_option
@json_option
@click.pass_context
def show(ctx: click.Context, effective: bool, config: Path, run_dir: Path, as_json: bool) -> None:
    """Show what runs; where no agent runs, or --config names a file, what would run.

    Without --effective: the files as they are in use, one that came from afar included.
    """
    told = ctx.get_parameter_source("config") is not click.core.ParameterSource.DEFAULT
    rows = _read(config, effective=effective) if told else _ask(run_dir, config, effective=effective)
    for row in rows:
        if as_json:
            print_json(row)
        elif effective:
            from config.errors import show as written

            origin = row["source"] + (f" {row['file']}" if row["file"] else "")
            click.echo(plain(f"{row['key']} = {written(row['value'])}  # {origin}"))
        else:
            click.echo(plain(f"# {row['file']}"))
            click.echo("\n".join(map(plain, row["text"].splitlines())))


def _ask(run_dir: Path, config: Path, *, effective: bool) -> Iterator[dict[str, Any]]:
    from gateway.control.client import Client
    from gateway.control.sockets import status_socket
    from gateway.errors import NotRunning

    try:
        client = Client(status_socket(run_dir))
    except NotRunning:
        yield from _read(config, effective=effective)
        return
    with client:
        yield from client.stream("configuration", effective=effective)


def _read(config: Path, *, effective: bool) -> Iterator[dict[str, Any]]:
    from gateway.setup import installation
    from gateway.setup.choice import at_start
    from gateway.setup.effective import files, rows

    choice = at_start(installation.read(config))
    found = choice.installation
    push = choice.state.kept
    if effective:
        yield from rows(found.config, found.drivers)
    else:
        yield from files(found.config, None if push is None else push.texts)
