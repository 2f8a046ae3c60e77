"""`lamppost-collector schedule`"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collector import output
from collector.cli import orders
from collector.cli.command import relay_signed, status_of
from collector.cli.options import (
    FILE,
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

    from buffer.schedule import Entry, Schedule
    from collector.broker import Address


WISH = (
    click.argument("source", type=FILE),
    *orders.addressed("schedule"),
    click.option("--edition", type=click.IntRange(1), help="Higher than before; counted on in --database otherwise."),
    *orders.recorded("1h", "7d"),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants signed, as they said it."""

    source: Path
    key: Path
    gateway: str
    stream: str | None
    edition: int | None
    why: str
    who: str
    expires: str


wish_options = wishing(Wish, WISH)


@click.group("schedule")
def command() -> None:
    """Schedules: what a gateway writes by itself, by local time and the sun, until it has the next one."""


@command.command("preview")
@click.argument("source", type=FILE)
@click.option("--zone", default="UTC", show_default=True, help="The gateway's time zone, such as Europe/Berlin.")
@click.option("--location", help="LATITUDE,LONGITUDE of the gateway or device, for the sun.")
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True, help="So many, from now on.")
@json_option
def schedule_preview(source: Path, zone: str, location: str | None, days: int, *, as_json: bool) -> None:
    """Show what SOURCE would switch, as the gateway will find it."""
    from collector.orders import schedules, schedulesource

    entries = schedulesource.load(source)
    rows = schedules.preview(entries, _zone(zone), _place(location), now_ms(), days)
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    shown = ((row["local"], row["point"], row["value"], row["at"]) for row in rows)
    output.as_table([f"when ({zone})", "point", "value", "entry"], shown)


@command.command("sign")
@wish_options
@orders.made_options
def schedule_sign(wish: Wish, database: Target, target: Path, *, yes: bool, as_json: bool) -> None:
    """Sign the schedule in SOURCE. With --stream and --edition it needs no database and runs anywhere."""
    from buffer.command import new_number
    from buffer.keys import SigningKey
    from buffer.schedule import Schedule
    from collector.orders import commands, schedulesource

    entries, signer = schedulesource.load(wish.source), SigningKey.load(wish.key)
    to = orders.stream_of(database, wish.gateway, wish.stream)
    edition, now = _edition(database, wish), now_ms()
    ends = now + orders.milliseconds(wish.expires)
    made = Schedule(wish.gateway, to, new_number(), now, ends, edition, entries, wish.who, wish.why)
    message = made.sign(signer)
    _show(entries, asked=True)
    confirm(f"Sign {commands.sentence(made)}; to be taken until {output.moment(ends)} (UTC)?", yes=yes)
    orders.write_made("schedule", edition, commands.describe(made), message, target, as_json=as_json)


def _edition(database: Target, wish: Wish) -> int:
    from collector.orders import schedules

    if wish.edition is not None:
        return wish.edition
    with reading(database) as opened:
        return schedules.next_edition(opened, wish.gateway)


@command.command("show")
@click.argument("file", type=FILE)
@click.option("--by", type=FILE, help="The public key that FILE must be signed by.")
@json_option
def schedule_show(file: Path, by: Path | None, *, as_json: bool) -> None:
    """Show what the signed schedule in FILE says."""
    from buffer.keys import PublicKey
    from collector.orders import commands, schedules

    found = schedules.read_signed(file, None if by is None else PublicKey.load(by))
    if by is None:
        output.note("the signature is not verified: say --by whom")
    if as_json:
        output.as_json(commands.describe(found))
        return
    _note(found)
    _show(found.entries)


@command.command("relay")
@orders.relay_options
def schedule_relay(
    file: Path, address: "Address", database: Target, wait: str | None, *, yes: bool, as_json: bool
) -> None:
    """Send the signed schedule in FILE (- is standard input) to its gateway, and record it."""
    from buffer.schedule import Schedule
    from collector.errors import CommandFault
    from collector.files import read_bounded
    from collector.orders import commands

    message = read_bounded(file, commands.MAX_MESSAGE_BYTES)
    with writing(database) as opened:
        signed = commands.check(opened, message, now_ms())
        if not isinstance(signed.command, Schedule):
            raise CommandFault(f"{file} is a command, not a schedule: command relay")
        _show(signed.command.entries, asked=True)
        confirm(f"Send {commands.sentence(signed.command)}; signed by {signed.key.name}?", yes=yes)
        relay_signed(opened, address, message, wait, as_json=as_json)


@command.command("status")
@gateway_option
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="The newest so many.")
@database_option
@json_option
def schedule_status(gateway: str | None, limit: int, database: Target, *, as_json: bool) -> None:
    """Relayed schedules and what became of them: the last verified one is in force."""
    from collector.orders import schedules

    with reading(database) as opened:
        found = schedules.relayed(opened, gateway, limit)
    if as_json:
        for row in found:
            output.as_json(row)
        return
    output.as_table(
        ["edition", "issued (UTC)", "gateway", "by", "why", "status", "reason"],
        (
            (
                row["edition"],
                output.moment(row["issued_ms"]),
                row["gateway"],
                f"{row['who']} ({row['name']})",
                row["why"],
                status_of(row),
                row["result"] and row["result"]["reason"],
            )
            for row in found
        ),
    )


def _note(found: "Schedule") -> None:
    output.note(
        f"schedule {found.edition} for {found.gateway}, signed {output.moment(found.issued_ms)} (UTC);"
        f" {found.who}: {found.why}"
    )


def _show(entries: "Sequence[Entry]", *, asked: bool = False) -> None:
    from buffer.command import value_json

    output.as_table(
        ["at", "within", "points", "value", "days", "only", "unless"],
        (
            (
                entry.at,
                f"{entry.earliest}-{entry.latest}".strip("-"),
                ", ".join(entry.points),
                value_json(entry.value),
                _days(entry.days),
                ", ".join(entry.only),
                ", ".join(entry.unless),
            )
            for entry in entries
        ),
        asked=asked,
    )


def _days(days: str) -> str:
    from buffer.schedule import EVERY_DAY
    from collector.orders.schedulesource import DAYS

    return "all" if days == EVERY_DAY else " ".join(DAYS[int(day) - 1] for day in days)


def _zone(name: str) -> Any:  # noqa: ANN401 - zoneinfo is imported only where it is used
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"--zone {name}: no such time zone") from error


def _place(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    latitude, _, longitude = text.partition(",")
    try:
        place = float(latitude), float(longitude)
    except ValueError as error:
        raise UsageError("--location is LATITUDE,LONGITUDE, such as 43.589,-79.644") from error
    if not (-90 <= place[0] <= 90 and -180 <= place[1] <= 180):
        raise UsageError("--location: a latitude within 90 degrees, a longitude within 180")
    return place
