"""`lamppost-collector web`"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector import output
from collector.cli.options import FILE, broker_options_if, database_option, json_option
from collector.errors import SetupFault, UsageError
from collector.tables.database import Target

if TYPE_CHECKING:
    from collector.broker import Address

PORT = 8438
users_option = click.option(
    "--users", type=FILE, default=Path("/var/lib/lamppost-collector-web/users.json"), show_default=True,
    help="The file of who may use the page.",
)  # fmt: skip
role_option = click.option("--role", type=click.Choice(["viewer", "operator"]), required=True)


@click.group("web")
def command() -> None:
    """The platform's page: gateways, devices, charts, alarms, commands, open data."""


@command.command("run")
@database_option
@users_option
@click.option("--listen", default=f"127.0.0.1:{PORT}", show_default=True, help="host:port; TLS is a must off loopback.")
@click.option("--tls-cert", type=FILE, help="The page's certificate and those above it, PEM.")
@click.option("--tls-key", type=FILE, help="Its private key, PEM.")
@click.option("--origin", "origins", multiple=True, metavar="URL", help="As browsers reach it: https://NAME[:PORT]")
@click.option("--silent", default="15m", show_default=True, help="After this a gateway counts as offline.")
@click.option("--proxy-secret", type=FILE, help="Believe a proxy that says this in X-Lamppost-Proxy.")
@click.option("--proxy-header", default="X-Forwarded-User", show_default=True, help="Where the proxy says who it is.")
@click.option("--proxy-address", default="127.0.0.1", show_default=True, help="From where the proxy must come.")
@broker_options_if
def run(
    database: Target, users: Path, listen: str, tls_cert: Path | None, tls_key: Path | None, origins: tuple[str, ...],
    silent: str, proxy_secret: Path | None, proxy_header: str, proxy_address: str, address: "Address | None",
) -> None:  # fmt: skip
    """Serve the page until SIGTERM. With --broker, operators may relay commands that were signed elsewhere."""
    _needs()
    import asyncio
    import logging
    import sys

    from collector.web.app import Page, Settings
    from collector.web.guard import Guard
    from collector.web.proxy import Proxy
    from collector.web.server import bound, server, tls

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    host, port = _place(listen)
    if (tls_cert is None) is not (tls_key is None):
        raise SetupFault("--tls-cert and --tls-key go together")
    context = None if tls_cert is None or tls_key is None else tls(tls_cert, tls_key)
    if context is None and not _is_loopback(host):
        raise SetupFault(f"{host} is reached by others: --tls-cert and --tls-key, or a proxy in front of 127.0.0.1")
    named = [_origin(origin) for origin in origins]
    proxy = None if proxy_secret is None else Proxy.load(proxy_header, proxy_secret, proxy_address)
    patience = _ms(silent)
    listening = bound(host, port)
    scheme, number = "http" if context is None else "https", listening.getsockname()[1]
    hosts = {f"[{host}]" if ":" in host else host, *(("localhost",) if _is_loopback(host) else ())}
    here = [f"{scheme}://{name}:{number}" for name in sorted(hosts)]
    page = Page(Settings(database, users, patience, address, proxy, secure=context is not None or bool(named)))
    output.note(f"listening on {here[0]}")
    serving = server(Guard(page.app(), [*here, *named]), context)
    asyncio.run(serving.serve(sockets=[listening]))
    page.close()


@command.group("user")
def user() -> None:
    """Who may use the page. There is nobody before you say so, and no password but those you set."""


@user.command("add")
@click.argument("name")
@role_option
@click.option("--vouched", is_flag=True, help="No password: the proxy vouches for this name.")
@users_option
def add(name: str, role: str, users: Path, *, vouched: bool) -> None:
    """Let NAME use the page, or change their role and password; sessions of before end."""
    from collector.web.users import Role, User, Users, with_password

    known = Users(users)
    if vouched:
        known.put(name, User(Role(role)))
    else:
        known.put(name, with_password(Role(role), _password()))
    output.note(f"{name} is {role}")


@user.command("remove")
@click.argument("name")
@users_option
def remove(name: str, users: Path) -> None:
    """Let NAME use the page no more; their sessions end."""
    from collector.web.users import Users

    Users(users).put(name, None)
    output.note(f"{name} is out")


@user.command("list")
@users_option
@json_option
def listed(users: Path, *, as_json: bool) -> None:
    """Who may use the page."""
    from collector.web.users import Users

    found = [(name, one.role.value, not one.hash) for name, one in sorted(Users(users).all().items())]
    if as_json:
        for name, role, vouched in found:
            output.as_json({"name": name, "role": role, "vouched": vouched})
    else:
        output.as_table(["name", "role", "by"], ((n, r, "proxy" if v else "password") for n, r, v in found))


def _password() -> str:
    """Asked of a person twice, without an echo; from a program the first line."""
    import sys

    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline(1024).rstrip("\n")


def _place(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError("--listen is host:port, for example 127.0.0.1:8438")
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise UsageError(f"--listen is an IP address and a port, not {host!r}") from error


def _origin(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc or parts.path not in ("", "/") or "@" in parts.netloc:
        raise UsageError("--origin: https://NAME or https://NAME:PORT")
    return f"https://{parts.netloc}"


def _ms(duration: str) -> int:
    from config import parse_duration

    try:
        found = parse_duration(duration)
    except ValueError as error:
        raise UsageError(f"--silent: {error}") from error
    if found <= 0:
        raise UsageError("--silent is more than nothing")
    return found


def _needs() -> None:
    from importlib.util import find_spec

    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise SetupFault(f"the page needs {' and '.join(missing)}: pip install 'lamppost[web]'")
