"""A gateway of the tests: real keys, catalogues and batches made by `buffer` and `ext`."""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import batch as batches
from buffer import catalogue
from buffer.ack import Ack
from buffer.ack import read as read_ack
from buffer.catalogue import SeriesEntry
from buffer.cose import Kind
from buffer.header import NO_HASH, ClockState, Header, LedgerEntry, Priority, Replaced
from buffer.keys import SigningKey
from collector.identity import registry
from collector.receiving.incoming import Message
from collector.receiving.receive import Receiver, Reply
from collector.tables.database import Database, Target
from collector.tables.schema import STEPS, statements
from ext import Packer, Series, Value

UTC_MS = 1_780_000_000_000
BOOT = bytes([7]) * 16
OFFSET_MS = 1_779_000_000_000
PLATFORM = SigningKey(Ed25519PrivateKey.generate())

SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
POSTGRESQL = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

Sample = tuple[int, int, Value, int]


def block(samples: Iterable[Sample]) -> bytes:
    """One block of (series number, boot_ms, value, quality)."""
    packer = Packer()
    series: dict[int, Series] = {}
    for number, boot_ms, value, quality in samples:
        packer.append(series.setdefault(number, Series(number)), boot_ms, value, quality)
    return packer.commit()


@dataclass
class Gateway:
    """Makes the batches of one stream in order."""

    gateway: str = "gw-0017"
    site: str = "nord"
    stream: bytes = bytes([1]) * 16
    boot: bytes = BOOT
    key: SigningKey = field(default_factory=lambda: SigningKey(Ed25519PrivateKey.generate()))
    number: int = 0
    previous: bytes = NO_HASH
    catalogue: bytes | None = None
    clock_ms: int = OFFSET_MS
    clock_state: ClockState = ClockState.SYNCHRONIZED

    @property
    def topic(self) -> str:
        """Where its batches go."""
        return f"lamppost/v1/{self.site}/{self.gateway}/batch"

    @property
    def name(self) -> tuple[str, str]:
        """Gateway and stream as the tables have them."""
        return self.gateway, self.stream.hex()

    def public_json(self) -> str:
        """The line for `gateways add`."""
        return self.key.public(self.gateway, self.site, "batch").to_json()

    def add_to(self, database: Database) -> None:
        """Make it known."""
        registry.add(database, registry.parse(self.public_json()), UTC_MS)

    def make(self, header: Header, blocks: Sequence[bytes]) -> Message:
        """Sign anything, outside the numbering."""
        return Message(self.topic, batches.encode(header, blocks, self.key))

    def header(self, **changed: object) -> Header:
        """The header of the next batch, without samples."""
        fields: dict[str, object] = {
            "kind": Kind.BATCH,
            "gateway": self.gateway,
            "stream": self.stream,
            "number": self.number + 1,
            "previous": self.previous,
            "boot": self.boot,
            "clock_ms": self.clock_ms if self.clock_state is not ClockState.UNSET else 0,
            "clock_state": self.clock_state,
            "catalogue": self.catalogue,
            "samples": 0,
            "priority": Priority.NORMAL,
        }
        return Header(**{**fields, **changed})  # type: ignore[arg-type]

    def next(self, header: Header, blocks: Sequence[bytes]) -> Message:
        """Sign a header as the next batch of the chain."""
        message = self.make(header, blocks)
        self.number = header.number
        self.previous = batches.batch_hash(message.payload)
        return message

    def lines(self, points: int = 3, start: int = 1) -> list[SeriesEntry]:
        """Lines of a catalogue."""
        return [SeriesEntry(n, "meter1", f"p{n}", "V", "float64") for n in range(start, start + points)]

    def describe(self, lines: Sequence[SeriesEntry] | None = None) -> Message:
        """The next batch: a catalogue."""
        encoded = catalogue.encode(self.lines() if lines is None else lines)
        message = self.next(self.header(kind=Kind.CATALOGUE, catalogue=None, priority=Priority.CRITICAL), [encoded])
        self.catalogue = self.previous
        return message

    def send(
        self,
        samples: Sequence[Sample],
        ledger: tuple[LedgerEntry, ...] = (),
        replaces: tuple[Replaced, ...] = (),
        window_ms: int = 0,
    ) -> Message:
        """The next batch: samples."""
        times = [sample[1] for sample in samples]
        header = self.header(
            samples=len(samples), first_ms=min(times), last_ms=max(times), ledger=ledger, replaces=replaces,
            window_ms=window_ms,
        )  # fmt: skip
        return self.next(header, [block(samples)])

    def thin(self, samples: Sequence[Sample], *claims: Replaced, reason: str = "thinned") -> Message:
        """The next batch: statistics in the place of the batches claimed."""
        return self.send(samples, (self.claimed(claims, reason),), claims, window_ms=60_000)

    def evict(self, *claims: Replaced) -> Message:
        """The next batch: nothing but the account of the batches claimed."""
        return self.next(self.header(ledger=(self.claimed(claims, "evicted"),), replaces=claims), ())

    def claimed(self, claims: Sequence[Replaced], reason: str) -> LedgerEntry:
        """The ledger entry about what is claimed."""
        lost = sum(claim.samples for claim in claims)
        return LedgerEntry(self.boot, 1000, 2000, self.clock_ms, self.clock_state, lost, reason)

    def hello(self, count: int, each: int = 2) -> list[Message]:
        """A catalogue and batches of samples, none equal to another."""
        messages = [self.describe()]
        for _ in range(count):
            at = 1000 * self.number
            messages.append(self.send([(1 + n % 3, at + n, at + n + 0.5, 0) for n in range(each)]))
        return messages

    def loses(self, from_ms: int, to_ms: int | None, state: ClockState = ClockState.SYNCHRONIZED) -> LedgerEntry:
        """A ledger entry."""
        clock_ms = 0 if state is ClockState.UNSET else self.clock_ms
        return LedgerEntry(self.boot, from_ms, to_ms, clock_ms, state, 5, "evicted")


def age(path: Target, version: int) -> None:
    """Make a file one of an older version: take back what the steps since then made."""
    made = [one for step in STEPS[version:] for one in statements(step)]
    with closing(sqlite3.connect(path)) as db, db:
        for (view,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall():
            db.execute(f"DROP VIEW {view}")
        for statement in reversed(made):
            if found := re.match(r"CREATE (TABLE|INDEX) (\w+)", statement):
                db.execute(f"DROP {found[1]} IF EXISTS {found[2]}")
            elif found := re.match(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", statement):
                db.execute(f"ALTER TABLE {found[1]} DROP COLUMN {found[2]}")
        db.execute(f"PRAGMA user_version = {version}")


class Bench:
    """A collector without a broker."""

    def __init__(self, target: Target, *gateways: Gateway) -> None:
        self.database = Database.open(target)
        self.now_ms = UTC_MS
        for gateway in gateways:
            gateway.add_to(self.database)
        self.receiver = Receiver(self.database, PLATFORM, "lamppost", lambda: self.now_ms)

    def take(self, *messages: Message) -> list[Reply]:
        """Take a group and decode all that can be."""
        replies = self.receiver.take(messages)
        while self.receiver.settle():
            pass
        return replies

    def ack(self, *messages: Message) -> Ack:
        """Take a group of one stream and read its acknowledgement."""
        (reply,) = self.take(*messages)
        return read_ack(reply.payload, PLATFORM.public(role="acknowledge"))

    def rows(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Any select."""
        found = self.database.connection.execute(sql, arguments)
        return found.fetchall() if found.description else []

    def samples(self) -> list[tuple[Any, ...]]:
        """Point, time, value, exact, text, quality and batch, in order."""
        return self.rows(
            "SELECT gateway, stream, device || '/' || point, ts_ms, value, exact, text, quality, batch"
            " FROM samples JOIN series ON id = series ORDER BY 1, 2, 3, 4, 9, samples.rowid"
        )

    def tables(self) -> dict[str, list[tuple[object, ...]]]:
        """What must not depend on the order in which batches came."""
        found = {"samples": sorted(self.samples(), key=repr)}
        for name, columns in {
            "batches": "gateway, stream, number, hash, previous, kind, boot, bytes",
            "series": "gateway, stream, number, device, point, unit, type",
            "boots": "*",
            "boot_sources": "*",
            "gaps": "gateway, stream, first, last, from_ms, to_ms, samples, reason, state",
            "runs": "*",
            "waiting": "gateway, stream, number, state",
            "replaced": "gateway, stream, first, last, start, samples, hash",
            "streams": "gateway, stream, newest, newest_ms, forked_at IS NULL",
        }.items():
            found[name] = sorted(self.rows(f"SELECT {columns} FROM {name}"), key=repr)  # noqa: S608
        return found

    def close(self) -> None:
        """Close the database."""
        self.database.close()
