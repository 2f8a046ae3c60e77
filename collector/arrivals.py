"""In which order the rows of batches came into `samples`: what an export goes on from."""

import time
from collections.abc import Sequence

from collector.database import Sql
from collector.rows import Piece

TABLE = """
-- batches whose rows are in `samples`, in the order in which they came there; one that is dated anew comes again
CREATE TABLE arrivals (
    id INTEGER PRIMARY KEY AUTOINCREMENT, gateway TEXT NOT NULL, stream TEXT NOT NULL, number INTEGER NOT NULL,
    from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, written_at INTEGER NOT NULL,
    UNIQUE (gateway, stream, number)
);
INSERT INTO arrivals (gateway, stream, number, from_ms, to_ms, written_at)
    SELECT b.gateway, b.stream, b.number, x.from_ms, x.to_ms, b.received_at
    FROM (SELECT s.gateway, s.stream, y.batch, min(y.ts_ms) AS from_ms, max(y.ts_ms) AS to_ms
        FROM samples y JOIN series s ON s.id = y.series GROUP BY s.gateway, s.stream, y.batch) x
    JOIN batches b ON b.gateway = x.gateway AND b.stream = x.stream AND b.number = x.batch
    ORDER BY b.received_at, b.number;
CREATE INDEX batches_by_arrival ON batches (gateway, received_at)"""
"""A database of before has the order in which the batches themselves came."""

_KNOWN = "SELECT from_ms, to_ms FROM arrivals WHERE gateway = ? AND stream = ? AND number = ?"
_ENTER = """
    INSERT INTO arrivals (gateway, stream, number, from_ms, to_ms, written_at) VALUES (?, ?, ?, ?, ?, ?)"""


def note(db: Sql, pieces: Sequence[Piece]) -> None:
    """Enter that rows were written; the same rows once more (a rebuild) have not come again."""
    now_ms = time.time_ns() // 1_000_000
    for piece in pieces:
        times = piece.columns.boot_ms
        if not len(times):
            continue
        span = min(times) + piece.offset, max(times) + piece.offset
        identity = piece.gateway, piece.stream, piece.number
        known = db.execute(_KNOWN, identity).fetchone()
        if known is not None and tuple(known) == span:
            continue
        if known is not None:
            db.execute("DELETE FROM arrivals WHERE gateway = ? AND stream = ? AND number = ?", identity)
        db.execute(_ENTER, (*identity, *span, now_ms))
