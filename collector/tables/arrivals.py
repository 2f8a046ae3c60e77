"""In which order the rows of batches came into `samples`: what an export goes on from."""

import time
from collections.abc import Sequence

from collector.tables.database import Sql
from collector.tables.parts import parts, places
from collector.tables.rows import Piece

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

_ENTER = """
    INSERT INTO arrivals (gateway, stream, number, from_ms, to_ms, written_at) VALUES {}
    ON CONFLICT (gateway, stream, number) DO UPDATE SET from_ms = excluded.from_ms, to_ms = excluded.to_ms"""


def note(db: Sql, pieces: Sequence[Piece]) -> None:
    """Enter that rows were written; those of a batch that is known (a rebuild) have not come again."""
    now_ms = time.time_ns() // 1_000_000
    for part in parts([piece for piece in pieces if len(piece.columns)]):
        db.execute(_ENTER.format(places(part, 6)), [value for piece in part for value in (*_span(piece), now_ms)])


def forget(db: Sql, piece: Piece) -> None:
    """The rows of a batch are taken back, to be dated anew: then they come again."""
    identity = piece.gateway, piece.stream, piece.number
    db.execute("DELETE FROM arrivals WHERE gateway = ? AND stream = ? AND number = ?", identity)


def _span(piece: Piece) -> tuple[str, str, int, int, int]:
    times = piece.columns.boot_ms
    return piece.gateway, piece.stream, piece.number, min(times) + piece.offset, max(times) + piece.offset
