"""What was salvaged from stores set aside and is not acknowledged yet: an index beside the store, one for all of them.

The bytes stay where they are, in the files that were set aside; every message is verified again when it is read.
"""

import errno
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from buffer import cose
from buffer.ack import Ack
from buffer.batch import batch_hash, payload
from buffer.database import transaction, translated
from buffer.delivery import Held, priority_of
from buffer.errors import AckReason, AckRefused, StoreCorrupt, StoreError, UnknownBatch
from buffer.header import KINDS
from buffer.pages import Pages
from buffer.recovery import MOVED

PLACE = struct.Struct("<QI")  # block id, page
TABLES = """
CREATE TABLE IF NOT EXISTS asides (name TEXT PRIMARY KEY, stream BLOB, done INTEGER, samples INTEGER, lost INTEGER);
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY, aside TEXT, stream BLOB, number INTEGER, kind INTEGER, part INTEGER, samples INTEGER,
    size INTEGER, acked INTEGER, refused TEXT, hash BLOB, message BLOB, kid BLOB, header BLOB, signature BLOB,
    places BLOB, UNIQUE (stream, number)
);
CREATE INDEX IF NOT EXISTS held ON batches (id) WHERE acked = 0;
"""
INSERT = (
    "INSERT OR IGNORE INTO batches (aside, stream, number, kind, part, samples, size, acked, refused, hash, message,"
    " kid, header, signature, places) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Salvaged:
    """How it stands with one file that was set aside; `lost` samples are those whose number is known."""

    name: str
    stream: bytes
    done: bool
    samples: int
    lost: int
    waiting: int

    @property
    def moved(self) -> bool:
        """Whether it was whole, and set aside for that the card is on another board now."""
        return self.name.endswith(MOVED)


def asides(path: Path) -> list[Path]:
    """The stores that were set aside beside `path`, the oldest first."""
    found = path.parent.glob(f"{path.name}.[0-9]*Z*")
    return sorted(file for file in found if not file.name.endswith(("-wal", "-shm", "-journal")))


class Spool:
    """Batches of other streams than the store's, known by negative numbers. One thread uses it."""

    def __init__(self, path: Path) -> None:
        self._store = path
        self.path = path.with_name(f"{path.name}-salvage")
        self._files: dict[str, Pages] = {}
        with translated(self.path):
            self._connection = self._open()

    @classmethod
    def beside(cls, path: Path) -> Self | None:
        """The spool of the store at `path`; None when nothing was ever set aside."""
        return cls(path) if asides(path) else None

    def close(self) -> None:
        """Close all files."""
        for pages in self._files.values():
            pages.__exit__()
        self._connection.close()

    def new(self) -> list[Path]:
        """The files set aside that were never heard of here."""
        with translated(self.path):
            known = {name for (name,) in self._connection.execute("SELECT name FROM asides")}
        return [file for file in asides(self._store) if file.name not in known]

    def add(self, file: Path, stream: bytes) -> None:
        """Note a file that was set aside, whose salvage is to come."""
        with self._change():
            self._connection.execute("INSERT INTO asides VALUES (?, ?, 0, 0, 0)", (file.name, stream))

    def done(self, name: str, samples: int, lost: int) -> None:
        """Note that all of a file that can be salvaged is in the spool."""
        with self._change():
            row = (samples, lost, name)
            self._connection.execute("UPDATE asides SET done = 1, samples = ?, lost = ? WHERE name = ?", row)

    def state(self) -> list[Salvaged]:
        """How it stands, by file; those that are gone and have nothing to wait for are left out."""
        query = (
            "SELECT name, a.stream, done, a.samples, lost, coalesce(sum(b.acked = 0), 0)"
            " FROM asides AS a LEFT JOIN batches AS b ON b.aside = a.name GROUP BY name ORDER BY name"
        )
        with translated(self.path):
            rows = self._connection.execute(query).fetchall()
        found = [Salvaged(name, stream, bool(done), *rest) for name, stream, done, *rest in rows]
        return [one for one in found if one.waiting or self._store.with_name(one.name).exists()]

    def put(self, rows: Iterable[tuple[object, ...]]) -> None:
        """Add verified batches, those there already left alone."""
        with self._change():
            self._connection.executemany(INSERT, rows)

    def held(self) -> list[Held]:
        """What is not acknowledged, the oldest first; its numbers are negative."""
        query = "SELECT id, kind, part, samples, size, refused FROM batches WHERE acked = 0 ORDER BY id DESC"
        with translated(self.path):
            rows = self._connection.execute(query).fetchall()
        return [
            Held(-n, KINDS[kind], priority_of(KINDS[kind], part), samples, size, refused or None)
            for n, kind, part, samples, size, refused in rows
        ]

    def local(self, stream: bytes, number: int) -> int | None:
        """The negative number that stands here for a number of another stream."""
        query = "SELECT id FROM batches WHERE stream = ? AND number = ?"
        with translated(self.path):
            row = self._connection.execute(query, (stream, number)).fetchone()
        return None if row is None else -int(row[0])

    def find(self, digest: bytes) -> int | None:
        """The negative number of the batch of that hash."""
        with translated(self.path):
            row = self._connection.execute("SELECT id FROM batches WHERE hash = ?", (digest,)).fetchone()
        return None if row is None else -int(row[0])

    def message(self, number: int) -> bytes:
        """The COSE bytes as they were signed; raises `UnknownBatch`, or `StoreCorrupt` when they are no more."""
        query = "SELECT aside, part, hash, message, kid, header, signature, places FROM batches WHERE id = ?"
        with translated(self.path):
            row = self._connection.execute(query, (-number,)).fetchone()
        if row is None:
            raise UnknownBatch(f"nothing salvaged has the number {number}")
        aside, part, digest, message, kid, header, signature, places = row
        if not message:
            message = assemble(self._pages(aside), part, kid, header, signature, places)
        if batch_hash(message) != digest:
            raise StoreCorrupt(errno.EIO, f"a batch salvaged from {aside} has been damaged since")
        return bytes(message)

    def acknowledge(self, ack: Ack) -> list[int] | None:
        """Free what a verified acknowledgement of another stream names; None when no batch here is of that stream."""
        query = "SELECT id, number, hash, acked FROM batches WHERE stream = ?"
        with translated(self.path):
            rows = self._connection.execute(query, (ack.stream,)).fetchall()
        if not rows:
            return None
        hashes = {number: digest for _, number, digest, _ in rows}
        spans = [(1, ack.cumulative, ack.hash)] if ack.cumulative else []
        spans += ack.ranges
        for _, last, digest in spans:
            if hashes.get(last, digest) != digest:
                raise AckRefused(AckReason.HASH, f"batch {last} of the store set aside is another one")
        held = [n for n, number, _, acked in rows if not acked and any(a <= number <= b for a, b, _ in spans)]
        with self._change():
            self._connection.executemany("UPDATE batches SET acked = 1 WHERE id = ?", [(n,) for n in held])
        return [-n for n in held]

    def acknowledge_numbers(self, numbers: Iterable[int]) -> None:
        """Free batches on the broker's word."""
        with self._change():
            self._connection.executemany("UPDATE batches SET acked = 1 WHERE id = ?", [(-n,) for n in numbers])

    def refuse(self, number: int, reason: str) -> None:
        """Mark a batch that the collector does not take."""
        with self._change():
            self._connection.execute("UPDATE batches SET refused = ? WHERE id = ?", (reason, -number))

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=5)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(TABLES)
        except sqlite3.DatabaseError as error:
            connection.close()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                raise
            for suffix in ("", "-wal", "-shm"):  # only an index: what it says is found again in the files set aside
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            return self._open()
        return connection

    @contextmanager
    def _change(self) -> Iterator[None]:
        with transaction(self._connection, self.path):
            yield

    def _pages(self, aside: str) -> Pages:
        if aside not in self._files:
            try:
                self._files[aside] = Pages(self._store.with_name(aside)).__enter__()
            except OSError as error:
                raise StoreError(error.errno, error.strerror, aside) from error
        return self._files[aside]


def assemble(pages: Pages, part: int, kid: bytes, header: bytes, signature: bytes, places: bytes) -> bytes:
    """The message whose blocks lie at `places`; a block that is not found there leaves a message of another hash."""
    blocks = []
    for number, page in PLACE.iter_unpack(places):
        rows = (values for found, values in pages.rows(page) if found == number and len(values) > 8)
        blocks += [values[8] for values in rows if values[1] == part and isinstance(values[8], bytes)][:1]
    return cose.assemble(kid, payload(header, blocks), signature)
