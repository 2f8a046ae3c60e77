"""`lamppost check`"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import config_option, json_option, plain, print_json

if TYPE_CHECKING:
    from gateway.setup.installation import Installation

EX_CONFIG = 78
REMEDY = "longer periods (every), a faster line, or fewer devices on this bus; lamppost check --force only warns"


@click.command("check")
@config_option
@json_option
@click.option("--force", is_flag=True, help="Only warn of a bus whose plan cannot be met.")
@click.pass_context
def command(ctx: click.Context, config: Path, as_json: bool, force: bool) -> None:
    """Check the configuration, the keys it names, and whether each bus can carry what is asked of it.

    Nothing is opened; exit code 78 when something is wrong.
    """
    from config import ConfigErrors
    from gateway.errors import SetupFailed
    from gateway.setup import installation

    problems: list[dict[str, str]] = []
    warnings: list[dict[str, str]] = []
    summary: dict[str, object] = {}
    try:
        found = installation.read(config)
        summary = _summary(found)
        (warnings if force else problems).extend(_overloaded(found))
        installation.keys(found.config)
    except ConfigErrors as errors:
        problems += [
            {"file": str(p.file), "path": p.path, "message": p.message, "found": _short(p.found)}
            for p in errors.problems
        ]
    except SetupFailed as error:
        path, _, message = str(error).partition(": ")
        problems += [{"file": str(config), "path": path, "message": message, "found": "", "remedy": error.remedy}]
    _report(as_json, problems, warnings, summary)
    ctx.exit(EX_CONFIG if problems else 0)


def _overloaded(found: "Installation") -> list[dict[str, str]]:
    """Buses that are asked for more than they can carry."""
    from gateway.setup.installation import overloaded

    return [
        {"file": one.file, "path": one.path, "message": one.message, "found": "", "remedy": REMEDY}
        for one in overloaded(found)
    ]


def _summary(found: "Installation") -> dict[str, object]:
    from gateway.polling.load import load

    loads = [load(driver) for driver in found.drivers]
    return {
        "buses": [
            {
                "id": driver.setup.bus.id,
                "driver": driver.setup.bus.driver,
                "devices": len(driver.setup.devices),
                "points": sum(len(device.points) for device in driver.setup.devices),
                "requests": len(driver.reads()),
                "load": round(asked.share, 4) if asked.known else None,
            }
            for driver, asked in zip(found.drivers, loads, strict=True)
        ]
    }


def _short(value: object) -> str:
    text = "" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _report(
    as_json: bool, problems: list[dict[str, str]], warnings: list[dict[str, str]], summary: dict[str, object]
) -> None:
    if as_json:
        print_json({"ok": not problems, "problems": problems, "warnings": warnings} | summary)
        return
    for problem in problems:
        _tell(problem)
    for warning in warnings:
        _tell(warning, "warning: ")
    if problems:
        click.echo(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", err=True)
        return
    for bus in summary["buses"]:  # type: ignore[attr-defined]
        load = "" if bus["load"] is None else f", {100 * bus['load']:.0f} % of the bus"
        click.echo(
            f"{bus['id']}: {bus['driver']}, {bus['devices']} devices, {bus['points']} points"
            f" in {bus['requests']} reads{load}"
        )
    click.echo("ok")


def _tell(problem: dict[str, str], kind: str = "") -> None:
    found = f" (found {problem['found']})" if problem["found"] else ""
    where = ": ".join(filter(None, (problem["file"], problem["path"])))
    click.echo(plain(f"{kind}{where}: {problem['message']}{found}"), err=True)
    if problem.get("remedy"):
        click.echo(plain(f"  try: {problem['remedy']}"), err=True)
