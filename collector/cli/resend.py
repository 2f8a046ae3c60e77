"""`lamppost-collector resend`"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector import output
from collector.cli.options import (
    FILE,
    broker_options,
    confirm,
    database_option,
    json_option,
    now_ms,
    reading,
    tell,
    yes_option,
)
from collector.errors import UsageError
from collector.tables.database import Target

if TYPE_CHECKING:
    from collector.broker import Address
    from collector.orders.resend import Wish
    from collector.tables.database import Database

INCOMPLETE = 75  # EX_TEMPFAIL


@click.command("resend")
@click.argument("gateway")
@click.argument("span", required=False, metavar="[FROM..TO]")
@click.option("--stream", help="Which life of its store (gateways streams); the newest otherwise.")
@click.option("--key", type=FILE, required=True, help="The platform's private key, which signs acknowledgements.")
@click.option("--wait", "patience", help="Wait this long until nothing of it is missing, as 10m.")
@broker_options
@database_option
@yes_option
@json_option
def command(
    gateway: str, span: str | None, stream: str | None, key: Path, patience: str | None, address: "Address",
    database: Target, *, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Ask GATEWAY's history for batches once more: all that is missing, or FROM..TO by number or time.

    A gateway keeps what was delivered for `[buffer] history`. What is here already is not stored twice.
    """
    from buffer.keys import SigningKey
    from collector.orders import resend
    from collector.orders.commands import newest_stream

    with reading(database) as opened:
        chosen = newest_stream(opened, gateway).hex() if stream is None else stream
        wish = resend.plan(opened, gateway, chosen, span, now_ms())
        spans = ", ".join(f"{first} to {last}" for first, last in wish.ranges[:3])
        confirm(f"Ask {gateway} for the batches {spans}{', ...' if len(wish.ranges) > 3 else ''} again?", yes=yes)
        listening = resend.send(opened, address, SigningKey.load(key), wish, now_ms())
        left = _wait(opened, wish, patience)
    row = {"gateway": gateway, "stream": chosen, "ranges": [list(one) for one in wish.ranges],
           "listening": listening, "missing": left}  # fmt: skip
    heard = "" if listening else "; nobody listens now, and a request is not kept: ask again when it is connected"
    tell(f"{gateway}: asked for {len(wish.ranges)} ranges, {left} numbers are missing{heard}", row, as_json=as_json)
    if patience is not None and left:
        output.note("not all of it came: the gateway keeps what was delivered for [buffer] history, and no longer")
        raise click.exceptions.Exit(INCOMPLETE)


def _wait(opened: "Database", wish: "Wish", patience: str | None) -> int:
    from collector.orders import resend
    from config import parse_duration

    if patience is None:
        return resend.missing(opened, wish)
    try:
        return resend.wait(opened, wish, parse_duration(patience) / 1000)
    except ValueError as error:
        raise UsageError(str(error)) from error
