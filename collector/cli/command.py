"""`lamppost-collector command`"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector import output
from collector.cli import orders
from collector.cli.options import (
    confirm,
    database_option,
    gateway_option,
    json_option,
    now_ms,
    reading,
    wishing,
    writing,
)
from collector.errors import UsageError
from collector.tables.database import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buffer.command import Command
    from collector.broker import Address
    from collector.query import Row
    from collector.tables.database import Database

WISH = (
    *orders.addressed("command"),
    click.option("--write", "writes", multiple=True, required=True, help="DEVICE/POINT=VALUE; several go in order."),
    *orders.recorded("10m", "1h"),
    click.option("--dry-run", is_flag=True, help="Check everything and write nothing."),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants signed, as they said it."""

    key: Path
    gateway: str
    stream: str | None
    writes: tuple[str, ...]
    why: str
    who: str
    expires: str
    dry_run: bool


wish_options = wishing(Wish, WISH)


@click.group("command")
def command() -> None:
    """Commands: signed where an operator's key is, relayed by the collector, judged by the gateway."""


@command.command("sign")
@wish_options
@orders.made_options
def command_sign(wish: Wish, database: Target, target: Path, *, yes: bool, as_json: bool) -> None:
    """Sign a command. With --stream it needs no database and runs anywhere."""
    from collector.orders import commands

    made, message = _sign(wish, database, "Sign", yes=yes)
    orders.write_made("command", made.number, commands.describe(made), message, target, as_json=as_json)


@command.command("relay")
@orders.relay_options
def command_relay(
    file: Path, address: "Address", database: Target, wait: str | None, *, yes: bool, as_json: bool
) -> None:
    """Send the signed command in FILE (- is standard input) to its gateway, and record it."""
    from collector.files import read_bounded
    from collector.orders import commands

    message = read_bounded(file, commands.MAX_MESSAGE_BYTES)
    with writing(database) as opened:
        signed = commands.check(opened, message, now_ms())
        confirm(f"Send {commands.sentence(signed.command)}; signed by {signed.key.name}?", yes=yes)
        relay_signed(opened, address, message, wait, as_json=as_json)


@command.command("send")
@wish_options
@orders.send_options
def command_send(
    wish: Wish, address: "Address", database: Target, wait: str | None, *, yes: bool, as_json: bool
) -> None:
    """Sign and relay at once: for a laboratory, where the operator's key lies beside the collector."""
    _, message = _sign(wish, database, "Sign and send", yes=yes)
    with writing(database) as opened:
        relay_signed(opened, address, message, wait, as_json=as_json)


@command.command("status")
@click.argument("number", type=click.IntRange(1), required=False)
@gateway_option
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="The newest so many.")
@orders.wait_option
@database_option
@json_option
def command_status(
    number: int | None, gateway: str | None, limit: int, wait: str | None, database: Target, *, as_json: bool
) -> None:
    """Relayed commands and their results. With NUMBER: exit code 0 done, 1 not done, 75 no result yet."""
    from collector.errors import CommandFault
    from collector.orders import commands

    if number is None and wait is not None:
        raise UsageError("--wait needs the NUMBER of a command")
    seconds = orders.seconds(wait)
    with reading(database) as opened:
        found = commands.status(opened, gateway=gateway, number=number, limit=limit)
        if number is not None and not found:
            raise CommandFault(f"no command {number} was relayed from here")
        if number is not None:
            found = _wait(opened, number, gateway, seconds)
    _show(found, as_json=as_json)
    if number is not None:
        _leave(found)


def _sign(wish: Wish, database: Target, question: str, *, yes: bool) -> "tuple[Command, bytes]":
    from buffer.command import Command, new_number
    from buffer.keys import SigningKey
    from collector.orders import commands

    key = SigningKey.load(wish.key)
    writes = tuple(map(commands.parse_write, wish.writes))
    stream, now = orders.stream_of(database, wish.gateway, wish.stream), now_ms()
    ends = now + orders.milliseconds(wish.expires)
    made = Command(wish.gateway, stream, new_number(), now, ends, writes, wish.who, wish.why, wish.dry_run)
    message = made.sign(key)
    confirm(f"{question} {commands.sentence(made)}; until {output.moment(ends)} (UTC)?", yes=yes)
    return made, message


def relay_signed(database: "Database", address: "Address", message: bytes, wait: str | None, *, as_json: bool) -> None:
    """Record and send what was signed, tell of it, and leave with the exit code of what came of it."""
    from collector.orders import commands, relay

    seconds = orders.seconds(wait)
    signed = commands.check(database, message, now_ms())
    row = relay.command(database, address, signed)
    made = signed.command
    if wait is None:
        orders.tell_sent("command", made, row, as_json=as_json)
        return
    found = _wait(database, made.number, made.gateway, seconds)
    _show(found, as_json=as_json)
    _leave(found)


def _wait(database: "Database", number: int, gateway: str | None, seconds: float) -> "list[Row]":
    """The command, when its result is there or the time is over."""
    from collector.orders import commands

    return orders.until(
        lambda found: all(row["result"] is not None for row in found),
        lambda: commands.status(database, gateway=gateway, number=number),
        seconds,
    )


def _leave(found: "Sequence[Row]") -> None:
    from collector.orders import commands

    undone = commands.undone(found)
    if undone:
        orders.leave(orders.NO_RESULT if any(row["result"] is None for row in undone) else orders.NOT_DONE)


def _show(found: "Sequence[Row]", *, as_json: bool) -> None:
    if as_json:
        for row in found:
            output.as_json(row)
        return
    output.as_table(
        ["number", "issued (UTC)", "gateway", "by", "why", "status", "reason", "finished (UTC)"],
        (
            (
                r["number"],
                output.moment(r["issued_ms"]),
                r["gateway"],
                f"{r['who']} ({r['name']})",
                r["why"],
                status_of(r),
                r["result"] and r["result"]["reason"],
                r["result"] and output.moment(r["result"]["finished_ms"]),
            )
            for r in found
        ),
    )


def status_of(row: "Row") -> str:
    """What is known of something that was relayed."""
    if row["result"] is not None:
        return str(row["result"]["status"])
    if row["relayed_at"] is None:
        return "not sent"
    return "no result" if row["expires_ms"] < now_ms() else "sent"
