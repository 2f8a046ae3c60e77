"""`lamppost read`"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import config_option, json_option, plain, print_json, run_dir_option
from gateway.control.client import Client
from gateway.control.sockets import control_socket

MAX_COUNT = 2000  # coils of one read; of registers 125: APP 6.1, 6.3
EX_UNAVAILABLE = 69


@click.command("read")
@click.argument("names", nargs=-1, metavar="DEVICE[/POINT]...")
@click.option("--direct", metavar="TARGET", help="Ask there, without the agent: tcp://HOST[:PORT] or a serial port.")
@click.option("--unit", type=click.IntRange(0, 255), default=1, show_default=True, help="With --direct.")
@click.option("--table", type=click.Choice(("coil", "discrete", "holding", "input")), default="holding",
              show_default=True, help="With --direct.")  # fmt: skip
@click.option("--address", type=click.IntRange(0, 65535), default=0, show_default=True, help="With --direct.")
@click.option("--count", type=click.IntRange(1, MAX_COUNT), default=1, show_default=True, help="With --direct.")
@click.option("--baud", type=click.IntRange(300, 4_000_000), default=9600, show_default=True, help="With --direct.")
@click.option("--parity", type=click.Choice(("none", "even", "odd")), default="none", show_default=True,
              help="With --direct.")  # fmt: skip
@config_option
@run_dir_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, names: tuple[str, ...], direct: str | None, unit: int, table: str, address: int, count: int,
    baud: int, parity: str, config: Path, run_dir: Path, as_json: bool,
) -> None:  # fmt: skip
    """Ask devices now, and show what they answer. The running agent asks, between its own reads.

    With --direct, Modbus registers or coils as they stand, for which no device need be configured.
    """
    if (direct is None) == (not names):
        raise click.UsageError("name devices or points, or else a target with --direct")
    if direct is not None:
        from gateway.cli.read_direct import print_direct

        print_direct(direct, unit, table, address, count, baud, parity, config, run_dir, as_json=as_json)
        return
    failed = False
    with Client(control_socket(run_dir)) as client:
        for row in client.stream("read", points=list(names)):
            failed = failed or bool(row["error"])
            if as_json:
                print_json(row)
            else:
                _show(row)
    ctx.exit(EX_UNAVAILABLE if failed else 0)


def _show(row: dict[str, Any]) -> None:
    when = (
        "-" if row["utc_ms"] is None else f"{datetime.fromtimestamp(row['utc_ms'] / 1000, UTC).astimezone():%H:%M:%S}"
    )
    value = "-" if row["value"] is None else row["value"]
    note = "" if row["quality"] == "good" else f"  [{row['quality']}]"
    error = f"  {row['error']}" if row["error"] else ""
    click.echo(plain(f"{when}  {row['point']:<32} {value} {row['unit']}{note}{error}"))
