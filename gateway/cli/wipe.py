"""`lamppost wipe`"""

import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import config_option, json_option, plain, print_json, run_dir_option

if TYPE_CHECKING:
    from gateway.control.client import Client

UNITS = ("lamppost.service", "lamppost-web.service")
STOP_S = 60.0
LOOK_S = 0.5
FIRST = ".key"
"""Keys go first: whatever stops this then, the box is no gateway any more."""


@click.command("wipe")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--why", default="decommissioned", show_default=True, help="What the platform is told.")
@click.option("--wait", "wait_s", default=30.0, show_default=True, help="Seconds to wait for the platform's answer.")
@config_option
@run_dir_option
@json_option
def command(yes: bool, why: str, wait_s: float, config: Path, run_dir: Path, as_json: bool) -> None:
    """Destroy this gateway's keys and data, after telling the platform. There is no way back.

    Exit code 69: all was destroyed, and the platform does not know.
    """
    from gateway.errors import GatewayError, NotTold
    from gateway.identity import sealed, wipe

    found = sorted(wipe.files(*_named(config)), key=lambda path: FIRST not in path.name)
    click.echo(f"{len(found)} files are to be destroyed: keys, the buffer with what was not delivered.", err=True)
    if found and not yes:
        click.confirm("There is no way back. Destroy them?", abort=True, err=True)
    told, undelivered = _tell(run_dir, why, wait_s) if found else (False, 0)
    _stop(run_dir)
    failed = []
    for path in found + [path for path in wipe.files(*_named(config)) if path not in found]:
        try:
            wipe.destroy(path)
        except FileNotFoundError:  # the agent's own end took it away
            continue
        except OSError as error:
            failed.append(f"{path}: {error.strerror}")
    sealed.reload()
    if as_json:
        print_json({"told": told, "undelivered": undelivered, "files": len(found) - len(failed), "failed": failed})
    elif found:
        _say(told=told, undelivered=undelivered, folder=_named(config)[0].parent)
    if failed:
        raise GatewayError(f"not destroyed: {'; '.join(map(plain, failed))}", "sudo lamppost wipe")
    if found and not told:
        raise NotTold(
            "the platform does not know that this gateway is gone",
            "lamppost-collector gateways revoke, at the platform",
        )


def _say(*, told: bool, undelivered: int | None, folder: Path) -> None:
    from gateway.identity import wipe

    if told:
        click.echo("The platform knows.", err=True)
    if undelivered != 0:
        click.echo(
            f"Batches that were destroyed undelivered: {'unknown' if undelivered is None else undelivered}.", err=True
        )
    click.echo(wipe.PROMISE, err=True)
    click.echo(f"  try: sudo fstrim -v {plain(str(folder))}", err=True)


def _named(config: Path) -> tuple[Path, tuple[Path, ...], tuple[Path, ...]]:
    """The store, the secrets that the configuration names, whole folders; what can be read of one that is broken."""
    from config import ConfigErrors, load
    from gateway.identity import sealed
    from gateway.identity.wipe import KEYS, SEALED, STATE, WEB
    from gateway.setup.installation import DEFAULT, profile_folders

    folders = (KEYS, SEALED, STATE, WEB) if config == DEFAULT else ()  # another installation has its own
    try:
        found = load(config, profiles=profile_folders())
    except ConfigErrors as errors:
        if errors.partial is None and not folders:
            raise
        if errors.partial is None:
            return STATE / "buffer.db", (), folders
        found = errors.partial
    named: list[Path | None] = [found.gateway.key, sealed.place(found.gateway.key)]
    if found.uplink is not None:
        named.append(found.uplink.password_file)
        if found.uplink.tls is not None:
            key = found.uplink.tls.key
            named += [key, key and sealed.place(key), found.uplink.tls.cert]
    return found.buffer.path, tuple(path for path in named if path is not None), folders


def _tell(run_dir: Path, why: str, wait_s: float) -> tuple[bool, int | None]:
    """Whether the platform has acknowledged the last message, and how many batches it then has not (None: unknown)."""
    from gateway.control.client import Client
    from gateway.control.sockets import control_socket, status_socket
    from gateway.errors import GatewayError

    try:
        with Client(control_socket(run_dir)) as control:
            numbers = set(control.call("decommission", why=why)["numbers"])
        end = time.monotonic() + wait_s
        with Client(status_socket(run_dir)) as client:
            while (waits := _waits(client, numbers)) and time.monotonic() < end:
                time.sleep(LOOK_S)
            return not waits, int(client.call("status")["buffer"]["held"]["batches"])
    except GatewayError as error:
        click.echo(f"lamppost: the platform is not told: {plain(str(error))}", err=True)
        return False, None


def _waits(client: "Client", numbers: set[int]) -> bool:
    """Whether one of these batches is not acknowledged."""
    return bool(numbers) and any(batch["number"] in numbers for batch in client.call("queue", after=min(numbers) - 1))


def _stop(run_dir: Path) -> None:
    """Nobody writes to what is destroyed; raises `GatewayError` while an agent still answers."""
    from gateway.control.client import Client
    from gateway.control.sockets import status_socket
    from gateway.errors import GatewayError, NotRunning

    if shutil.which("systemctl") and Path("/run/systemd/system").is_dir():
        for unit in UNITS:
            words = ["systemctl", "disable", "--now", unit]
            subprocess.run(words, capture_output=True, check=False, timeout=STOP_S)
    try:
        Client(status_socket(run_dir)).__exit__()
    except NotRunning:
        return
    raise GatewayError("the agent still runs; nothing was destroyed", "stop it, then: sudo lamppost wipe")
