"""Schedules on the platform's side: which edition comes next, what a file would do, what became of those relayed."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from buffer import cbor, cose
from buffer.calendar import Calendar
from buffer.command import value_json
from buffer.errors import BatchFormatError
from buffer.keyring import RingKey
from buffer.keys import PublicKey
from buffer.schedule import Entry, Schedule
from collector.errors import CommandFault
from collector.files import read_bounded
from collector.orders import commands
from collector.orders.commands import MAX_MESSAGE_BYTES
from collector.query import Row
from collector.tables.database import Database

EDITION = 7  # the key of a schedule's map (docs/format.md); of a command it holds a list
SEARCHED = 100_000  # commands of a gateway that are looked through for schedules


def edition_of(message: bytes) -> int | None:
    """The edition that a signed schedule names, unverified; None for a command."""
    found = cbor.loads(cose.read(message).payload, "the message").get(EDITION)
    return found if type(found) is int else None


def relayed(database: Database, gateway: str | None, limit: int) -> list[Row]:
    """The newest relayed schedules, the newest last, each with `edition`, and its result where one has come."""
    found = commands.status(database, gateway=gateway, limit=SEARCHED)
    known = ((edition_of(bytes.fromhex(row["message"])), row) for row in found)
    return [{**row, "edition": edition} for edition, row in known if edition is not None][-limit:]


def next_edition(database: Database, gateway: str) -> int:
    """One above the highest that was relayed to a gateway."""
    return max((row["edition"] for row in relayed(database, gateway, SEARCHED)), default=0) + 1


def read_signed(path: Path, by: PublicKey | None) -> Schedule:
    """What a signed file says; verified only if it is known `by` whom. Raises CommandFault, SignatureError."""
    message = read_bounded(path, MAX_MESSAGE_BYTES)
    try:
        envelope = cose.read(message)
        if by is not None:
            return Schedule.read(envelope, RingKey("unnamed", "command", by.raw))
        return Schedule.parse(envelope.payload)
    except BatchFormatError as error:
        raise CommandFault(f"{path}: {error}") from error


def preview(
    entries: tuple[Entry, ...], zone: ZoneInfo, place: tuple[float, float] | None, from_ms: int, days: int
) -> Iterator[dict[str, Any]]:
    """Yield the switches of the next days; raises CommandFault where the sun is asked for and no place is known."""
    calendar = Calendar(entries, zone, lambda _: place)
    if calendar.unplaced():
        raise CommandFault("an entry names the sun: say where by --location LATITUDE,LONGITUDE")
    for one in calendar.between(from_ms, from_ms + days * 86_400_000):
        local = datetime.fromtimestamp(one.utc_ms / 1000, zone)
        yield {
            "utc_ms": one.utc_ms,
            "local": local.isoformat(" ", "minutes"),
            "point": one.point,
            "value": value_json(one.value),
            "at": entries[one.entry].at,
        }
