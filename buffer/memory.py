"""What the store knows without asking the disk: read at its opening, put back when a transaction fails."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from buffer.block import CATALOGUE_PART, Block, OpenBatch
from buffer.header import NO_HASH, PRIORITIES, STATES, Clock

END_BYTES = 6  # of a block id: at a commit a millisecond, enough for 8,900 years
NO_ENDS = bytes(END_BYTES * CATALOGUE_PART)


@dataclass(slots=True)
class Memory:
    """The open batches by part, the ends of the numberings, and the lowest number that is not acknowledged."""

    stream: bytes
    open: dict[int, OpenBatch]
    next_block: int
    last_number: int
    last_hash: bytes
    lowest_held: int
    catalogue: int
    catalogue_hash: bytes | None
    next_series: int
    ledger: int
    clock: Clock | None
    floor_ms: int

    def copy(self) -> "Memory":
        """A snapshot."""
        return replace(self, open=dict(self.open))

    def sealed_to(self) -> bytes:
        """For each part, the id up to which no block of it is open: what a batch row remembers for the next start."""
        newest = self.next_block - 1
        ends = (self.open[part].first - 1 if part in self.open else newest for part in range(CATALOGUE_PART))
        return b"".join(end.to_bytes(END_BYTES, "big") for end in ends)


def read_memory(connection: sqlite3.Connection, boot: bytes) -> Memory:
    """What the file says; the clock only when it is of this `boot`."""
    row = connection.execute(
        "SELECT stream, catalogue, next_series, boot, clock_ms, clock_state, floor_ms FROM state"
    ).fetchone()
    stream, catalogue, next_series, last_boot, clock_ms, clock_state, floor_ms = row
    newest = connection.execute("SELECT coalesce(max(id), 0) FROM blocks").fetchone()[0]
    query = "SELECT number, hash, sealed_to, floor_ms FROM batches ORDER BY number DESC LIMIT 1"
    last_number, last_hash, marks, sealed_floor_ms = connection.execute(query).fetchone() or (0, NO_HASH, NO_ENDS, 0)
    ends = ends_of(marks)
    named = connection.execute("SELECT hash FROM batches WHERE number = ?", (catalogue,)).fetchone()
    return Memory(
        stream=stream,
        open=_open_batches(connection, ends),
        next_block=max(newest, *ends) + 1,
        last_number=last_number,
        last_hash=last_hash,
        lowest_held=lowest_held(connection, 1),
        catalogue=catalogue,
        catalogue_hash=named[0] if named else None,
        next_series=next_series,
        ledger=connection.execute("SELECT count(*) FROM ledger").fetchone()[0],
        clock=Clock(boot, clock_ms, STATES[clock_state]) if clock_state in STATES and last_boot == boot else None,
        floor_ms=max(floor_ms, sealed_floor_ms),
    )


def ends_of(marks: bytes) -> list[int]:
    """What `Memory.sealed_to` made: for each part, the last block that was sealed."""
    return [int.from_bytes(marks[at : at + END_BYTES], "big") for at in range(0, len(NO_ENDS), END_BYTES)]


def lowest_held(connection: sqlite3.Connection, start: int) -> int:
    """The lowest number from `start` on that waits for its acknowledgement; one past the newest when there is none.

    A batch that the collector refused waits for nothing: the rows behind it need not stay for its sake.
    """
    query = "SELECT number FROM batches WHERE number >= ? AND acked_utc_ms = 0 AND refused = '' ORDER BY number LIMIT 1"
    if row := connection.execute(query, (start,)).fetchone():
        return int(row[0])
    return int(connection.execute("SELECT coalesce(max(number), 0) + 1 FROM batches").fetchone()[0])


def _open_batches(connection: sqlite3.Connection, ends: Sequence[int]) -> dict[int, OpenBatch]:
    found: dict[int, OpenBatch] = {}
    query = (
        "SELECT id, part, boot, clock_ms, clock_state, samples, first_ms, last_ms, data, digest FROM blocks"
        " WHERE id > ? AND part < ? ORDER BY id"
    )
    for row in connection.execute(query, (min(ends), CATALOGUE_PART)):
        number, part, boot, clock_ms, state, samples, first_ms, last_ms, data, digest = row
        if number > ends[part]:
            clock = Clock(boot, clock_ms, STATES[state])
            block = Block(PRIORITIES[part], clock, samples, first_ms, last_ms, data)
            found[part] = found[part].extended(block, number) if part in found else OpenBatch.of(block, number)
            if digest not in {None, found[part].digest}:
                raise ValueError(f"block {number} is not what was committed")
    return found
