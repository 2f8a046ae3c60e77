"""Seal: number, chain and sign what is committed, in the caller's transaction."""

import errno
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from buffer import cose
from buffer.batch import batch_hash, payload
from buffer.block import CATALOGUE_PART, REPLACING, Block, OpenBatch
from buffer.cose import Kind
from buffer.errors import StoreCorrupt, UnknownBatch
from buffer.header import (
    KIND_CODES,
    MAX_LEDGER,
    PRIORITIES,
    PRIORITY_CODES,
    STATE_CODES,
    STATES,
    Clock,
    Header,
    LedgerEntry,
    Priority,
    Replaced,
    entry_loads,
)
from buffer.keys import SigningKey
from buffer.memory import Memory

INSERT_BLOCK = "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_BATCH = "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
TAKEN_LEDGER = MAX_LEDGER - 1  # who takes this batch's place repeats them, and has one entry of its own
PIECE = 1  # ms more in the `window` of pieces of a thinned batch
ACCOUNT = -1  # the `window` of a batch that replaces others and has no samples


@dataclass(frozen=True, slots=True)
class Replacement:
    """A batch that takes the place of others, before it has a number; `block` is empty when it has no samples."""

    priority: Priority
    clock: Clock
    replaces: tuple[Replaced, ...]
    ledger: tuple[LedgerEntry, ...] = ()
    block: bytes = b""
    samples: int = 0
    first_ms: int = 0
    last_ms: int = 0
    window_ms: int = 0
    piece: bool = False
    """Of a thinned batch that was split."""
    catalogue: int = 0
    """The number of the one that numbers its series."""


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
        return self._put_open(memory, Kind.BATCH, part, batch, blocks)

    def seal_all(self, memory: Memory) -> list[int]:
        """Seal every open batch, `critical` first; their numbers in order."""
        return [self.seal(memory, part) for part in sorted(memory.open)]

    def seal_account(self, memory: Memory, clock: Clock) -> int:
        """A batch without samples that carries a clock, and ledger entries if there are any; its number."""
        return self._put_open(memory, Kind.BATCH, CATALOGUE_PART, OpenBatch(clock, 0, 0, 0, 0, 0, 0, 0), ())

    def seal_catalogue(self, memory: Memory, clock: Clock, block: bytes) -> int:
        """A catalogue of its own number, from now on the one that batches name."""
        memory.catalogue = self.seal_further_catalogue(memory, clock, block)
        memory.catalogue_hash = memory.last_hash
        self._connection.execute("UPDATE state SET catalogue = ?", (memory.catalogue,))
        return memory.catalogue

    def seal_further_catalogue(self, memory: Memory, clock: Clock, block: bytes) -> int:
        """A catalogue that thinned batches name, beside the one of the others; its number."""
        number = self._put_block(memory, CATALOGUE_PART, clock, (0, 0, 0), block)
        batch = OpenBatch(clock, number, number, 1, 0, len(block), 0, 0)
        return self._put_open(memory, Kind.CATALOGUE, CATALOGUE_PART, batch, [block])

    def seal_replacement(self, memory: Memory, made: Replacement) -> int:
        """A batch in the place of others, whose rows the caller has removed; its number. Takes no pending ledger."""
        part = PRIORITY_CODES[made.priority] + REPLACING if made.samples else CATALOGUE_PART
        number = 0
        if made.samples:
            times = (made.samples, made.first_ms, made.last_ms)
            number = self._put_block(memory, part, made.clock, times, made.block)
        header = replace(
            self._header(memory, Kind.BATCH, made.clock, made.priority),
            catalogue=self._hash_of(made.catalogue),
            samples=made.samples,
            first_ms=made.first_ms,
            last_ms=made.last_ms,
            ledger=made.ledger,
            replaces=made.replaces,
            window_ms=made.window_ms,
        )
        window = made.window_ms + PIECE * made.piece if made.samples else ACCOUNT
        return self._put(memory, header, (part, made.catalogue, number, number, window), [made.block][: made.samples])

    def _put_block(self, memory: Memory, part: int, clock: Clock, times: tuple[int, int, int], block: bytes) -> int:
        number = memory.next_block
        memory.next_block += 1
        row = (number, part, clock.boot, clock.clock_ms, STATE_CODES[clock.state], *times, block, None)
        self._connection.execute(INSERT_BLOCK, row)
        return number

    def _hash_of(self, number: int) -> bytes | None:
        row = self._connection.execute("SELECT hash FROM batches WHERE number = ?", (number,)).fetchone()
        return None if row is None else bytes(row[0])

    def _put_open(self, memory: Memory, kind: Kind, part: int, batch: OpenBatch, blocks: Sequence[bytes]) -> int:
        default = Priority.CRITICAL if kind is Kind.CATALOGUE else Priority.NORMAL
        header = replace(
            self._header(memory, kind, batch.clock, PRIORITIES.get(part, default)),
            catalogue=memory.catalogue_hash if kind is Kind.BATCH else None,
            samples=batch.samples,
            first_ms=batch.first_ms,
            last_ms=batch.last_ms,
            ledger=self._take_ledger(memory),
        )
        named = memory.catalogue if kind is Kind.BATCH else 0
        return self._put(memory, header, (part, named, batch.first, batch.last, 0), blocks)

    def _put(
        self, memory: Memory, header: Header, place: tuple[int, int, int, int, int], blocks: Sequence[bytes]
    ) -> int:
        """`place`: part, number of the catalogue, first and last block, window."""
        part, named, first, last, window = place
        encoded = header.encode()
        signed = payload(encoded, blocks)
        signature = cose.signature_of(signed, header.kind, self._key)
        message = cose.assemble(self._key.kid, signed, signature)
        memory.last_number, memory.last_hash = header.number, batch_hash(message)
        row = (header.number, KIND_CODES[header.kind], part, header.samples, len(message), named, first, last)
        end = (0, "", self._key.kid, memory.last_hash, signature, encoded, memory.sealed_to(), memory.floor_ms, window)
        self._connection.execute(INSERT_BATCH, row + end)
        return header.number

    def _header(self, memory: Memory, kind: Kind, clock: Clock, priority: Priority) -> Header:
        return Header(
            kind=kind,
            gateway=self._gateway,
            stream=memory.stream,
            number=memory.last_number + 1,
            previous=memory.last_hash,
            boot=clock.boot,
            clock_ms=clock.clock_ms,
            clock_state=clock.state,
            catalogue=None,
            samples=0,
            priority=priority,
        )

    def _take_ledger(self, memory: Memory) -> tuple[LedgerEntry, ...]:
        if not memory.ledger:
            return ()
        query = "SELECT id, entry FROM ledger ORDER BY id LIMIT ?"
        rows = self._connection.execute(query, (TAKEN_LEDGER,)).fetchall()
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
    if row is None or not row[4]:
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
