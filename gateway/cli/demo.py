"""`lamppost demo`"""

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import json_option, plain, print_json, print_table

if TYPE_CHECKING:
    from gateway.demo.account import Account
    from gateway.demo.demo import Plan
    from gateway.demo.stage import State


@click.command("demo")
@click.option("--seconds", type=click.FloatRange(5, 86_400), default=60, show_default=True, help="How long it samples.")
@click.option("--outage", type=click.FloatRange(0, 3600), default=0, help="Cut the link for so many seconds.")
@click.option("--kill", is_flag=True, help="kill -9 the agent in mid-flight.")
@click.option("--web", is_flag=True, help="Show the technician's page as well, and print its address.")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="Where, instead of a temporary folder."
)
@click.option("--account", "again", is_flag=True, help="Only make the account of a FOLDER again.")
@json_option
def command(
    seconds: float, outage: float, *, kill: bool, web: bool, folder: Path | None, again: bool, as_json: bool
) -> None:
    """Simulated devices, the agent, a broker and a collector; then an account of every sample.

    Exit code 0 only when nothing was lost, doubled or left unproven.
    """
    from gateway.demo.scene import Scene
    from gateway.demo.stage import balance

    if again:
        if folder is None:
            raise click.UsageError("--account needs --folder")
        _close(balance(Scene(folder)), as_json)
        return
    if outage >= seconds * 3 / 4:
        raise click.UsageError("the outage must end before the demo does: --outage < 3/4 of --seconds")
    from gateway.demo.demo import Plan

    plan = Plan(seconds, outage, kill, web)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise click.UsageError(f"{folder} is not empty")
        _close(_run(folder, plan, as_json), as_json)
        return
    with tempfile.TemporaryDirectory(prefix="lamppost-demo-") as made:
        _close(_run(Path(made), plan, as_json), as_json)


def _run(folder: Path, plan: "Plan", as_json: bool) -> "Account":
    from rich.console import Console

    from gateway.demo.demo import Demo
    from gateway.demo.scene import Scene
    from gateway.demo.show import Show

    show = Show(Scene(folder).database, Console(stderr=True))

    def refresh(state: "State") -> None:
        if not as_json:
            show.refresh({"link": state.link, "agent": state.agent})

    try:
        return asyncio.run(Demo(folder, plan, show.event, refresh).run())
    finally:
        show.close()


def _close(result: "Account", as_json: bool) -> None:
    if as_json:
        print_json(result.line())
    else:
        print_table("the account", ("", "samples>"), list(result.line().items()))
    for fault in result.faults:
        click.echo(plain(fault), err=True)
    if not result.balanced:
        from gateway.errors import AccountError

        raise AccountError("the account does not balance")
