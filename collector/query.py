"""Reading the tables for the command line: plain dictionaries, one a row."""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

from collector.errors import UsageError
from collector.tables.database import Database

Row = dict[str, Any]

EVER_MS = 1 << 62  # beyond every time, and a minute may be added to it
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

SAMPLES = """
    SELECT * FROM (
        SELECT s.gateway, s.device, s.point, s.unit, x.ts_ms AS utc_ms, x.value, x.exact, x.text, x.quality,
            s.stream, x.batch
        FROM samples x JOIN series s ON s.id = x.series
        WHERE (:gateway IS NULL OR s.gateway = :gateway) AND (:device IS NULL OR s.device = :device)
            AND (:point IS NULL OR s.point = :point)
            AND x.ts_ms >= :since AND x.ts_ms <= :until
        ORDER BY x.ts_ms DESC, x.rowid DESC LIMIT :limit) AS newest
    ORDER BY utc_ms"""

# One message of a sensor: the same count within a minute (a counter of 8 bits may come round after that), or, of a
# sensor that counts nothing, the same value within two seconds (what clocks may differ by).
ONE_COUNT_MS, ONE_VALUE_MS = 60_000, 2_000

ASSET = f"""
    WITH heard AS (
        SELECT * FROM asset_readings
        WHERE asset_id = :asset AND (:device IS NULL OR device = :device) AND (:point IS NULL OR point = :point)
            AND ts_ms >= :since - {ONE_COUNT_MS} AND ts_ms <= :until + {ONE_COUNT_MS}),
    judged AS (
        SELECT *, CASE WHEN counter IS NULL
            THEN max(rank) OVER (PARTITION BY device, point, counter, value, exact, text
                ORDER BY ts_ms RANGE BETWEEN {ONE_VALUE_MS} PRECEDING AND {ONE_VALUE_MS} FOLLOWING)
            ELSE max(rank) OVER (PARTITION BY device, point, counter
                ORDER BY ts_ms RANGE BETWEEN {ONE_COUNT_MS} PRECEDING AND {ONE_COUNT_MS} FOLLOWING) END AS best
        FROM heard),
    newest AS (
        SELECT * FROM judged WHERE (rank = best OR (rank IS NULL AND best IS NULL))
            AND (:gateway IS NULL OR gateway = :gateway) AND ts_ms >= :since AND ts_ms <= :until
        ORDER BY ts_ms DESC, sample DESC LIMIT :limit)
    SELECT asset_id, device, point, unit, ts_ms AS utc_ms, value, exact, text, quality, rssi, counter,
        gateway, stream, batch
    FROM newest ORDER BY ts_ms, sample"""  # noqa: S608 - numbers of our own

GAPS = """
    SELECT g.gateway, g.stream, g.first, g.last, g.from_ms, g.to_ms, g.samples, g.reason, g.state,
        (SELECT count(*) FROM rejects r WHERE r.gateway = g.gateway AND r.stream = g.stream AND g.state = 'pending'
            AND r.number BETWEEN g.first AND g.last) AS refused
    FROM gaps g WHERE (:gateway IS NULL OR g.gateway = :gateway) AND (:state IS NULL OR g.state = :state)
    ORDER BY g.gateway, g.stream, g.first IS NULL, g.first, g.from_ms"""


def samples(
    database: Database,
    *,
    asset: str | None = None,
    gateway: str | None = None,
    device: str | None = None,
    point: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    limit: int = 100,
) -> Iterator[Row]:
    """Yield the newest samples in ascending time; `point` may be `device/point`.

    Those of an asset that several gateways hear are from whichever of them heard it best, with `rssi` and `counter`.
    """
    if point is not None and "/" in point:
        device, _, point = point.partition("/")
    return rows(
        database,
        SAMPLES if asset is None else ASSET,
        {
            "asset": asset,
            "gateway": gateway,
            "device": device,
            "point": point,
            "since": -EVER_MS if since_ms is None else since_ms,
            "until": EVER_MS if until_ms is None else until_ms,
            "limit": limit,
        },
    )


def gaps(database: Database, *, gateway: str | None = None, state: str | None = None) -> Iterator[Row]:
    """Yield what is missing, accounted for or broken; `refused` counts the refused batches in a gap."""
    return rows(database, GAPS, {"gateway": gateway, "state": state})


def waiting(database: Database, *, gateway: str | None = None) -> Iterator[Row]:
    """Yield the stored batches whose samples are not in the table, and why."""
    sql = (
        "SELECT gateway, stream, number, state, samples, reason FROM waiting"
        " WHERE (:gateway IS NULL OR gateway = :gateway) ORDER BY gateway, stream, number"
    )
    return rows(database, sql, {"gateway": gateway})


def refused(database: Database, limit: int) -> Iterator[Row]:
    """Yield the newest refused messages without their bytes."""
    sql = (
        "SELECT id, received_at, topic, reason, length(bytes) AS bytes FROM refused WHERE id IN"
        " (SELECT id FROM refused ORDER BY id DESC LIMIT :limit) ORDER BY id"
    )
    return rows(database, sql, {"limit": limit})


def refusals(database: Database) -> Iterator[Row]:
    """Yield how many messages were refused for each reason, and how many of them are no longer kept."""
    return rows(database, "SELECT reason, count, overflow, last_at FROM refusals ORDER BY reason", {})


def refused_bytes(database: Database, row: int) -> bytes:
    """Return the bytes of one refused message; raises UsageError when there is none of that id."""
    with database.errors():
        found = database.connection.execute("SELECT bytes FROM refused WHERE id = ?", (row,)).fetchone()
    if found is None:
        raise UsageError(f"no refused message has the id {row}")
    return bytes(found[0])


def parse_time(text: str, now_ms: int) -> int:
    """Return ms since the epoch of `90m` (ago), an ISO 8601 time (UTC when it names no zone) or a number of ms."""
    if match := re.fullmatch(r"(\d{1,12})(ms|s|m|h|d)", text):
        return now_ms - int(match[1]) * UNITS_MS[match[2]]
    if re.fullmatch(r"\d{1,15}", text):
        return int(text)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time: 10m (ago), 2026-05-04T12:00, or ms since 1970") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp() * 1000)


def rows(database: Database, sql: str, arguments: dict[str, Any]) -> Iterator[Row]:
    """Yield what a select finds."""
    with database.errors():
        cursor = database.connection.execute(sql, arguments)
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))
