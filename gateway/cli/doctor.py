"""`lamppost doctor`"""

from pathlib import Path

import click
from click.core import ParameterSource

from gateway.cli.output import config_option, json_option, plain, print_json, run_dir_option


@click.command("doctor")
@config_option
@run_dir_option
@json_option
@click.option("--all", "show_all", is_flag=True, help="Also say what is well.")
@click.option(
    "--user", default="lamppost", show_default=True, help="Who the service runs as; used while it does not run."
)
@click.pass_context
def command(ctx: click.Context, config: Path, run_dir: Path, as_json: bool, show_all: bool, user: str) -> None:
    """Find what is wrong, from the cable to the platform; each finding has one remedy.

    The running agent is asked, which sees ports and network as it must; without it, the checks run as its user where
    this user may (sudo). Exit code 0 when all is well, 1 with warnings, 2 with failures.
    """
    from gateway.doctor.doctor import examined
    from gateway.doctor.finding import EXIT, Level, told, worst

    named = ctx.get_parameter_source("config") is not ParameterSource.DEFAULT
    findings = told(examined(config, run_dir, user, named=named))
    level = worst(findings)
    if as_json:
        print_json({"ok": level is Level.OK, "worst": level.value, "findings": [one.json() for one in findings]})
        ctx.exit(EXIT[level])
    shown = [one for one in findings if show_all or one.level is not Level.OK]
    for one in shown:
        click.echo(plain(f"{one.level.value.upper() if one.fault else 'ok':8} {one.message}"))
        if one.remedy:
            click.echo(plain(f"         try: {one.remedy}"))
    if level is Level.OK:
        click.echo(f"All is well ({len(findings)} checks).")
    ctx.exit(EXIT[level])
