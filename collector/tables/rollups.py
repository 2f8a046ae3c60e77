"""Hourly and daily sums of samples, made from what is stored, and the letting go of samples that are old enough.

Which hours are due is written together with the samples (`rollups_due`), so nothing is forgotten by a crash. Samples
that were let go leave their sums behind; what comes later of such an hour is stored, and changes no sum any more.
"""

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from collector.tables.database import Database, Sql

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MOST = 1e140  # what is beyond is no measured value; PostgreSQL's avg squares differences, and refuses what overflows
LEAST_SUM = 1e-290  # a sum that is nearer to 0 is 0: PostgreSQL refuses a quotient that underflows
AT_ONCE = 200  # hours of streams in one transaction: its gateways' batches wait for it

_DUE = "SELECT gateway, stream, start_ms FROM rollups_due ORDER BY gateway, stream, start_ms"

_Due: TypeAlias = tuple[str, str, int]
"""Gateway, stream, begin of the hour."""


def renew(database: Database) -> int:
    """Make all sums that are due; return how many hours of streams that were."""
    made = 0
    while True:
        with database.errors():
            due: list[_Due] = database.connection.execute(
                "SELECT gateway, stream, start_ms FROM rollups_due ORDER BY gateway, stream, start_ms LIMIT ?",
                (AT_ONCE,),
            ).fetchall()
        if not due:
            return made
        for gateway, some in groupby(due, itemgetter(0)):
            with database.transaction([gateway]) as db:
                make(db, some, kept_from(db))
        made += len(due)


def make(db: Sql, due: Iterable[_Due], since_ms: int = 0) -> None:
    """Make the sums of these hours and of their days; those of hours before a time stay as they are."""
    hours = sorted(due)
    for gateway, stream, start in hours:
        db.execute(
            "DELETE FROM rollups_due WHERE gateway = ? AND stream = ? AND start_ms = ?", (gateway, stream, start)
        )
        if start >= since_ms:
            _forget(db, gateway, stream, HOUR_MS, start)
            db.execute(
                "INSERT INTO rollups SELECT x.series, ?, ?, count(*), min(x.value), avg(x.value), max(x.value)"
                " FROM series s JOIN samples x ON x.series = s.id AND x.ts_ms >= ? AND x.ts_ms < ?"
                " WHERE s.gateway = ? AND s.stream = ? AND x.value BETWEEN ? AND ? GROUP BY x.series",
                (HOUR_MS, start, start, start + HOUR_MS, gateway, stream, -MOST, MOST),
            )
    for gateway, stream, day in sorted(
        {(g, s, start // DAY_MS * DAY_MS) for g, s, start in hours if start >= since_ms}
    ):
        _forget(db, gateway, stream, DAY_MS, day)
        db.execute(
            "INSERT INTO rollups SELECT r.series, ?, ?, sum(r.count), min(r.min),"
            " CASE WHEN abs(sum(r.mean * r.count)) < ? THEN 0 ELSE sum(r.mean * r.count) / sum(r.count) END,"
            " max(r.max) FROM series s JOIN rollups r ON r.series = s.id AND r.period_ms = ?"
            " AND r.start_ms >= ? AND r.start_ms < ? WHERE s.gateway = ? AND s.stream = ? GROUP BY r.series",
            (DAY_MS, day, LEAST_SUM, HOUR_MS, day, day + DAY_MS, gateway, stream),
        )


def make_all(db: Sql) -> None:
    """Within a rebuild: every hour that is due, however old."""
    make(db, db.execute(_DUE).fetchall())


def kept_from(db: Sql) -> int:
    """The time (UTC in ms) before which samples were let go; 0 when none were."""
    (found,) = db.execute("SELECT coalesce(max(utc_ms), 0) FROM kept_from").fetchone()
    return int(found)


def let_go(database: Database, before_ms: int) -> int:
    """Make the sums, then remove the samples before a time; return how many. The batches stay: they are the truth."""
    renew(database)
    with database.transaction() as db:
        known = kept_from(db)
        before = max(before_ms // HOUR_MS * HOUR_MS, known)
        make(db, db.execute(_DUE).fetchall(), known)  # what came in between
        db.execute("DELETE FROM kept_from")
        db.execute("INSERT INTO kept_from (utc_ms) VALUES (?)", (before,))
        return database.drop_samples(before)


def _forget(db: Sql, gateway: str, stream: str, period_ms: int, start_ms: int) -> None:
    db.execute(
        "DELETE FROM rollups WHERE period_ms = ? AND start_ms = ?"
        " AND series IN (SELECT id FROM series WHERE gateway = ? AND stream = ?)",
        (period_ms, start_ms, gateway, stream),
    )
