"""`lamppost scan`: looks for devices without a configuration. A file a kind, none imported before it is called."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import click

from gateway.cli.output import plain
from gateway.control.client import Client
from gateway.control.sockets import control_socket, status_socket
from gateway.errors import GatewayError, NotAllowed, NotRunning
from gateway.polling.places import places

LEASE_S = 3600.0  # the longest scan: every unit at every rate of a slow line
KINDS = {
    "ble": "List the Bluetooth devices that advertise near, with the format that fits.",
    "modbus": "Find Modbus devices on a line or behind a host, and the profiles that fit.",
    "mbus": "Find M-Bus meters on a line.",
    "serial": "List the serial ports, and guess by listening what speaks there.",
    "sunspec": "Follow the chain of SunSpec models of an inverter, meter or battery.",
}


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


@contextmanager
def borrowed(place: str, config: Path, run_dir: Path) -> Iterator[None]:
    """The bus at `place`, a device file or host:port, is the caller's inside: a running agent lends it.

    Raises `InService` when this user may not borrow it.
    """
    try:
        client = Client(control_socket(run_dir))
    except (NotRunning, NotAllowed) as error:
        refuse_in_service(place, config, run_dir, error.remedy if isinstance(error, NotAllowed) else "")
        yield
        return
    with client:
        lent = next(client.stream("lease", place=place, seconds=LEASE_S, **{"for": "a scan"}), {"bus": None})
        if lent["bus"] is not None:
            click.echo(plain(f"bus {lent['bus']}: lent by the running agent until this is done"), err=True)
        yield


def refuse_in_service(place: str, config: Path, run_dir: Path, remedy: str = "") -> None:
    """Raise `InService` when a bus of the running agent is at `place`, a device file or host:port.

    Whether an agent runs, its socket tells; which buses it has, the configuration. A port that anybody holds cannot be
    opened anyway.
    """
    if not _running(run_dir):
        return
    from config import ConfigErrors, load
    from gateway.setup.installation import profile_folders

    try:
        buses = load(config, profiles=profile_folders()).buses.values()
    except ConfigErrors as errors:
        buses = errors.partial.buses.values() if errors.partial is not None else {}.values()
    for bus in buses:
        if place in places(bus.options):
            remedy = remedy or f"lamppost maintenance {bus.id}, in another terminal"
            raise InService(f"bus {bus.id} of the running agent is on {place}", remedy)


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
