"""Who changed what, when and on whose authority: what gateways told in their chains, beside what was signed for it."""

import json
from collections.abc import Iterator
from typing import Any

from buffer import cose
from buffer.command import Command, value_json
from buffer.errors import BatchFormatError, BufferFault
from buffer.keyring import Keyring, RingKey
from buffer.keys import PublicKey
from buffer.schedule import Schedule
from collector.errors import CollectorError
from collector.identity import keyrings
from collector.identity.keyrings import Kept
from collector.orders.commands import describe, read
from collector.query import Row, rows
from collector.receiving import proof
from collector.tables.database import Database

REMOTE = "remote"
KINDS = {
    "command-result": "command", "lock": "lock", "configuration": "configuration", "decommissioned": "decommissioned",
}  # fmt: skip
"""By the gateway's own point that tells of it."""

EVENTS = """
    SELECT x.ts_ms AS utc_ms, s.gateway, s.stream, s.number AS series, s.point, x.batch, b.hash, x.text,
        b.received_at
    FROM series s JOIN samples x ON x.series = s.id
        JOIN batches b ON b.gateway = s.gateway AND b.stream = s.stream AND b.number = x.batch
    WHERE s.device = 'gateway' AND s.point IN ('command-result', 'lock', 'configuration', 'decommissioned')
        AND x.text IS NOT NULL
        AND (:gateway IS NULL OR s.gateway = :gateway) AND x.ts_ms >= :since
    ORDER BY x.ts_ms, s.gateway, x.batch, x.rowid"""

COMMANDS = """
    SELECT gateway, number, stream, kid, name, who, why, dry_run, issued_ms, entered_at, relayed_at, message
    FROM commands WHERE (:gateway IS NULL OR gateway = :gateway) ORDER BY entered_at"""


def events(database: Database, *, gateway: str | None = None, since_ms: int = 0) -> Iterator[Row]:
    """Yield every change in ascending time: what gateways told, then the commands that nothing was told of.

    `kind` is `command`, `lock`, `configuration` or `decommissioned`; `message` is the signed command; `hash` names the
    signed batch that says `told`.
    """
    signed = {(row["gateway"], row["number"]): row for row in rows(database, COMMANDS, {"gateway": gateway})}
    answered = set()
    for row in rows(database, EVENTS, {"gateway": gateway, "since": since_ms}):
        told = _object(row["text"])
        kind = KINDS[row["point"]]
        if kind == "configuration" and told.get("status") == "running" and not told.get("reason"):
            continue
        key = row["gateway"], _whole(told.get("number"))
        if kind == "command":
            answered.add(key)
        yield _event(kind, {**row, "told": told}, signed.get(key) if kind == "command" else None)
    for key, row in signed.items():
        if key not in answered and row["issued_ms"] >= since_ms:
            nothing = dict.fromkeys(("series", "point", "batch", "hash", "text", "received_at"))
            here = {"utc_ms": row["issued_ms"], "gateway": row["gateway"], "stream": row["stream"]}
            yield _event("command", {**nothing, **here, "told": {}}, row)


def _event(kind: str, row: Row, command: Row | None) -> Row:
    told = row["told"]
    known: dict[str, Any] = {} if command is None else command
    return {
        "kind": kind,
        **row,
        "number": _whole(told.get("number")) if told else known.get("number"),
        "source": told.get("source") if told else REMOTE,
        "status": told.get("status"),
        "reason": None if kind == "lock" else told.get("reason"),
        "who": told.get("by" if kind == "lock" else "who", known.get("who")),
        "why": told.get("reason" if kind == "lock" else "why", known.get("why")),
        "key": told.get("key") or known.get("name"),
        "kid": known.get("kid"),
        "relayed_at": known.get("relayed_at"),
        "entered_at": known.get("entered_at"),
        "message": None if command is None else bytes(command["message"]),
    }


class Auditor:
    """Verifies events from the signed bytes; the keyrings must be signed by `authority`, if it is given."""

    def __init__(self, database: Database, authority: PublicKey | None = None) -> None:
        self._database = database
        self._authority = authority
        self._batches = proof.Batches(database)
        self._told: dict[tuple[str, int], tuple[str, int]] = {}

    def examine(self, event: Row) -> Row:
        """The event with `keyring` (its number), `command` (what was signed) and `faults`, empty when all is proved."""
        faults: list[str] = []
        found: Row = {"keyring": None, "command": None}
        if event["batch"] is not None:
            faults += self._batches.faults(event)
            faults += self._again(event)
        if event["kind"] == "command" and event["source"] == REMOTE:
            try:
                found, more = self._command(event)
                faults += more
            except (BufferFault, CollectorError) as error:
                faults.append(str(error))
        return {**event, **found, "faults": faults}

    def _again(self, event: Row) -> list[str]:
        if event["kind"] != "command" or event["number"] is None:
            return []
        place = event["stream"], event["batch"]
        first = self._told.setdefault((event["gateway"], event["number"]), place)
        return [] if first == place else [f"command {event['number']} has another result in batch {first[1]}"]

    def _command(self, event: Row) -> tuple[Row, list[str]]:
        if event["message"] is None:
            return {"keyring": None, "command": None}, ["the command is not among those relayed from here"]
        ring = self._ring(event["gateway"], event["entered_at"])
        envelope = cose.read(event["message"])
        key = ring.find(envelope.kid, "command", 0)
        command = read(envelope, key)
        found = {"keyring": ring.number, "command": describe(command), "kid": envelope.kid.hex()}
        return found, list(self._differences(event, command, key))

    def _ring(self, gateway: str, at_ms: int) -> Keyring:
        """The keyring that the gateway had been sent when the command was entered."""
        for kept in keyrings.sent_to(self._database, gateway):
            if kept.relayed_at <= at_ms:
                return self._open(kept)
        raise BatchFormatError("no keyring had been relayed to the gateway")

    def _open(self, kept: Kept) -> Keyring:
        return keyrings.read(kept.message, self._authority or kept.authority)

    def _differences(self, event: Row, command: Command | Schedule, key: RingKey) -> Iterator[str]:
        """What the gateway told that is not what was signed."""
        told, site = event["told"], keyrings.site_of(self._database, event["gateway"])
        addressee = command.gateway, command.stream.hex(), command.number
        if addressee != (event["gateway"], event["stream"], event["number"]):
            yield f"the signed command is number {command.number} for {command.gateway} {command.stream.hex()}"
        if command.issued_ms >= key.ends_ms:
            yield f"key {key.public.kid.hex()} of {key.name} had ended"
        for point in command.points:
            if not key.covers(site, command.gateway, *point.split("/")):
                yield f"{point} is not within the scopes of {key.name}"
        if not told:
            return
        for field, signed in (("who", command.who), ("why", command.why), ("key", key.name)):
            if told.get(field) != signed:
                yield f"{field} is told as {told.get(field)!r}, signed is {signed!r}"
        if isinstance(command, Command):  # a schedule's writes are told one by one
            yield from _other_writes(told, command)


def _other_writes(told: Row, command: Command) -> Iterator[str]:
    """Writes that were told as done and not signed so, in order; what came after a failure is not told."""
    listed = told.get("writes", [])
    if not isinstance(listed, list) or len(listed) > len(command.writes):
        yield "it tells of other writes than were signed"
        return
    for one, write in zip(listed, command.writes, strict=False):
        value = value_json(write.value)
        if not isinstance(one, dict) or one.get("point") != write.point or one.get("value", value) != value:
            yield f"signed is {write.point} = {value}, told {json.dumps(one)}"
    if told.get("dry_run") is not command.dry_run:
        yield "dry_run is not as it was signed"
    complete = len(listed) == len(command.writes)
    if told.get("status") in {"verified", "written"} and not complete:
        yield "it is told as done with fewer writes than were signed"


def _object(text: str) -> Row:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {"unreadable": text}
    return found if isinstance(found, dict) else {"unreadable": text}


def _whole(value: object) -> int | None:
    return value if type(value) is int else None
