"""`lamppost lock`"""

from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.cli.output import json_option, plain, print_json, run_dir_option
from gateway.control.client import Client
from gateway.control.sockets import control_socket


@click.command("lock")
@click.argument("device")
@click.option("--reason", required=True, help="Why; others see it.")
@click.option("--for", "duration", metavar="TIME", help="Until then, such as 2h; else until it is unlocked.")
@run_dir_option
@json_option
def command(device: str, *, reason: str, duration: str | None, run_dir: Path, as_json: bool) -> None:
    """Let nothing be written to DEVICE: no command, schedule, configuration or revert. It survives a reboot.

    It does not replace electrical isolation: who works on a device switches it off.
    """
    for_ms = None if duration is None else _ms(duration)
    with Client(control_socket(run_dir)) as client:
        told = client.call("lock", device=device, reason=reason, for_ms=for_ms)
    if as_json:
        print_json(told)
        return
    until = "until it is unlocked"
    if told["until_ms"]:
        until = f"until {datetime.fromtimestamp(told['until_ms'] / 1000, UTC).astimezone():%Y-%m-%d %H:%M}"
    elif duration is not None:
        until = f"for {duration} of this boot's clock: nobody has told the time"
    click.echo(plain(f"{device} is locked {until}. It is not isolated: switch it off before you touch it."))


def _ms(duration: str) -> int:
    from config import parse_duration

    try:
        return parse_duration(duration)
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from error
