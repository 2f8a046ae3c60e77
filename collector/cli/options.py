"""What several verbs share: options, the database they open, the question before the world is changed."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from collector import output
from collector.errors import NotConfirmed, UsageError
from collector.tables.database import Database, Target, is_url

if TYPE_CHECKING:
    from collector.broker import Address

DATABASE = "/var/lib/lamppost-collector/collector.db"
FILE = click.Path(path_type=Path)

Verb = TypeVar("Verb", bound=Callable[..., Any])


class TargetType(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on, and not before
    """A path, or a URL as it is."""

    name = "file or url"

    def convert(self, value: Target, param: click.Parameter | None, ctx: click.Context | None) -> Target:  # noqa: ARG002
        """Anything is one of the two."""
        return value if is_url(value) else Path(value)


database_option = click.option(
    "--database",
    type=TargetType(),
    default=DATABASE,
    envvar="LAMPPOST_COLLECTOR_DATABASE",
    show_default=True,
    help="The SQLite file, or postgresql://USER@HOST/NAME.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
gateway_option = click.option("--gateway", help="Only this gateway.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")

_BROKER = (
    click.option("--broker", required=True, help="mqtt://host:port or mqtts://host:port"),
    click.option("--root", default="lamppost", show_default=True, help="The first part of every topic."),
    click.option("--mqtt-version", type=click.Choice(["auto", "5", "3.1.1"]), default="auto", show_default=True),
    click.option("--username"),
    click.option("--password-file", type=FILE),
    click.option("--ca", type=FILE, help="Certificates to trust, PEM; the system's otherwise."),
    click.option("--cert", type=FILE, help="Client certificate, PEM."),
    click.option("--cert-key", type=FILE, help="Its private key, PEM."),
)


def broker_options(verb: Verb) -> Callable[..., Any]:
    """Give a verb the options that say where the broker is, and `address` made of them."""

    @functools.wraps(verb)
    def wrapped(**given: Any) -> Any:  # noqa: ANN401 - what click gives, and what the verb returns
        names = ("broker", "root", "mqtt_version", "username", "password_file", "ca", "cert", "cert_key")
        said = {name: given.pop(name) for name in names}
        return verb(address=None if said["broker"] is None else _address(**said), **given)

    return together(*_BROKER)(wrapped)


def broker_options_if(verb: Verb) -> Callable[..., Any]:
    """The same for a verb that needs no broker: without --broker, `address` is None."""
    wrapped = broker_options(verb)
    for parameter in wrapped.__click_params__:  # type: ignore[attr-defined]  # click keeps them there until it is a command
        if parameter.name == "broker":
            parameter.required = False
    return wrapped


def _address(
    broker: str,
    root: str,
    mqtt_version: str,
    username: str | None,
    password_file: Path | None,
    ca: Path | None,
    cert: Path | None,
    cert_key: Path | None,
) -> "Address":
    from collector.broker import Address
    from config import Broker

    try:
        password = None if password_file is None else password_file.read_text().strip()
        where = Broker.parse(broker)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return Address(
        where, root, version=mqtt_version, username=username, password=password, ca=ca, cert=cert, cert_key=cert_key
    )


def together(*options: Callable[..., Any]) -> Callable[[Verb], Callable[..., Any]]:
    """Several options (or arguments) as one decorator, in their order."""

    def decorate(verb: Verb) -> Callable[..., Any]:
        wrapped: Callable[..., Any] = verb
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def wishing(wish: type, options: Sequence[Callable[..., Any]]) -> Callable[[Verb], Callable[..., Any]]:
    """Return what gives a verb `options`, and `wish`, a dataclass that is made of them."""

    def decorate(verb: Verb) -> Callable[..., Any]:
        @functools.wraps(verb)
        def wrapped(**given: Any) -> Any:  # noqa: ANN401 - what click gives, and what the verb returns
            return verb(wish=wish(**{field.name: given.pop(field.name) for field in fields(wish)}), **given)

        return together(*options)(wrapped)

    return decorate


def now_ms() -> int:
    """The clock of this machine, in ms since the epoch."""
    return time.time_ns() // 1_000_000


@contextmanager
def reading(target: Target) -> Iterator[Database]:
    """A database that is there already, for reading."""
    database = Database.read(target)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def writing(target: Target) -> Iterator[Database]:
    """A database for writing, made if there is none."""
    database = Database.open(target)
    try:
        yield database
    finally:
        database.close()


def tell(text: str, row: dict[str, Any], *, as_json: bool) -> None:
    """Say what was done: as an object on standard output, or as a line on standard error."""
    if as_json:
        output.as_json(row)
    else:
        output.note(text)


def confirm(question: str, *, yes: bool) -> None:
    """Ask on standard error; raises NotConfirmed for any answer but yes."""
    if yes:
        return
    try:
        agreed = click.confirm(output.printable(question, whole=True), err=True)
    except click.Abort:
        agreed = False
    if not agreed:
        raise NotConfirmed("not confirmed: nothing was done (--yes does not ask)")
