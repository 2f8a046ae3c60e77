"""Read a store beside the daemon that writes it: short reads by page, never a long transaction."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from buffer import sealing, stock
from buffer.cose import Kind
from buffer.database import connect, rollback, translated
from buffer.delivery import Held, held, priority_of
from buffer.errors import StoreMismatch
from buffer.header import KINDS, PRIORITIES, Clock, LedgerEntry, Priority, entry_loads
from buffer.memory import Memory, read_memory
from buffer.migrate import VERSION, versions_of
from buffer.stock import Stock

PAGE_BATCHES = 16  # at most 1 MB of batches of the default size, read in a few ms: far from 200 ms a transaction
PAGE_BYTES = 1 << 20  # and of the largest ones no more than that: a slow card reads 10 MB a second
PAGE_HEADERS = 256  # 64 kB of headers


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A sealed batch as the file has it; nothing is verified. `hash` is what it was sealed with."""

    number: int
    kind: Kind
    priority: Priority
    samples: int
    hash: bytes
    catalogue: int
    """The number of the catalogue that it names, 0 without one."""
    acked_utc_ms: int | None
    refused: str | None
    message: bytes


@dataclass(frozen=True, slots=True)
class Unsealed:
    """The blocks of one priority that are committed but not sealed."""

    priority: Priority
    clock: Clock
    samples: int
    blocks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment: what is not sealed, the newest number that is, and the one up to which all are acknowledged."""

    gateway: str
    stream: bytes
    last_number: int
    delivered: int
    catalogue: int
    unsealed: tuple[Unsealed, ...]


class Reader:
    """Reads a store; a context manager. Raises `StoreError`, and `StoreCorrupt` for a damaged file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        version, oldest = versions_of(path, read_only=True)
        if version < VERSION or oldest > VERSION:
            raise StoreMismatch(errno.EINVAL, f"no store of version {VERSION}", str(path))
        self._connection = connect(path, read_only=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def snapshot(self) -> Snapshot:
        """For a whole account: take this first, then `batches(last=snapshot.last_number)`; nothing is between."""
        with self._transaction():
            memory = read_memory(self._connection, b"")
            (gateway,) = self._connection.execute("SELECT gateway FROM state").fetchone()
            unsealed = tuple(self._unsealed(memory, part) for part in sorted(memory.open))
        return Snapshot(gateway, memory.stream, memory.last_number, memory.lowest_held - 1, memory.catalogue, unsealed)

    @property
    def gateway(self) -> str:
        """Whose it is."""
        with self._transaction():
            return str(self._connection.execute("SELECT gateway FROM state").fetchone()[0])

    def held(self) -> list[Held]:
        """What is sealed and not acknowledged, by number."""
        with self._transaction():
            return held(self._connection)

    def batches(self, first: int = 1, last: int | None = None) -> Iterator[StoredBatch]:
        """Batches whose bytes are kept, by number, those sealed meanwhile included; pruned ones are left out."""
        while page := self._page(first, last):
            yield from page
            first = page[-1].number + 1

    def headers(self, first: int = 1, last: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Number and encoded header of batches whose bytes are kept, by number."""
        end = (1 << 62) if last is None else last
        query = (
            "SELECT number, header FROM batches WHERE number BETWEEN ? AND ? AND signature != x''"
            " ORDER BY number LIMIT ?"
        )
        while True:
            with self._transaction():
                rows = self._connection.execute(query, (first, end, PAGE_HEADERS)).fetchall()
            if not rows:
                return
            yield from rows
            first = rows[-1][0] + 1

    def stock(self) -> Stock:
        """What the store holds, in sum."""
        with self._transaction():
            return stock.take(self._connection, self._path)

    def ledger(self) -> list[LedgerEntry]:
        """The entries that no batch has yet."""
        with self._transaction():
            rows = self._connection.execute("SELECT entry FROM ledger ORDER BY id").fetchall()
        return [entry_loads(entry) for (entry,) in rows]

    def dropped(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, hash and header of batches whose bytes were pruned but whose place in the chain is remembered.

        The header is empty unless they took the place of others.
        """
        first = 1
        query = "SELECT number, hash, header FROM batches WHERE signature = x'' AND number >= ? ORDER BY number LIMIT ?"
        while True:
            with self._transaction():
                rows = self._connection.execute(query, (first, PAGE_HEADERS)).fetchall()
            if not rows:
                return
            yield from rows
            first = rows[-1][0] + 1

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with translated(self._path):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                rollback(self._connection)

    def _unsealed(self, memory: Memory, part: int) -> Unsealed:
        batch = memory.open[part]
        blocks = sealing.read_blocks(self._connection, part, batch.first, batch.last)
        return Unsealed(PRIORITIES[part], batch.clock, batch.samples, tuple(blocks))

    def _page(self, first: int, last: int | None) -> list[StoredBatch]:
        query = (
            "SELECT number, kind, part, samples, hash, catalogue, acked_utc_ms, refused, size FROM batches"
            " WHERE number BETWEEN ? AND ? AND signature != x'' ORDER BY number LIMIT ?"
        )
        end = (1 << 62) if last is None else last
        page: list[StoredBatch] = []
        size = 0
        with self._transaction():
            for *row, bytes_ in self._connection.execute(query, (first, end, PAGE_BATCHES)).fetchall():
                size += bytes_
                if page and size > PAGE_BYTES:
                    break
                page.append(self._batch(*row))
        return page

    def _batch(
        self, number: int, kind: int, part: int, samples: int, digest: bytes, catalogue: int, acked: int, refused: str
    ) -> StoredBatch:
        message = sealing.assemble_message(self._connection, number)
        named = KINDS[kind]
        priority = priority_of(named, part)
        return StoredBatch(number, named, priority, samples, digest, catalogue, acked or None, refused or None, message)


def read_batches(path: Path, first: int = 1, last: int | None = None) -> Iterator[StoredBatch]:
    """The batches of a store file from number `first` to `last`, by page."""
    with Reader(path) as reader:
        yield from reader.batches(first, last)
