"""`lamppost maintenance`"""

from pathlib import Path

import click

from gateway.cli.output import plain, run_dir_option
from gateway.control.client import Client
from gateway.control.sockets import control_socket

DEFAULT_MS = 900_000


def _milliseconds(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int:
    if value is None:
        return DEFAULT_MS
    from config.units import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("maintenance")
@click.argument("bus", metavar="BUS|DEVICE")
@click.option("--for", "duration", callback=_milliseconds, help="At most so long.  [default: 15m]")
@run_dir_option
def command(bus: str, duration: int, run_dir: Path) -> None:
    """Free the port of BUS, or of that of DEVICE, for another program, such as its maker's tool; the agent runs on.

    Its points are "uncertain (maintenance)" meanwhile. Ends after the time, or with Ctrl-C; the agent then goes on.
    """
    with Client(control_socket(run_dir)) as client:
        try:
            for lent in client.stream("lease", bus=bus, seconds=duration / 1000):
                minutes, seconds = divmod(round(lent["seconds"]), 60)
                click.echo(plain(f"bus {lent['bus']} is yours for {minutes}:{seconds:02d} min; Ctrl-C gives it back"))
        except KeyboardInterrupt:
            pass  # the conversation ends, and the lease with it
    click.echo(plain(f"bus {bus} is the agent's again"))
