"""What the page says of gateways and their devices: plain dictionaries, read from the tables."""

import json
from typing import Any

from collector.alarms.book import Book
from collector.query import Row, rows
from collector.tables.database import Database, Sql
from ext.quality import describe

GATEWAYS_MAX, POINTS_MAX, GAPS_MAX, ALARMS_MAX, PUBLIC_MAX = 5000, 2000, 200, 500, 5000
TEXT_MAX = 400
"""Characters of a value that is a text."""

_GATEWAYS = """
    SELECT g.gateway, min(g.site) AS site, min(g.added_at) AS added_at,
        min(CASE WHEN g.revoked_at IS NULL THEN 0 ELSE 1 END) AS revoked,
        (SELECT max(b.received_at) FROM batches b WHERE b.gateway = g.gateway) AS last_at,
        (SELECT max(s.newest_ms) FROM streams s WHERE s.gateway = g.gateway) AS newest_ms,
        (SELECT count(*) FROM streams s WHERE s.gateway = g.gateway AND s.forked_at IS NOT NULL) AS forked,
        (SELECT count(*) FROM gaps x WHERE x.gateway = g.gateway AND x.state = 'pending') AS gaps,
        (SELECT count(*) FROM gaps x WHERE x.gateway = g.gateway AND x.state = 'broken') AS broken,
        (SELECT CAST(coalesce(sum(x.samples), 0) AS BIGINT) FROM gaps x
            WHERE x.gateway = g.gateway AND x.state = 'ledgered') AS lost,
        (SELECT count(*) FROM waiting w WHERE w.gateway = g.gateway AND w.state IN ('catalogue', 'clock', 'ready'))
            AS waiting,
        (SELECT count(*) FROM alarms a WHERE a.gateway = g.gateway AND a.cleared_at IS NULL) AS alarms,
        (SELECT count(*) FROM alarms a WHERE a.gateway = g.gateway AND a.cleared_at IS NULL
            AND a.acknowledged_at IS NULL) AS unknown_alarms
    FROM gateways g WHERE (:gateway IS NULL OR g.gateway = :gateway)
    GROUP BY g.gateway ORDER BY g.gateway LIMIT :limit"""

_POINTS = """
    SELECT s.id, s.device, s.point, s.unit, s.type, s.asset_id, s.latitude, s.longitude, s.labels,
        CASE WHEN EXISTS (SELECT 1 FROM public_series p WHERE p.id = s.id) THEN 1 ELSE 0 END AS public
    FROM series s
    WHERE s.gateway = :gateway AND s.stream = (
            SELECT n.stream FROM streams n WHERE n.gateway = :gateway
            ORDER BY coalesce(n.newest_ms, n.first_seen) DESC, n.first_seen DESC LIMIT 1)
        AND s.described = (SELECT max(d.described) FROM series d WHERE d.gateway = s.gateway AND d.stream = s.stream)
    ORDER BY s.number LIMIT :limit"""

_NEWEST = "SELECT ts_ms, value, exact, text, quality FROM samples WHERE series = ? ORDER BY ts_ms DESC LIMIT 1"

_GAPS = """
    SELECT g.stream, g.first, g.last, g.from_ms, g.to_ms, g.samples, g.reason, g.state FROM gaps g
    WHERE g.gateway = :gateway ORDER BY coalesce(g.to_ms, g.from_ms, 0) DESC, g.id DESC LIMIT :limit"""

_PUBLIC = """
    SELECT DISTINCT gateway, device, point, unit FROM public_series ORDER BY gateway, device, point LIMIT :limit"""


def gateways(database: Database, gateway: str | None = None) -> list[Row]:
    """Each known gateway: when it delivered last, up to when (`newest_ms`), and what is wrong; times in UTC ms."""
    return list(rows(database, _GATEWAYS, {"gateway": gateway, "limit": GATEWAYS_MAX}))


def alarms(database: Database, gateway: str | None = None) -> list[Row]:
    """Alarms, the newest first: past ones too."""
    return list(Book(database, tell=False).listed(gateway=gateway, past=True, limit=ALARMS_MAX))


def gaps(database: Database, gateway: str) -> list[Row]:
    """What is missing, accounted for as lost, or broken; the newest first."""
    return list(rows(database, _GAPS, {"gateway": gateway, "limit": GAPS_MAX}))


def public_points(database: Database) -> list[Row]:
    """The points that are open data."""
    return list(rows(database, _PUBLIC, {"limit": PUBLIC_MAX}))


def devices(database: Database, gateway: str) -> list[dict[str, Any]]:
    """The devices of a gateway by its newest catalogue, each with its points and their newest samples."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows(database, _POINTS, {"gateway": gateway, "limit": POINTS_MAX}):
        place = {"asset_id": row["asset_id"], "latitude": row["latitude"], "longitude": row["longitude"]}
        device = found.setdefault(row["device"], {"device": row["device"], **place, "labels": {}, "points": []})
        device["labels"] = json.loads(row["labels"])
        point = {"point": row["point"], "unit": row["unit"], "type": row["type"], "public": bool(row["public"])}
        device["points"].append({**point, **_newest(database.connection, row["id"])})
    return list(found.values())


def reading(ts_ms: int, value: float | None, exact: str | None, text: str | None, quality: int) -> dict[str, Any]:
    """A sample for JSON: numbers that doubles cannot hold, and what is no number, as texts."""
    shown = value if exact is None and text is None else (text if text is not None else exact)
    if isinstance(shown, float) and shown - shown != 0:  # JSON has neither infinity nor nan
        shown = repr(shown)
    cut = shown[:TEXT_MAX] if isinstance(shown, str) else shown
    return {"utc_ms": ts_ms, "value": cut, "quality": describe(quality), "class": quality & 3}


def _newest(db: Sql, series: int) -> dict[str, Any]:
    row = db.execute(_NEWEST, (series,)).fetchone()
    return {"utc_ms": None, "value": None, "quality": "", "class": None} if row is None else reading(*row)
