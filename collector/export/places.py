"""Where assets stand, as GeoJSON (RFC 7946)."""

import json
from collections.abc import Sequence
from typing import Any

from collector.tables.database import Database

_PLACES = """
    SELECT s.gateway, s.device, s.asset_id, s.latitude, s.longitude, s.point, s.unit, f.labels
    FROM {table} s JOIN series f ON f.id = s.id
        JOIN streams t ON t.gateway = s.gateway AND t.stream = s.stream
    WHERE s.latitude IS NOT NULL AND (:gateway IS NULL OR s.gateway = :gateway)
    ORDER BY coalesce(t.newest_ms, t.first_seen), s.gateway, s.device, s.number"""


def collection(
    database: Database, *, gateway: str | None = None, labels: Sequence[str] = (), everything: bool = False
) -> dict[str, Any]:
    """A feature for each device with a place and a public point (any point with `everything`), by its newest place.

    Only the `labels` named are told, for they may say more than a place should. Positions: longitude, latitude (3.1.1).
    """
    sql = _PLACES.format(table="series" if everything else "public_series")
    features: dict[tuple[str, str], dict[str, Any]] = {}
    with database.errors():
        rows = database.connection.execute(sql, {"gateway": gateway}).fetchall()
    for name, device, asset_id, latitude, longitude, point, unit, told in rows:
        feature = features.setdefault((name, device), {"points": {}})
        feature["points"][point] = unit
        chosen = {key: value for key, value in json.loads(told).items() if key in labels}
        feature |= {"asset_id": asset_id, "position": [longitude, latitude], "labels": chosen}
    found = [_feature(*key, feature) for key, feature in sorted(features.items())]
    return {"type": "FeatureCollection", "features": found}


def _feature(gateway: str, device: str, found: dict[str, Any]) -> dict[str, Any]:
    properties = {"gateway": gateway, "device": device, "asset_id": found["asset_id"], "points": found["points"]}
    if found["labels"]:
        properties["labels"] = found["labels"]
    return {
        "type": "Feature",
        "id": f"{gateway}/{device}",
        "geometry": {"type": "Point", "coordinates": found["position"]},
        "properties": properties,
    }
