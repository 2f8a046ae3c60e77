"""A point over time, in at most some hundred places: samples as they are, or sums of them; and what is missing."""

import math
from dataclasses import dataclass, field
from typing import Any

from collector.query import rows
from collector.tables.database import Database, Sql
from collector.tables.rollups import DAY_MS, HOUR_MS
from collector.web.overview import reading

SAMPLES_MAX = 1500
"""More are shown as sums: a screen has no more columns."""
PLACES = 480
SUMS_FROM_MS = 8 * DAY_MS
"""Longer spans are read from the hourly sums; the samples of eight days of 1 Hz are summed in a second or two."""
DAYS_FROM_MS = 120 * DAY_MS
SPAN_MAX_MS = 40 * 366 * DAY_MS
SERIES_MAX = 200
"""Lives of a store; each has a series of its own."""
NEWEST, GAPS_MAX = 20, 500
BREAK = 4
"""A line is broken where a sample is later than this many usual distances."""

_SERIES = """
    SELECT id, unit, type FROM series WHERE gateway = ? AND device = ? AND point = ? ORDER BY id DESC LIMIT ?"""
_RAW = """
    SELECT ts_ms, CASE WHEN (quality & 3) < 2 THEN value END FROM samples
    WHERE series IN ({}) AND ts_ms >= ? AND ts_ms < ? ORDER BY ts_ms LIMIT ?"""
_SUMS = """
    SELECT (ts_ms - ?) / ? AS place, sum(value), min(value), max(value), count(*) FROM samples
    WHERE series IN ({}) AND ts_ms >= ? AND ts_ms < ? AND value IS NOT NULL AND (quality & 3) < 2
    GROUP BY 1 ORDER BY 1"""
_ROLLUPS = """
    SELECT start_ms, sum(mean * count) / sum(count), min(min), max(max) FROM rollups
    WHERE series IN ({}) AND period_ms = ? AND start_ms >= ? AND start_ms < ? GROUP BY start_ms ORDER BY start_ms"""
_NEWEST = """
    SELECT ts_ms, value, exact, text, quality FROM samples
    WHERE series IN ({}) AND ts_ms >= ? AND ts_ms < ? ORDER BY ts_ms DESC LIMIT ?"""
_GAPS = """
    SELECT from_ms, to_ms, samples, reason, state, first, last FROM gaps
    WHERE gateway = :gateway AND coalesce(from_ms, to_ms) < :until AND coalesce(to_ms, from_ms) >= :since
    ORDER BY coalesce(from_ms, to_ms) LIMIT :limit"""


@dataclass(slots=True)
class Line:
    """Columns of a chart: `low` and `high` only where each place stands for many samples. None breaks the line."""

    step_ms: int
    utc_ms: list[int] = field(default_factory=list)
    mean: list[float | None] = field(default_factory=list)
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)

    def add(self, utc_ms: int, mean: float | None, low: float | None = None, high: float | None = None) -> None:
        """One more place."""
        self.utc_ms.append(utc_ms)
        for column, value in ((self.mean, mean), (self.low, low), (self.high, high)):
            column.append(value if value is not None and math.isfinite(value) else None)


def chart(database: Database, gateway: str, point: tuple[str, str], since_ms: int, until_ms: int) -> dict[str, Any]:
    """The point (device, point) from `since_ms` to before `until_ms`; an unknown one has no samples."""
    db = database.connection
    with database.errors():
        series = db.execute(_SERIES, (gateway, *point, SERIES_MAX)).fetchall()
        ids = [row[0] for row in series]
        line = _line(db, ids, since_ms, until_ms) if ids else Line(0)
        newest = _execute(db, _NEWEST, ids, since_ms, until_ms, NEWEST) if ids else []
    lost = {"gateway": gateway, "since": since_ms, "until": until_ms, "limit": GAPS_MAX}
    return {
        "known": bool(ids), "unit": series[0][1] if ids else "", "type": series[0][2] if ids else "",
        "from_ms": since_ms, "to_ms": until_ms, "step_ms": line.step_ms, "utc_ms": line.utc_ms, "mean": line.mean,
        "low": line.low if line.step_ms else [], "high": line.high if line.step_ms else [],
        "newest": [reading(*row) for row in newest], "gaps": list(rows(database, _GAPS, lost)),
    }  # fmt: skip


def _line(db: Sql, ids: list[int], since: int, until: int) -> Line:
    if until - since >= SUMS_FROM_MS:
        return _broken(_of_rollups(db, ids, since, until))
    found = _execute(db, _RAW, ids, since, until, SAMPLES_MAX + 1)
    if len(found) > SAMPLES_MAX:
        return _broken(_of_samples(db, ids, since, until, max(1, -(-(until - since) // PLACES))))
    line = Line(0)
    for utc_ms, value in found:
        line.add(utc_ms, value)
    return _broken(line)


def _of_samples(db: Sql, ids: list[int], since: int, until: int, step: int) -> Line:
    line = Line(step)
    for place, total, low, high, count in _execute(db, _SUMS, ids, since, until, before=(since, step)):
        line.add(since + place * step + step // 2, total / count, low, high)
    return line


def _of_rollups(db: Sql, ids: list[int], since: int, until: int) -> Line:
    """The sums that are made; what came after the last of them from the samples, as far as that is cheap."""
    period = DAY_MS if until - since >= DAYS_FROM_MS else HOUR_MS
    line, begin = Line(period), since // period * period
    for start, mean, low, high in _execute(db, _ROLLUPS, ids, begin, until, before=(), period=period):
        line.add(start + period // 2, mean, low, high)
        begin = start + period
    tail = _of_samples(db, ids, max(begin, (until - SUMS_FROM_MS) // period * period), until, period)
    for place in zip(tail.utc_ms, tail.mean, tail.low, tail.high, strict=True):
        line.add(*place)
    return line


def _broken(line: Line) -> Line:
    """The line with an empty place wherever it is silent for long: it would say that it knows what was there."""
    steps = sorted(after - before for before, after in zip(line.utc_ms, line.utc_ms[1:], strict=False))
    if not steps:
        return line
    longest = BREAK * max(steps[len(steps) // 2], 1)
    found = Line(line.step_ms)
    for place, utc_ms in enumerate(line.utc_ms):
        if place and utc_ms - line.utc_ms[place - 1] > longest:
            found.add(line.utc_ms[place - 1] + 1, None)
        found.add(utc_ms, line.mean[place], line.low[place], line.high[place])
    return found


def _execute(
    db: Sql, sql: str, ids: list[int], *arguments: int, before: tuple[int, ...] = (), period: int = 0
) -> list[Any]:
    """`sql` with a place for each id."""
    more = (period,) if period else ()
    return db.execute(sql.format(",".join("?" * len(ids))), (*before, *ids, *more, *arguments)).fetchall()
