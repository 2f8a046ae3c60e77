"""`lamppost device replace`"""

from pathlib import Path

import click

from gateway.cli.output import json_option, plain, print_json, run_dir_option


def _ago(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int:
    from config import parse_duration

    try:
        return 0 if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("replace", context_settings={"ignore_unknown_options": True})  # a reading may be negative
@click.argument("device")
@click.option("--final", metavar="X", help="What the old meter showed last, in the unit of the point.")
@click.option("--start", metavar="Y", help="What the new one showed first.")
@click.option("--point", help="Which counter; may be left out where the device has one.")
@click.option("--ago", callback=_ago, metavar="TIME", help="When the new one was connected, such as 20m ago.  [now]")
@click.option("--why", default="replaced", show_default=True, help="For the record, such as the serial numbers.")
@click.option("--withdraw", is_flag=True, help="Take back the last replacement of this counter.")
@run_dir_option
@json_option
def command(
    device: str, *, final: str | None, start: str | None, point: str | None, ago: int, why: str, withdraw: bool,
    run_dir: Path, as_json: bool,
) -> None:  # fmt: skip
    """Note that the meter behind DEVICE was exchanged: its energy goes on where the old one ended.

    Samples stay what the meters say. The note is signed and delivered like them, and `lamppost-collector query
    --continuous` adds the difference from then on.
    """
    from gateway.control.client import Client
    from gateway.control.sockets import control_socket

    if withdraw == (final is not None or start is not None) or (final is None) != (start is None):
        raise click.UsageError("give --final and --start, or --withdraw alone")
    with Client(control_socket(run_dir)) as client:
        if withdraw:
            told = client.call("withdraw", device=device, point=point)
        else:
            told = client.call("replace", device=device, point=point, final=final, start=start, ago_ms=ago, why=why)
    if as_json:
        print_json(told)
        return
    name, unit = f"{told['device']}/{told['point']}", told["unit"]
    if told["withdrawn"]:
        click.echo(plain(f"{name}: withdrawn: {told['final']} -> {told['start']} {unit}"))
        return
    click.echo(plain(f"{name}: the old meter ended at {told['final']}, the new one began at {told['start']} {unit}"))
    click.echo(plain(f"the platform adds {told['offset']} {unit} from then on; --withdraw takes it back"))
