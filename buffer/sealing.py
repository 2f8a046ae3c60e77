"""Seal: number, chain and sign what is committed, in the caller's transaction."""

import errno
import sqlite3
from collections.abc import Iterator, Sequence

from buffer import cose
from buffer.batch import batch_hash, payload
from buffer.block import CATALOGUE_PART, Block, OpenBatch
from buffer.cose import Kind
from buffer.errors import StoreCorrupt, UnknownBatch
from buffer.header import (
    KIND_CODES,
    MAX_LEDGER,
    PRIORITIES,
    STATES,
    Clock,
    Header,
    LedgerEntry,
    Priority,
    entry_loads,
)
from buffer.keys import SigningKey
from buffer.memory import Memory

INSERT_BLOCK = "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_BATCH = "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Sealer:
    """Makes batches of one gateway, signed by one key. Every method runs in a transaction of its caller."""

    def __init__(self, connection: sqlite3.Connection, gateway: str, key: SigningKey) -> None:
        self._connection = connection
        self._gateway = gateway
        self._key = key

    def seal(self, memory: Memory, part: int) -> int:
        """Seal the open batch of a part; its number."""
        batch = memory.open.pop(part)
        blocks = list(read_open(self._connection, part, batch))
        return self._put(memory, Kind.BATCH, part, batch, blocks)

    def seal_all(self, memory: Memory) -> list[int]:
        """Seal every open batch, `critical` first; their numbers in order."""
        return [self.seal(memory, part) for part in sorted(memory.open)]

    def seal_account(self, memory: Memory, clock: Clock) -> int:
        """A batch without samples that carries a clock, and ledger entries if there are any; its number."""
        return self._put(memory, Kind.BATCH, CATALOGUE_PART, OpenBatch(clock, 0, 0, 0, 0, 0, 0, 0), ())

    def seal_catalogue(self, memory: Memory, clock: Clock, block: bytes) -> int:
        """A catalogue of its own number, from now on the one that batches name."""
        number = memory.next_block
        memory.next_block += 1
        self._connection.execute(
            INSERT_BLOCK, (number, CATALOGUE_PART, clock.boot, clock.clock_ms, 0, 0, 0, 0, block, None)
        )
        batch = OpenBatch(clock, number, number, 1, 0, len(block), 0, 0)
        memory.catalogue = self._put(memory, Kind.CATALOGUE, CATALOGUE_PART, batch, [block])
        memory.catalogue_hash = memory.last_hash
        self._connection.execute("UPDATE state SET catalogue = ?", (memory.catalogue,))
        return memory.catalogue

    def _put(self, memory: Memory, kind: Kind, part: int, batch: OpenBatch, blocks: Sequence[bytes]) -> int:
        header = self._header(memory, kind, part, batch)
        encoded = header.encode()
        signed = payload(encoded, blocks)
        signature = cose.signature_of(signed, kind, self._key)
        message = cose.assemble(self._key.kid, signed, signature)
        memory.last_number, memory.last_hash = header.number, batch_hash(message)
        named = memory.catalogue if kind is Kind.BATCH else 0
        row = (header.number, KIND_CODES[kind], part, header.samples, len(message), named, batch.first, batch.last)
        end = (0, "", self._key.kid, memory.last_hash, signature, encoded, memory.sealed_to(), memory.floor_ms)
        self._connection.execute(INSERT_BATCH, row + end)
        return header.number

    def _header(self, memory: Memory, kind: Kind, part: int, batch: OpenBatch) -> Header:
        default = Priority.CRITICAL if kind is Kind.CATALOGUE else Priority.NORMAL
        return Header(
            kind=kind,
            gateway=self._gateway,
            stream=memory.stream,
            number=memory.last_number + 1,
            previous=memory.last_hash,
            boot=batch.clock.boot,
            clock_ms=batch.clock.clock_ms,
            clock_state=batch.clock.state,
            catalogue=memory.catalogue_hash if kind is Kind.BATCH else None,
            samples=batch.samples,
            priority=PRIORITIES.get(part, default),
            first_ms=batch.first_ms,
            last_ms=batch.last_ms,
            ledger=self._take_ledger(memory),
        )

    def _take_ledger(self, memory: Memory) -> tuple[LedgerEntry, ...]:
        if not memory.ledger:
            return ()
        query = "SELECT id, entry FROM ledger ORDER BY id LIMIT ?"
        rows = self._connection.execute(query, (MAX_LEDGER,)).fetchall()
        self._connection.execute("DELETE FROM ledger WHERE id <= ?", (rows[-1][0],))
        memory.ledger -= len(rows)
        return tuple(entry_loads(entry) for _, entry in rows)


def read_blocks(connection: sqlite3.Connection, part: int, first: int, last: int) -> list[bytes]:
    """The bytes of a part's blocks from id `first` to `last`, in order."""
    query = "SELECT data FROM blocks WHERE id BETWEEN ? AND ? AND part = ? ORDER BY id"
    return [row[0] for row in connection.execute(query, (first, last, part))]


def read_open(connection: sqlite3.Connection, part: int, batch: OpenBatch) -> Iterator[bytes]:
    """The bytes of the blocks of an open batch; raises `StoreCorrupt` when they are not what was committed."""
    query = (
        "SELECT boot, clock_ms, clock_state, samples, first_ms, last_ms, data FROM blocks"
        " WHERE id BETWEEN ? AND ? AND part = ? ORDER BY id"
    )
    digest = 0
    try:
        for boot, clock_ms, state, *rest in connection.execute(query, (batch.first, batch.last, part)):
            block = Block(PRIORITIES[part], Clock(boot, clock_ms, STATES[state]), *rest)
            digest = block.digest(digest)
            yield block.data
    except (LookupError, TypeError, ValueError) as error:
        raise StoreCorrupt(errno.EIO, f"a block has impossible content: {error!r}") from error
    if digest != batch.digest:
        raise StoreCorrupt(
            errno.EIO, "blocks are damaged: they no longer have the check value they were committed with"
        )


def assemble_message(connection: sqlite3.Connection, number: int) -> bytes:
    """The COSE bytes of a sealed batch as the file has them; raises `UnknownBatch`."""
    query = "SELECT part, first_block, last_block, kid, signature, header FROM batches WHERE number = ?"
    row = connection.execute(query, (number,)).fetchone()
    if row is None or not row[-1]:
        raise UnknownBatch(f"no batch of number {number} is kept")
    part, first, last, kid, signature, header = row
    return cose.assemble(kid, payload(header, read_blocks(connection, part, first, last)), signature)


def read_message(connection: sqlite3.Connection, number: int) -> bytes:
    """The same, the same at every call; raises also `StoreCorrupt` when it is not what was sealed."""
    message = assemble_message(connection, number)
    (digest,) = connection.execute("SELECT hash FROM batches WHERE number = ?", (number,)).fetchone()
    if batch_hash(message) != digest:
        raise StoreCorrupt(errno.EIO, f"batch {number} is damaged: it no longer has the hash it was sealed with")
    return message
