"""What the verbs share that sign orders for gateways, send them, and wait for what comes of them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from collector.cli.options import (
    FILE,
    broker_options,
    database_option,
    json_option,
    reading,
    tell,
    together,
    yes_option,
)
from collector.errors import UsageError
from collector.tables.database import Target

if TYPE_CHECKING:
    from buffer.order import Order

T = TypeVar("T")
Options = tuple[Callable[..., Any], ...]

NOT_DONE = 1
NO_RESULT = 75  # EX_TEMPFAIL
POLL_SECONDS = 0.2

wait_option = click.option("--wait", help="Wait this long for what comes of it, as 30s or 10m.")
send_options = together(broker_options, database_option, wait_option, yes_option, json_option)
relay_options = together(click.argument("file", type=FILE), send_options)
made_options = together(
    database_option,
    click.option("-o", "--output", "target", type=FILE, required=True, help="The file to make; - is standard output."),
    yes_option,
    json_option,
)


def addressed(what: str) -> Options:
    """By whose key, and for whom."""
    return (
        click.option("--key", type=FILE, required=True, help="The operator's private key."),
        click.option("--gateway", required=True, help=f"Whom the {what} is for."),
        click.option(
            "--stream", help="Which life of its store (gateways streams); the newest in --database otherwise."
        ),
    )


def recorded(expires: str, longest: str) -> Options:
    """Why, who, and how long it may be taken."""
    return (
        click.option("--why", required=True, help="The reason, for the record."),
        click.option("--who", required=True, help="The person, for the record."),
        click.option("--expires", default=expires, show_default=True, help=f"Not taken later; at most {longest}."),
    )


def write_made(what: str, number: int, made: dict[str, Any], message: bytes, target: Path, *, as_json: bool) -> None:
    """Write what was signed, and tell of it."""
    from collector.files import write_whole

    write_whole(target, message)
    row = {**made, "file": str(target)}
    tell(f"{what} {number} is in {target}", row, as_json=as_json and str(target) != "-")


def tell_sent(what: str, order: "Order", row: dict[str, Any], *, as_json: bool) -> None:
    """Say that it is on its way, and whether anybody listens."""
    heard = "" if row["listening"] else "; nobody listens there now"
    tell(f"{what} {order.number} is sent to {order.gateway}{heard}", row, as_json=as_json)


def until(ended: Callable[[T], object], look: Callable[[], T], seconds: float) -> T:
    """What is seen when it has ended, or the time is over."""
    end = time.monotonic() + seconds
    while not ended(found := look()) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return found


def leave(code: int) -> None:
    """End the verb with this exit code."""
    click.get_current_context().exit(code)


def stream_of(database: Target, gateway: str, stream: str | None) -> bytes:
    """The life of a gateway's store that is meant; raises UsageError or CommandFault."""
    from collector.orders import commands

    if stream is not None:
        try:
            return bytes.fromhex(stream)
        except ValueError as error:
            raise UsageError(f"--stream is 32 digits of hex, not {stream!r}") from error
    with reading(database) as opened:
        return commands.newest_stream(opened, gateway)


def milliseconds(text: str) -> int:
    """A duration such as 10m; raises UsageError."""
    from config import parse_duration

    try:
        return int(parse_duration(text))
    except ValueError as error:
        raise UsageError(str(error)) from error


def seconds(text: str | None) -> float:
    """A duration such as 10m, none as 0; raises UsageError."""
    return 0.0 if text is None else milliseconds(text) / 1000
