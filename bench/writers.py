"""What the same samples cost: Lamppost's store, one JSON row a sample, typed rows. The same pragmas for all."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.site import Scan
from buffer import room, schema, store
from buffer.block import Block
from buffer.catalogue import SeriesDefinition
from buffer.header import Clock, ClockState, Priority
from buffer.keys import SigningKey
from ext import Packer

BOOT = bytes(range(16))
CLOCK = Clock(BOOT, 1_790_000_000_000, ClockState.SYNCHRONIZED)
SIZE = 512_000_000
LARGE_BYTES = 60 * 1024


class Writer(Protocol):
    """Takes scans; what `commit` returned from is on the disk."""

    def take(self, scan: Scan, boot_ms: int) -> None:
        """A scan of now."""

    def commit(self, now_ms: int, *, seal: bool) -> None:
        """Put what was taken on the disk; with `seal` it is ready to be sent."""

    def delivered(self, now_ms: int) -> None:
        """The platform has everything sealed."""

    def prune(self, before_ms: int) -> None:
        """Drop what was delivered before then."""

    def fast(self, *, on: bool) -> None:
        """Without fsyncs, to fill a store soon; not while counting."""

    def settle(self) -> None:
        """Copy the whole log into the file, so that counts begin and end alike."""

    def close(self) -> None:
        """Give the file up."""


class Lamppost:
    """The real store, driven as the agent does."""

    def __init__(self, path: Path, points: int, page: int, log: int) -> None:
        schema.PAGE_BYTES = room.PAGE_BYTES = page  # type: ignore[attr-defined]
        room.LOG_PAGES = log
        schema.migrate(path, len(schema.STEPS))
        key = SigningKey(Ed25519PrivateKey.generate())
        self.store = store.Store.open(path, "gw-0017", key, BOOT, size_limit=SIZE, now_ms=lambda: 0)
        self.store.assign([SeriesDefinition(f"d{n // 5}", f"p{n % 5}", "V", "int64") for n in range(points)])
        self.packer = Packer()
        self.bytes = 0
        self._fresh = True
        self._first_ms = self._last_ms = 0
        self._held = [self.store.last_number]  # the catalogue

    def take(self, scan: Scan, boot_ms: int) -> None:
        if not self.packer.pending:
            self._first_ms = self._last_ms = boot_ms
        self._last_ms = max(self._last_ms, boot_ms)
        scan.pack(self.packer, boot_ms)

    def commit(self, now_ms: int, *, seal: bool) -> None:
        seal |= self.packer.size >= LARGE_BYTES
        samples = self.packer.pending
        data = self.packer.commit()
        self.bytes += len(data)
        block = Block(Priority.NORMAL, CLOCK, samples, self._first_ms, self._last_ms, data, self._fresh)
        self._held += self.store.commit([block], seal=seal)
        self._fresh = seal
        if seal:
            self.packer.reset()

    def delivered(self, now_ms: int) -> None:
        held, self._held = self._held, []
        self.store.acknowledge_numbers(held, now_ms)
        self.store.floor_ms = now_ms

    def prune(self, before_ms: int) -> None:
        self.store.prune(before_ms)

    def fast(self, *, on: bool) -> None:
        self.store._connection.execute(f"PRAGMA synchronous={'OFF' if on else 'FULL'}")

    def settle(self) -> None:
        self.store._connection.execute("PRAGMA wal_checkpoint").fetchall()

    def close(self) -> None:
        self.store.close()


class Rows:
    """A table of samples, by their primary key the order of arrival, and how far they are delivered."""

    COLUMNS = ""

    def __init__(self, path: Path, points: int, page: int, log: int) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in (f"page_size={page}", "journal_mode=WAL", f"wal_autocheckpoint={log}", "secure_delete=OFF"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.execute(f"CREATE TABLE samples (id INTEGER PRIMARY KEY, {self.COLUMNS})")
        self.connection.execute("CREATE TABLE state (sealed INTEGER, delivered INTEGER)")
        self.connection.execute("INSERT INTO state VALUES (0, 0)")
        marks = ", ?" * (self.COLUMNS.count(",") + 1)
        self.insert = f"INSERT INTO samples VALUES (NULL{marks})"  # noqa: S608 - of constants
        self.bytes = 0
        self._rows: list[Sequence[object]] = []
        self._marks: list[tuple[int, int]] = []
        self._told = False

    def take(self, scan: Scan, boot_ms: int) -> None:
        self._rows += self.rows(scan, boot_ms)

    def rows(self, scan: Scan, boot_ms: int) -> list[Sequence[object]]:
        """One a sample."""
        raise NotImplementedError

    def commit(self, now_ms: int, *, seal: bool) -> None:
        run = self.connection.execute
        run("BEGIN")
        self.connection.executemany(self.insert, self._rows)
        if self._told:
            run("UPDATE state SET delivered = ?", (self._marks[-1][1],))
        (newest,) = run("SELECT max(id) FROM samples").fetchone()
        if seal:
            self._marks.append((now_ms, newest))
        run("COMMIT")
        self._rows, self._told = [], False

    def delivered(self, now_ms: int) -> None:
        self._told = True

    def prune(self, before_ms: int) -> None:
        old = [newest for at, newest in self._marks if at < before_ms]
        if old:
            self._marks = self._marks[len(old) :]
            self.connection.execute("DELETE FROM samples WHERE id <= ?", (old[-1],))

    def fast(self, *, on: bool) -> None:
        self.connection.execute(f"PRAGMA synchronous={'OFF' if on else 'FULL'}")

    def settle(self) -> None:
        self.connection.execute("PRAGMA wal_checkpoint").fetchall()

    def close(self) -> None:
        self.connection.close()


class Json(Rows):
    """One JSON text a sample."""

    COLUMNS = "body TEXT"

    def rows(self, scan: Scan, boot_ms: int) -> list[Sequence[object]]:
        return [
            (json.dumps({"device": f"d{n // 5}", "point": f"p{n % 5}", "ts": boot_ms, "value": value, "quality": 0}),)
            for n, value in zip(scan.numbers, scan.values(), strict=True)
        ]


class Typed(Rows):
    """Series, time, value and quality as numbers."""

    COLUMNS = "series INTEGER, ts INTEGER, value INTEGER, quality INTEGER"

    def rows(self, scan: Scan, boot_ms: int) -> list[Sequence[object]]:
        return [(n, boot_ms, value, 0) for n, value in zip(scan.numbers, scan.values(), strict=True)]


WRITERS: dict[str, type[Lamppost] | type[Rows]] = {"lamppost": Lamppost, "json": Json, "typed": Typed}
