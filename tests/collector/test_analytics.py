"""The SQL of docs/analytics.md and the queries of docs/grafana.json run, and say what is so."""

import json
import re
import sqlite3
from typing import Any

import pytest

from buffer.catalogue import SeriesEntry
from collector.alarms import tables
from ext import NO_ANSWER
from tests.collector.maker import OFFSET_MS, UTC_MS, Bench, Gateway
from tests.conftest import ROOT

DAY_MS = 86_400_000
MIDNIGHT = OFFSET_MS // DAY_MS * DAY_MS + DAY_MS - OFFSET_MS  # of the boot clock, a midnight of UTC

QUERIES = dict(re.findall(r"```sql (\w+)\n(.*?)```", (ROOT / "docs/analytics.md").read_text(), re.DOTALL))
GRAFANA = json.loads((ROOT / "docs/grafana.json").read_text())


@pytest.fixture
def filled(bench: Bench, gateway: Gateway) -> Bench:
    """A counter over two days that is exchanged on the second, and a lamp that is silent for a while."""
    lines = [
        SeriesEntry(1, "meter1", "energy", "kWh", "decimal"),
        SeriesEntry(2, "meter1", "energy.mean", "kWh", "float64"),
        SeriesEntry(3, "lamp", "level", "%", "float64"),
    ]
    hour = DAY_MS // 24
    counted = [(1, -2 * hour, 10.0), (1, -hour, 13.0), (1, hour, 14.0), (1, 2 * hour, 0.5), (2, 2 * hour, 99.0)]
    lit = [(3, 0, 50.0), (3, 60_000, 60.0), (3, 660_000, 70.0)]
    samples = [(n, MIDNIGHT + at, value, 0) for n, at, value in (*counted, *lit)]
    bench.take(gateway.describe(lines))
    bench.take(gateway.send([*samples, (3, MIDNIGHT + 120_000, None, NO_ANSWER)], ledger=(gateway.loses(3, 8),)))
    return bench


def run(bench: Bench, name: str) -> list[dict[str, Any]]:
    cursor = bench.database.connection.execute(QUERIES[name])
    return [dict(zip([column[0] for column in cursor.description], row, strict=True)) for row in cursor]


def test_energy(filled: Bench) -> None:
    first = MIDNIGHT + OFFSET_MS - DAY_MS
    assert [(row["day_ms"], row["kwh"]) for row in run(filled, "energy")] == [(first, 3.0), (first + DAY_MS, 1.5)]


def test_uptime(filled: Bench) -> None:
    found = {(row["device"], row["day_ms"]): float(row["uptime"]) for row in run(filled, "uptime")}
    assert found["lamp", MIDNIGHT + OFFSET_MS] == pytest.approx(3 / 1440)


def test_gaps(filled: Bench) -> None:
    silent = [row for row in run(filled, "silences") if row["device"] == "lamp"]
    assert [(row["from_ms"] - OFFSET_MS - MIDNIGHT, row["seconds"]) for row in silent] == [(60_000, 600)]
    (lost,) = run(filled, "account")
    assert (lost["state"], lost["reason"], lost["gaps"], lost["samples"]) == ("ledgered", "evicted", 1, 5)


def test_the_others(filled: Bench) -> None:
    fresh = {(row["device"], row["point"]): row["newest_ms"] for row in run(filled, "fresh")}
    assert fresh["lamp", "level"] == OFFSET_MS + MIDNIGHT + 660_000
    (late,) = run(filled, "late")
    assert late["worst_s"] == (UTC_MS - OFFSET_MS - MIDNIGHT - DAY_MS / 12) / 1000
    (hour,) = [row for row in run(filled, "hours") if row["device"] == "lamp"]
    assert (hour["samples"], hour["least"], hour["mean"], hour["most"]) == (3, 50.0, 60.0, 70.0)
    assert run(filled, "alarms") == []
    assert "alarms" in tables.TABLES


def grafana_queries() -> list[str]:
    shown = [target["rawSql"] for panel in GRAFANA["panels"] for target in panel["targets"]]
    return shown + [one["query"] for one in GRAFANA["templating"]["list"] if one["type"] == "query"]


@pytest.mark.parametrize("sql", grafana_queries())
def test_the_dashboard_asks_what_the_tables_have(filled: Bench, sql: str) -> None:
    span = {"$__unixEpochFrom()": str(OFFSET_MS // 1000), "$__unixEpochTo()": str(UTC_MS // 1000)}
    values = {"'$gateway'": "'gw-0017'", "$device": "'lamp','meter1'", "$point": "'level','energy'"}
    for name, value in {**span, **values}.items():
        sql = sql.replace(name, value)
    assert "$" not in sql
    db = filled.database.connection
    if isinstance(db, sqlite3.Connection):
        db.create_function("to_timestamp", 1, lambda seconds: seconds)
    rows = db.execute(sql).fetchall()
    assert rows or "alarms" in sql, sql


def test_the_dashboard_is_one() -> None:
    assert len({panel["id"] for panel in GRAFANA["panels"]}) == len(GRAFANA["panels"]) == 6
    used = {panel["datasource"]["type"] for panel in GRAFANA["panels"]}
    assert used == {"grafana-postgresql-datasource"}
