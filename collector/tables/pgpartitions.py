"""`samples` in PostgreSQL: a partition a day (UTC), or a hypertable where TimescaleDB is; a rest for other times."""

import datetime as dt
import time
from collections.abc import Sequence

from collector.tables.database import Sql
from collector.tables.rows import Piece

DAY_MS = 86_400_000
PAST_DAYS = 400  # days that get a partition of their own: a year and its backlog behind,
FUTURE_DAYS = 2  # and what clocks are off before; a gateway cannot make more of them, whatever times it signs
REST = "samples_rest"

TABLE = """
CREATE TABLE samples (
    series BIGINT NOT NULL, ts_ms BIGINT NOT NULL, value DOUBLE PRECISION, exact TEXT, text TEXT,
    quality BIGINT NOT NULL, batch BIGINT NOT NULL, rowid BIGINT NOT NULL)"""


def has_timescale(db: Sql) -> bool:
    """Whether the extension was created in this database."""
    return db.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone() is not None


def create(db: Sql) -> None:
    """Make the table."""
    if has_timescale(db):
        db.execute(TABLE)
        db.execute("SELECT create_hypertable('samples', 'ts_ms', chunk_time_interval => ?::bigint)", (DAY_MS,))
        return
    db.execute(f"{TABLE} PARTITION BY RANGE (ts_ms)")
    db.execute(f"CREATE TABLE {REST} PARTITION OF samples DEFAULT")


class Partitions:
    """The days that have a partition."""

    def __init__(self, db: Sql) -> None:
        self._db = db
        self._days: set[int] | None = None
        self._timescale = False

    def forget(self) -> None:
        """Look again: to be called when a transaction was rolled back."""
        self._days = None

    def make(self, pieces: Sequence[Piece]) -> None:
        """Make those that samples are about to go to."""
        wanted = {day for piece in pieces for day in piece.spans(DAY_MS)}
        if self._days is not None and (self._timescale or wanted <= self._days):
            return
        self._days = self._there()
        today = int(time.time() * 1000) // DAY_MS
        sensible = {day for day in wanted if today - PAST_DAYS <= day <= today + FUTURE_DAYS}
        if not self._timescale and not sensible <= self._days:
            self._db.execute("SELECT pg_advisory_xact_lock(hashtext('lamppost partitions'))")
            for day in sorted(sensible - self._there()):
                self._make_day(day)
        self._days = self._there() | wanted  # the others have their place in the rest

    def drop(self, before_ms: int) -> int:
        """Drop the days before a time, and delete the samples before it on its own day and in the rest."""
        there = self._there()
        if self._timescale:
            self._db.execute("SELECT drop_chunks('samples', older_than => ?::bigint)", (before_ms,))
            return self._db.execute("DELETE FROM samples WHERE ts_ms < ?", (before_ms,)).rowcount
        gone = 0
        for day in sorted(day for day in there if (day + 1) * DAY_MS <= before_ms):
            (count,) = self._db.execute(f"SELECT count(*) FROM {_name(day)}").fetchone()  # noqa: S608
            gone += int(count)
            self._db.execute(f"DROP TABLE {_name(day)}")
        self._days = None
        return gone + self._db.execute("DELETE FROM samples WHERE ts_ms < ?", (before_ms,)).rowcount

    def _there(self) -> set[int]:
        self._timescale = has_timescale(self._db)
        found = self._db.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'samples'::regclass"
        )
        return {_day(name) for (name,) in found.fetchall() if name != REST and not self._timescale}

    def _make_day(self, day: int) -> None:
        name, start, end = _name(day), day * DAY_MS, (day + 1) * DAY_MS
        self._db.execute(f"CREATE TABLE {name} (LIKE samples)")
        self._db.execute(
            f"WITH moved AS (DELETE FROM {REST} WHERE ts_ms >= ? AND ts_ms < ? RETURNING *)"  # noqa: S608
            f" INSERT INTO {name} SELECT * FROM moved",
            (start, end),
        )
        self._db.execute(f"ALTER TABLE samples ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})")


def _name(day: int) -> str:
    return f"samples_{dt.date.fromordinal(dt.date(1970, 1, 1).toordinal() + day):%Y%m%d}"


def _day(name: str) -> int:
    text = name.rpartition("_")[2].strip('"')
    return dt.datetime.strptime(text, "%Y%m%d").replace(tzinfo=dt.UTC).toordinal() - dt.date(1970, 1, 1).toordinal()
