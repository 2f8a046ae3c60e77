"""`lamppost web`"""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import json_option, plain, run_dir_option
from gateway.errors import SetupFailed

if TYPE_CHECKING:
    from gateway.web.door import Door

PORT = 8437
FOR_MAX_MS = 24 * 3_600_000
FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=Path("/var/lib/lamppost-web"),
    show_default=True, help="Where the password and the token are.",
)  # fmt: skip


@click.group("web")
def command() -> None:
    """The technician's page, for a phone."""


@command.command("run")
@run_dir_option
@FOLDER
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True)
@click.option("--origin", "origins", multiple=True, metavar="URL", help="Also as https://NAME, behind a proxy there.")
def run(run_dir: Path, folder: Path, port: int, origins: tuple[str, ...]) -> None:
    """Serve the page on 127.0.0.1, to who knows the password (what lamppost-web.service does)."""
    _needs()
    from gateway.web.door import Door

    wanted = [_origin(origin) for origin in origins]
    asyncio.run(_serve(run_dir, "127.0.0.1", port, Door(time.monotonic), folder=folder, origins=wanted))


@command.command("open")
@run_dir_option
@click.option("--for", "duration", metavar="TIME", default="1h", show_default=True, help="How long, such as 30m.")
@click.option("--interface", metavar="NAME", help="Listen on the IPv4 address of this interface, such as wlan0.")
@click.option("--address", metavar="IP", help="Listen on this address of a private network.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True)
@click.option("--tls", is_flag=True, help="TLS on loopback as well; elsewhere there is nothing else.")
@json_option
def open_(
    run_dir: Path, *, duration: str, interface: str | None, address: str | None, port: int, tls: bool, as_json: bool
) -> None:
    """Open the page to a phone beside the box for a while: a QR code with a login for one use.

    Compare the fingerprint that the phone shows with the one printed here. Enter makes a new login, Ctrl-C closes.
    """
    _needs()
    from gateway.web import address as addresses
    from gateway.web import certificate
    from gateway.web.door import Door

    seconds = _ms(duration) / 1000
    chosen = addresses.choose(address, interface)
    made = certificate.make(chosen) if tls or not addresses.is_loopback(chosen) else None
    ends = time.monotonic() + seconds
    door = Door(time.monotonic, ends, idle=seconds)

    def tell(origin: str) -> None:
        _tell(f"{origin}/#{door.code()}", "" if made is None else made.fingerprint, seconds, as_json=as_json)

    context = None if made is None else made.context
    asyncio.run(_serve(run_dir, chosen, port, door, tls=context, seconds=seconds, tell=tell))


@command.command("password")
@FOLDER
def password(folder: Path) -> None:
    """Set the password of the page (twelve characters or more); there is none before."""
    from gateway.web import secret

    said = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    secret.set_password(folder, said)
    click.echo("set; sessions that are open stay so until they end", err=True)


@command.command("token")
@FOLDER
def token(folder: Path) -> None:
    """Make the token with which Prometheus reads /metrics, and print it: it is shown this once."""
    from gateway.web import secret

    click.echo(secret.new_token(folder))


async def _serve(
    run_dir: Path, address: str, port: int, door: "Door", *, folder: Path | None = None, tls: object = None,
    origins: list[str] | None = None, seconds: float | None = None, tell: Callable[[str], None] | None = None,
) -> None:  # fmt: skip
    import ssl

    from gateway.web import server
    from gateway.web.address import bound, netloc
    from gateway.web.app import Page
    from gateway.web.asked import Asked
    from gateway.web.guard import Guard

    context = tls if isinstance(tls, ssl.SSLContext) else None
    listening = bound(address, port)
    here = f"{'http' if context is None else 'https'}://{netloc(address, listening.getsockname()[1])}"
    local = [here.replace("127.0.0.1", "localhost")] if address == "127.0.0.1" else []
    page = Page(Asked(run_dir), door, folder=folder, secure=context is not None)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = await server.start(Guard(page.app(), [here, *local, *(origins or [])]), listening, context)
    if tell is None:
        click.echo(f"listening on {here}", err=True)
    else:
        tell(here)
        _on_enter(loop, lambda: tell(here))
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        click.echo("the time is over: closed", err=True)
    await serving.close()


def _on_enter(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    """Call `act` for each line of a person at the terminal."""
    if not sys.stdin.isatty():
        return

    def typed() -> None:
        if sys.stdin.readline():
            act()
        else:
            loop.remove_reader(sys.stdin)

    with contextlib.suppress(PermissionError, NotImplementedError):  # a terminal that cannot be waited for
        loop.add_reader(sys.stdin, typed)


def _tell(url: str, fingerprint: str, seconds: float, *, as_json: bool) -> None:
    """What the technician needs: the code to photograph, the address to type, the fingerprint to compare."""
    if as_json:
        ends = time.time_ns() // 1_000_000 + round(seconds * 1000)
        click.echo(json.dumps({"url": url, "fingerprint": fingerprint or None, "ends_ms": ends}))
        return
    import segno

    if sys.stdout.isatty():
        segno.make(url, error="l").terminal(compact=True, border=2)
    click.echo(plain(url))
    if fingerprint:
        click.echo(f"certificate, SHA-256:\n  {fingerprint[:47]}\n  {fingerprint[48:]}")
    click.echo(f"one login, open for {round(seconds / 60)} min; Enter: another login, Ctrl-C: close", err=True)


def _needs() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("segno", "starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise SetupFailed(f"the page needs {', '.join(missing)}", "pip install 'lamppost[web]'")


def _origin(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc or parts.path not in ("", "/") or "@" in parts.netloc:
        raise click.UsageError("--origin: https://NAME or https://NAME:PORT")
    return f"https://{parts.netloc}"


def _ms(duration: str) -> int:
    from config.units import parse_duration

    try:
        found = parse_duration(duration)
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from error
    if not 0 < found <= FOR_MAX_MS:
        raise click.UsageError("--for: at most 24h")
    return found
