"""`lamppost check`"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import config_option, json_option, plain, print_json

if TYPE_CHECKING:
    from gateway.installation import Installation

EX_CONFIG = 78


@click.command("check")
@config_option
@json_option
@click.pass_context
def command(ctx: click.Context, config: Path, as_json: bool) -> None:
    """Check the configuration and the keys it names. Nothing is opened; exit code 78 when something is wrong."""
    from config import ConfigErrors
    from gateway import installation
    from gateway.errors import SetupFailed

    problems: list[dict[str, str]] = []
    summary: dict[str, object] = {}
    try:
        found = installation.read(config)
        summary = _summary(found)
        installation.keys(found.config)
    except ConfigErrors as errors:
        problems = [
            {"file": str(p.file), "path": p.path, "message": p.message, "found": _short(p.found)}
            for p in errors.problems
        ]
    except SetupFailed as error:
        path, _, message = str(error).partition(": ")
        problems = [{"file": str(config), "path": path, "message": message, "found": "", "remedy": error.remedy}]
    _report(as_json, problems, summary)
    ctx.exit(EX_CONFIG if problems else 0)


def _summary(found: "Installation") -> dict[str, object]:
    return {
        "buses": [
            {
                "id": driver.setup.bus.id,
                "driver": driver.setup.bus.driver,
                "devices": len(driver.setup.devices),
                "points": sum(len(device.points) for device in driver.setup.devices),
                "requests": len(driver.reads()),
            }
            for driver in found.drivers
        ]
    }


def _short(value: object) -> str:
    text = "" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _report(as_json: bool, problems: list[dict[str, str]], summary: dict[str, object]) -> None:
    if as_json:
        print_json({"ok": not problems, "problems": problems} | summary)
        return
    for problem in problems:
        found = f" (found {problem['found']})" if problem["found"] else ""
        where = ": ".join(filter(None, (problem["file"], problem["path"])))
        click.echo(plain(f"{where}: {problem['message']}{found}"), err=True)
        if problem.get("remedy"):
            click.echo(plain(f"  try: {problem['remedy']}"), err=True)
    if problems:
        click.echo(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", err=True)
        return
    for bus in summary["buses"]:  # type: ignore[attr-defined]
        click.echo(
            f"{bus['id']}: {bus['driver']}, {bus['devices']} devices, {bus['points']} points in {bus['requests']} reads"
        )
    click.echo("ok")
