"""What the store knows without asking the disk: read at its opening, put back when a transaction fails."""

import sqlite3
from dataclasses import dataclass, replace

from buffer.block import CATALOGUE_PART, Block, OpenBatch
from buffer.header import NO_HASH, PRIORITIES, STATES, Clock


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


def read_memory(connection: sqlite3.Connection, boot: bytes) -> Memory:
    """What the file says; the clock only when it is of this `boot`."""
    row = connection.execute(
        "SELECT stream, catalogue, next_series, boot, clock_ms, clock_state, floor_ms FROM state"
    ).fetchone()
    stream, catalogue, next_series, last_boot, clock_ms, clock_state, floor_ms = row
    parts = dict(connection.execute("SELECT part, sealed_to FROM parts"))
    newest = connection.execute("SELECT coalesce(max(id), 0) FROM blocks").fetchone()[0]
    last = connection.execute("SELECT number, hash FROM batches ORDER BY number DESC LIMIT 1").fetchone()
    named = connection.execute("SELECT hash FROM batches WHERE number = ?", (catalogue,)).fetchone()
    return Memory(
        stream=stream,
        open=_open_batches(connection, parts),
        next_block=max(newest, *parts.values()) + 1,
        last_number=last[0] if last else 0,
        last_hash=last[1] if last else NO_HASH,
        lowest_held=lowest_held(connection, 1),
        catalogue=catalogue,
        catalogue_hash=named[0] if named else None,
        next_series=next_series,
        ledger=connection.execute("SELECT count(*) FROM ledger").fetchone()[0],
        clock=Clock(boot, clock_ms, STATES[clock_state]) if clock_state in STATES and last_boot == boot else None,
        floor_ms=floor_ms,
    )


def lowest_held(connection: sqlite3.Connection, start: int) -> int:
    """The lowest number from `start` on that waits for its acknowledgement; one past the newest when there is none.

    A batch that the collector refused waits for nothing: the rows behind it need not stay for its sake.
    """
    query = "SELECT number FROM batches WHERE number >= ? AND acked_utc_ms = 0 AND refused = '' ORDER BY number LIMIT 1"
    if row := connection.execute(query, (start,)).fetchone():
        return int(row[0])
    return int(connection.execute("SELECT coalesce(max(number), 0) + 1 FROM batches").fetchone()[0])


def _open_batches(connection: sqlite3.Connection, parts: dict[int, int]) -> dict[int, OpenBatch]:
    found: dict[int, OpenBatch] = {}
    query = (
        "SELECT id, part, boot, clock_ms, clock_state, samples, first_ms, last_ms, data FROM blocks"
        " WHERE id > ? AND part < ? ORDER BY id"
    )
    for row in connection.execute(query, (min(parts.values()), CATALOGUE_PART)):
        number, part, boot, clock_ms, state, samples, first_ms, last_ms, data = row
        if number > parts[part]:
            clock = Clock(boot, clock_ms, STATES[state])
            block = Block(PRIORITIES[part], clock, samples, first_ms, last_ms, data)
            found[part] = found[part].extended(block, number) if part in found else OpenBatch.of(block, number)
    return found
