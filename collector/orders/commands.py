"""Commands on the platform's side: signed where the operator's key is, checked and recorded before they are relayed."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from buffer import cbor, cose
from buffer.command import MAX_COMMAND_BYTES, Command, Wanted, Write, value_json
from buffer.cose import Envelope
from buffer.errors import BatchFormatError, BufferFault, SignatureError
from buffer.header import gateway_id
from buffer.keyring import RingKey
from buffer.schedule import Entry, Schedule
from collector.errors import CommandFault
from collector.identity import keyrings
from collector.query import Row, rows
from collector.tables.database import Database

MAX_MESSAGE_BYTES = MAX_COMMAND_BYTES + 1024  # envelope and signature have 90
DONE = {"verified", "written"}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")

STATUS = """
    SELECT gateway, number, stream, kid, name, who, why, dry_run, issued_ms, expires_ms, relayed_at, message
    FROM commands WHERE (:gateway IS NULL OR gateway = :gateway) AND (:number IS NULL OR number = :number)
    ORDER BY issued_ms DESC, number LIMIT :limit"""

RESULTS = """
    SELECT gateway, stream, number, status, reason, source, finished_ms, ts_ms, result, batch FROM command_results
    WHERE (:gateway IS NULL OR gateway = :gateway) AND (:number IS NULL OR number = :number) AND ts_ms >= :since
    ORDER BY ts_ms, batch"""


def parse_write(text: str) -> Write:
    """`lamp7/level=40`: a number, true, false, or a text (in quotes if it looks like one of these)."""
    point, equals, value = text.partition("=")
    if not equals:
        raise CommandFault(f"a write is DEVICE/POINT=VALUE, not {text!r}")
    return Write(point.strip(), _value(value.strip()))


def _value(text: str) -> Wanted:
    if text in {"true", "false"}:
        return text == "true"
    if NUMBER.fullmatch(text):
        return Decimal(text)
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text


def newest_stream(database: Database, gateway: str) -> bytes:
    """The life of the gateway's store that began last; raises CommandFault."""
    with database.errors():
        found = database.connection.execute(
            "SELECT stream FROM streams WHERE gateway = ? ORDER BY first_seen DESC, newest_ms DESC LIMIT 1", (gateway,)
        ).fetchone()
    if found is None:
        raise CommandFault(f"nothing has come from {gateway} yet, so its stream is not known; or say --stream")
    return bytes.fromhex(found[0])


def streams(database: Database, gateway: str | None) -> Iterator[Row]:
    """Yield the lives of gateways' stores, the newest last."""
    sql = (
        "SELECT gateway, stream, first_seen, newest, newest_ms, forked_at FROM streams"
        " WHERE (:gateway IS NULL OR gateway = :gateway) ORDER BY gateway, first_seen, newest_ms"
    )
    return rows(database, sql, {"gateway": gateway})


@dataclass(frozen=True, slots=True)
class Signed:
    """A command or schedule that verifies, with its bytes and the key that signed it."""

    command: Command | Schedule
    message: bytes
    key: RingKey

    @property
    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {**describe(self.command), "kid": self.key.public.kid.hex(), "name": self.key.name}


def read(envelope: Envelope, key: RingKey) -> Command | Schedule:
    """What a command key has signed; raises SignatureError or BatchFormatError."""
    try:
        return Command.read(envelope, key)
    except SignatureError:
        return Schedule.read(envelope, key)  # only the signature says which it is


def describe(command: Command | Schedule) -> dict[str, Any]:
    """A command or schedule for JSON."""
    return {
        "number": command.number,
        "gateway": command.gateway,
        "stream": command.stream.hex(),
        **_what(command),
        "who": command.who,
        "why": command.why,
        "dry_run": command.dry_run,
        "issued_ms": command.issued_ms,
        "expires_ms": command.expires_ms,
    }


def _what(command: Command | Schedule) -> dict[str, Any]:
    if isinstance(command, Schedule):
        return {"edition": command.edition, "entries": [entry_json(entry) for entry in command.entries]}
    return {"writes": [{"point": write.point, "value": value_json(write.value)} for write in command.writes]}


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry of a schedule for JSON."""
    names = ("points", "at", "days", "earliest", "latest", "only", "unless")
    return {name: getattr(entry, name) for name in names} | {"value": value_json(entry.value)}


def sentence(command: Command | Schedule) -> str:
    """A command or schedule for people."""
    if isinstance(command, Schedule):
        size = f"{len(command.entries)} entries for {len(command.points)} points"
        return f"{command.gateway}: schedule {command.edition} with {size}; {command.who}: {command.why}"
    writes = ", ".join(f"{write.point} = {value_json(write.value)}" for write in command.writes)
    verb = "dry run of" if command.dry_run else "write"
    return f"{command.gateway}: {verb} {writes}; {command.who}: {command.why}"


def check(database: Database, message: bytes, now_ms: int) -> Signed:
    """Verify a command by the keyring that its gateway was sent last, and all that the platform can know of it.

    Raises CommandFault, NotAllowed, SignatureError, BatchFormatError, or as `keyrings.signer`. The gateway judges
    again: its word is the last.
    """
    envelope = cose.read(message)
    gateway = _addressee(envelope.payload)
    site, key = keyrings.signer(database, gateway, envelope.kid, "command", now_ms)
    command = read(envelope, key)
    for point in command.points:
        if not key.covers(site, gateway, *point.split("/")):
            raise CommandFault(f"{point} of {site}/{gateway} is not within the scopes of {key.name}")
    if now_ms >= command.expires_ms:
        raise CommandFault(f"command {command.number} has expired")
    refuse_forked(database, gateway)
    return Signed(command, message, key)


def enter(database: Database, signed: Signed, now_ms: int) -> None:
    """Record a command before it is relayed; raises CommandFault when its number is another one's."""
    command = signed.command
    with database.transaction() as db:
        known = db.execute(
            "SELECT message FROM commands WHERE gateway = ? AND number = ?", (command.gateway, command.number)
        ).fetchone()
        if known is not None and bytes(known[0]) != signed.message:
            raise CommandFault(f"another command for {command.gateway} has the number {command.number}")
        db.execute(
            "INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)"
            " ON CONFLICT (gateway, number) DO NOTHING",
            (
                command.gateway, command.number, command.stream.hex(), signed.key.public.kid.hex(), signed.key.name,
                command.who, command.why, command.dry_run, command.issued_ms, command.expires_ms, now_ms,
                signed.message,
            ),
        )  # fmt: skip


def note_relayed(database: Database, command: Command | Schedule, now_ms: int) -> None:
    """Enter that the broker has taken a command; the first time counts."""
    with database.transaction() as db:
        db.execute(
            "UPDATE commands SET relayed_at = ? WHERE gateway = ? AND number = ? AND relayed_at IS NULL",
            (now_ms, command.gateway, command.number),
        )


def status(database: Database, *, gateway: str | None = None, number: int | None = None, limit: int = 100) -> list[Row]:
    """The newest relayed commands, the newest last, each with its result where one has come."""
    found = list(rows(database, STATUS, {"gateway": gateway, "number": number, "limit": limit}))[::-1]
    told: dict[tuple[str, int], Row] = {}
    for result in results(database, gateway=gateway, number=number):
        told.setdefault((result["gateway"], result["number"]), result)
    for row in found:
        row["message"] = bytes(row["message"]).hex()
        row["dry_run"] = bool(row["dry_run"])
        row["result"] = told.get((row["gateway"], row["number"]))
    return found


def results(
    database: Database, *, gateway: str | None = None, number: int | None = None, since_ms: int = 0
) -> Iterator[Row]:
    """Yield what gateways say that they did, in ascending time; `result` is the parsed JSON object."""
    for row in rows(database, RESULTS, {"gateway": gateway, "number": number, "since": since_ms}):
        said = json.loads(row["result"]) if row["result"] is not None else None
        if isinstance(said, dict):
            yield {**row, "result": said}


def _addressee(payload: bytes) -> str:
    """To whom a command says it goes; nothing is verified."""
    if len(payload) > MAX_COMMAND_BYTES:
        raise BatchFormatError(f"a command of {len(payload)} bytes is over the limit of {MAX_COMMAND_BYTES}")
    item = cbor.loads(payload, "the command")
    try:
        return gateway_id(item[2])
    except (BufferFault, LookupError, TypeError) as error:
        raise CommandFault("not a command: it names no gateway") from error


def refuse_forked(database: Database, gateway: str) -> None:
    """Raise CommandFault when two stores claim one of its streams: of a newer stream, too, nobody knows whose it is."""
    with database.errors():
        forked = database.connection.execute(
            "SELECT 1 FROM streams WHERE gateway = ? AND forked_at IS NOT NULL", (gateway,)
        ).fetchone()
    if forked is not None:
        raise CommandFault(f"two stores claim the identity of {gateway} (a fork): no commands until gateways confirm")


def undone(found: Sequence[Row]) -> list[Row]:
    """Those whose result is not that the writes were done."""
    return [row for row in found if row["result"] is None or row["result"]["status"] not in DONE]
