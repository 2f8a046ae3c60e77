"""Views for people and open-data tools: readable names and times; the public ones never show another point."""

_PUBLIC_SERIES = """
    SELECT s.id, s.gateway, s.stream, s.number, s.device, s.point, s.unit, s.type, s.asset_id, s.latitude, s.longitude
    FROM series s JOIN streams o ON o.gateway = s.gateway AND o.stream = s.stream
    WHERE s.public = 1 AND NOT EXISTS (
        SELECT 1 FROM series n JOIN streams t ON t.gateway = n.gateway AND t.stream = n.stream
        WHERE n.gateway = s.gateway AND n.device = s.device AND n.point = s.point AND n.public = 0
            AND ((n.stream = s.stream AND n.number > s.number) OR (n.stream <> s.stream
                AND (t.first_seen > o.first_seen
                    OR coalesce(t.newest_ms, t.first_seen) > coalesce(o.newest_ms, o.first_seen)))))"""

_READINGS = """
    SELECT {time} AS time, s.gateway, s.device, s.point, x.value, x.exact, x.text, s.unit, x.quality,
        CASE x.quality & 3 WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' ELSE 'bad' END AS quality_class,
        s.asset_id, x.ts_ms
    FROM samples x JOIN {series} s ON s.id = x.series"""

_PLACES = "SELECT DISTINCT gateway, device, asset_id, latitude, longitude FROM public_series WHERE latitude IS NOT NULL"


PUBLIC = ("public_places", "public_readings", "public_series")
"""Each after those that are made of it."""


def made(time: str, create: str) -> tuple[str, ...]:
    """The statements that make them; `time` is RFC 3339, UTC, of `x.ts_ms` in the words of the database.

    A series is public when it is marked so, and no newer series of the same point says otherwise: newer by its
    samples or by the platform's own clock, for a gateway whose clock was ahead must not keep open what is closed.
    """
    return (
        f"{create} public_series AS {_PUBLIC_SERIES}",
        f"{create} readings AS {_READINGS.format(time=time, series='series')}",
        f"{create} public_readings AS {_READINGS.format(time=time, series='public_series')}",
        f"{create} public_places AS {_PLACES}",
    )
