"""Configurations on the platform's side: made of files, signed where the operator's key is, and what became of them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buffer import cbor, cose
from buffer.configuration import HASH_BYTES, MAX_TEXT_BYTES, Configuration, Text, check_texts
from buffer.errors import BatchFormatError, BufferFault
from buffer.header import gateway_id
from buffer.keyring import RingKey
from collector.errors import ConfigurationFault
from collector.files import read_bounded
from collector.identity import keyrings
from collector.orders.commands import refuse_forked
from collector.query import Row, rows
from collector.tables.database import Database
from config.errors import Problem
from config.prints import CONF_D, fingerprint_of
from config.source import parse

MAX_MESSAGE_BYTES = cose.MAX_MESSAGE_BYTES
OPEN = {"applied"}
"""What is not the end of a configuration."""

TOLD = """
    SELECT s.gateway, s.stream, x.ts_ms, x.batch, x.text
    FROM series s JOIN samples x ON x.series = s.id
    WHERE s.device = 'gateway' AND s.point = 'configuration' AND x.text IS NOT NULL
        AND (:gateway IS NULL OR s.gateway = :gateway)
    ORDER BY x.ts_ms, x.batch"""


@dataclass(frozen=True, slots=True)
class Signed:
    """A configuration that verifies, with its bytes and the key that signed it."""

    configuration: Configuration
    message: bytes
    key: RingKey


def texts(files: Sequence[Path]) -> tuple[Text, ...]:
    """The first file as the main one, the others as those of conf.d; raises ConfigurationFault or FileFault."""
    found = [(path.name, read_bounded(path, MAX_TEXT_BYTES)) for path in files]
    problems: list[Problem] = []
    for path, (_, data) in zip(files, found, strict=True):
        parse(path, data, problems)
    if problems:
        raise ConfigurationFault("\n".join(map(str, problems)))
    named = [(f"{CONF_D}/{name}" if n else name, data.decode()) for n, (name, data) in enumerate(found)]
    try:
        return check_texts(named)
    except BatchFormatError as error:
        raise ConfigurationFault(str(error)) from error


def base(text: str) -> bytes:
    """64 digits of hex; raises ConfigurationFault."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != HASH_BYTES:
        raise ConfigurationFault(f"a base is the 64 digits of hex that lamppost status says, not {text[:80]!r}")
    return found


def running(database: Database, gateway: str) -> bytes:
    """The fingerprint of what the gateway said last that it runs; raises ConfigurationFault."""
    told = [row for row in status(database, gateway=gateway) if row["hash"]]
    if not told:
        raise ConfigurationFault(f"{gateway} has not said what it runs; or say --base (lamppost status --json, there)")
    return base(told[-1]["hash"])


def describe(made: Configuration) -> dict[str, Any]:
    """A configuration for JSON."""
    return {
        "number": made.number,
        "gateway": made.gateway,
        "stream": made.stream.hex(),
        "base": made.base.hex(),
        "hash": fingerprint_of(made.texts),
        "files": [name for name, _ in made.texts],
        "who": made.who,
        "why": made.why,
        "issued_ms": made.issued_ms,
        "expires_ms": made.expires_ms,
    }


def sentence(made: Configuration) -> str:
    """A configuration for people."""
    names = ", ".join(name for name, _ in made.texts)
    what = f"{names} ({fingerprint_of(made.texts)[:12]}) in place of {made.base.hex()[:12]}"
    return f"{made.gateway}: run {what}; {made.who}: {made.why}"


def check(database: Database, message: bytes, now_ms: int) -> Signed:
    """Verify one by the keyring that its gateway was sent last; the gateway judges again, its word is the last.

    Raises ConfigurationFault, CommandFault, NotAllowed, SignatureError, BatchFormatError, or as `keyrings.signer`.
    """
    envelope = cose.read(message)
    gateway = _addressee(envelope.payload)
    site, key = keyrings.signer(database, gateway, envelope.kid, "configure", now_ms)
    made = Configuration.read(envelope, key)
    if not key.covers(site, gateway):
        raise ConfigurationFault(f"{site}/{gateway} is not within the scopes of {key.name}")
    if now_ms >= made.expires_ms:
        raise ConfigurationFault(f"configuration {made.number} has expired")
    refuse_forked(database, gateway)
    return Signed(made, message, key)


def status(database: Database, *, gateway: str | None = None, number: int | None = None) -> list[Row]:
    """What gateways told of their configurations, the newest last."""
    return [row for row in map(_told, rows(database, TOLD, {"gateway": gateway})) if number in (None, row["number"])]


def outcome(found: Iterable[Row], number: int) -> Row | None:
    """What came of one: its last word, None while there is none."""
    ends = [row for row in found if row["number"] == number and row["status"] not in OPEN | {"running"}]
    return ends[-1] if ends else None


FIELDS = {
    "number": int, "status": str, "reason": str, "hash": str, "source": str, "who": str, "why": str, "key": str,
}  # fmt: skip


def _told(row: Row) -> Row:
    """A gateway's word as a row; what is of another type than it should be is null."""
    try:
        said = json.loads(row["text"])
    except (ValueError, RecursionError):
        said = {}
    said = said if isinstance(said, dict) else {}
    fields = {name: said.get(name) if type(said.get(name)) is kind else None for name, kind in FIELDS.items()}
    return {"gateway": row["gateway"], "stream": row["stream"], "ts_ms": row["ts_ms"], "batch": row["batch"], **fields}


def _addressee(payload: bytes) -> str:
    """To whom one says it goes; nothing is verified."""
    item = cbor.loads(payload, "the configuration")
    try:
        return gateway_id(item[2])
    except (BufferFault, LookupError, TypeError) as error:
        raise ConfigurationFault("not a configuration: it names no gateway") from error
