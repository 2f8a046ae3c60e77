"""`lamppost scan`: looks for devices without a configuration. A file a kind, none imported before it is called."""

from importlib import import_module
from pathlib import Path

import click

from gateway.client import Client
from gateway.errors import GatewayError, NotRunning
from gateway.sockets import status_socket

KINDS = {
    "ble": "List the Bluetooth devices that advertise near, with the format that fits.",
    "mbus": "Find M-Bus meters on a line.",
    "serial": "List the serial ports, and guess by listening what speaks there.",
    "sunspec": "Follow the chain of SunSpec models of an inverter, meter or battery.",
}
MODBUS_PORT = 502  # Modbus TCP 3.1.3; other drivers' buses with a host must say their port


class InService(GatewayError, ConnectionError):
    """The running agent has the bus: two masters on a line would spoil each other's answers."""

    exit_code = 69  # EX_UNAVAILABLE


class Scans(click.Group):
    """The kinds of scan; each is `command` of the module `scan_KIND`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(KINDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in KINDS:
            return None
        found: click.Command = import_module(f"gateway.cli.scan_{cmd_name}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Kinds"):
            formatter.write_dl(list(KINDS.items()))


@click.group("scan", cls=Scans)
def command() -> None:
    """Look for devices; `--write conf.d/x.toml` writes the configuration of what was found."""


def refuse_in_service(place: str, config: Path, run_dir: Path) -> None:
    """Raise `InService` when a bus of the running agent is at `place`, a device file or host:port.

    Whether an agent runs, its socket tells; which buses it has, the configuration. A port that anybody holds cannot be
    opened anyway.
    """
    if not _running(run_dir):
        return
    from config import ConfigErrors, load
    from gateway.installation import profile_folders

    try:
        buses = load(config, profiles=profile_folders()).buses.values()
    except ConfigErrors as errors:
        buses = errors.partial.buses.values() if errors.partial is not None else {}.values()
    for bus in buses:
        if place in _places(bus.options):
            raise InService(f"bus {bus.id} of the running agent is on {place}", "sudo systemctl stop lamppost")


def place_of(port: str) -> str:
    """A port as `refuse_in_service` compares it: links such as those in /dev/serial/by-id are followed."""
    return str(Path(port).resolve()) if "/" in port else port


def refuse_to_overwrite(file: Path) -> None:
    """Raise `click.UsageError` when there is such a file, before any time is spent."""
    if file.exists():
        raise click.UsageError(f"{file} is there already")


def _running(run_dir: Path) -> bool:
    try:
        with Client(status_socket(run_dir)):
            return True
    except NotRunning:
        return False
    except PermissionError:  # somebody answers there who does not talk to us
        return True


def _places(options: dict[str, object]) -> tuple[str, ...]:
    port, host = options.get("port", MODBUS_PORT), options.get("host")
    return (f"{host}:{port}",) if host is not None else (place_of(str(port)),)
