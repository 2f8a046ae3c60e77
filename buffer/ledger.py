"""Ledger entries that no header has taken yet, in the caller's transaction."""

import sqlite3
from dataclasses import replace

from buffer.header import MAX_LEDGER, LedgerEntry, entry_dumps, entry_loads
from buffer.memory import Memory
from buffer.recovery import INSERT_LEDGER


def note(connection: sqlite3.Connection, memory: Memory, entry: LedgerEntry) -> None:
    """Keep an entry; when a header's worth waits, as part of one with the same boot and reason if there is any."""
    if memory.ledger >= MAX_LEDGER:
        for number, data in connection.execute("SELECT id, entry FROM ledger ORDER BY id DESC"):
            waiting = entry_loads(data)
            if (waiting.boot, waiting.reason) == (entry.boot, entry.reason):
                widened = entry_dumps(_widened(waiting, entry))
                connection.execute("UPDATE ledger SET entry = ? WHERE id = ?", (widened, number))
                return
    connection.execute(INSERT_LEDGER, (entry_dumps(entry),))
    memory.ledger += 1


def _widened(one: LedgerEntry, other: LedgerEntry) -> LedgerEntry:
    """One entry over both intervals, dated by the second's clock; unknown stays unknown."""
    return replace(
        other,
        from_ms=min(one.from_ms, other.from_ms),
        to_ms=None if one.to_ms is None or other.to_ms is None else max(one.to_ms, other.to_ms),
        samples=None if one.samples is None or other.samples is None else one.samples + other.samples,
    )
