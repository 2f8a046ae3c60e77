"""Open data: never a point that is not public, nothing twice, nothing missed, and files that others read."""

import csv
import io
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buffer.catalogue import SeriesEntry
from buffer.header import ClockState
from collector.cli.export import command
from collector.errors import UsageError
from collector.export import places, state
from collector.export.reading import Reading, Selection, Source
from collector.export.texts import CsvWriter
from collector.receiving import derive
from collector.tables.database import Database
from ext import CLOCK, NO_ANSWER
from ext.cells import FORMULA
from tests.collector.maker import OFFSET_MS, SQLITE, Bench, Gateway, age
from tests.collector.test_cli import call

PUBLIC, PRIVATE, TEXT = 1, 2, 3
DAY_MS = 86_400_000


def lines(public: bool = True) -> list[SeriesEntry]:
    """A public and a private point of one device, and a public text."""
    place, labels = (43.5, -79.6), (("owner", "A. Person"), ("street", "Main"))
    return [
        SeriesEntry(PUBLIC, "meter1", "voltage", "V", "decimal", "=E-1", place, labels, public),
        SeriesEntry(PRIVATE, "meter1", "presence", "", "int16", "=E-1", place, labels, False),
        SeriesEntry(TEXT, "sign", "said", "", "text", "", None, (), public),
    ]


@pytest.fixture
def filled(bench: Bench, gateway: Gateway) -> Bench:
    bench.take(gateway.describe(lines()))
    bench.take(gateway.send([(PUBLIC, 1000, 230.25, 0), (PRIVATE, 1000, 1, 0), (TEXT, 1001, "=cmd|'/c calc'!A1", 0)]))
    bench.take(gateway.send([(PUBLIC, 2000, 2**60 + 1, 0), (PUBLIC, 2001, None, NO_ANSWER)]))
    return bench


def read(bench: Bench, selection: Selection | None = None, after: int = 0) -> list[Reading]:
    return list(Source(bench.database, selection or Selection()).readings(after))


def names(found: list[Reading]) -> set[str]:
    return {f"{reading.line.device}/{reading.line.point}" for reading in found}


def test_what_is_not_public_is_never_exported(filled: Bench, tmp_path: Path) -> None:
    path = filled.database.path
    for form in ("csv", "ndjson", "senml"):
        code, out, _ = call("export", "--database", path, "--format", form)
        assert (code, "voltage" in out, "presence" in out) == (0, True, False)
        code, out, _ = call("export", "--database", path, "--format", form, "--point", "meter1/presence", "--public")
        assert (code, "presence" in out) == (0, False)
        code, out, _ = call("export", "--database", path, "--format", form, "--all")
        assert (code, "presence" in out) == (0, True)
    code, out, _ = call("places", "--database", path)
    assert (code, "presence" in out, "Person" in out) == (0, False, False)
    for view in ("public_readings", "public_series", "public_places"):
        assert "presence" not in str(filled.rows(f"SELECT * FROM {view}"))  # noqa: S608


def test_a_point_that_was_closed_is_closed_for_all_time(filled: Bench, gateway: Gateway) -> None:
    assert names(read(filled)) == {"meter1/voltage", "sign/said"}
    late = gateway.describe(lines(public=True))
    filled.take(gateway.describe(lines(public=False)))
    filled.take(late)  # an older catalogue, after the newer one
    assert read(filled) == []
    derive.rebuild(filled.database)
    assert read(filled) == []
    assert filled.rows("SELECT count(*) FROM public_readings") == [(0,)]


def test_a_new_store_that_says_private_closes_what_the_old_one_said(filled: Bench, gateway: Gateway) -> None:
    second = Gateway(key=gateway.key, stream=bytes([2]) * 16)
    filled.take(second.describe(lines(public=False)), second.send([(PUBLIC, 9000, 1.5, 0)]))
    assert read(filled) == []


def test_a_clock_that_was_ahead_keeps_nothing_open_that_a_new_store_closes(filled: Bench, gateway: Gateway) -> None:
    gateway.clock_ms += 3650 * DAY_MS
    filled.take(gateway.send([(PUBLIC, 3000, 1.5, 0)]))
    second = Gateway(key=gateway.key, stream=bytes([2]) * 16)
    filled.now_ms += 1000
    filled.take(second.describe(lines(public=False)), second.send([(PUBLIC, 9000, 1.5, 0)]))
    assert read(filled) == []
    assert filled.rows("SELECT count(*) FROM public_places") == [(0,)]


def test_selection(filled: Bench) -> None:
    assert len(read(filled)) == 4
    assert names(read(filled, Selection(("gw-0017/meter1/*",), everything=True))) == {
        "meter1/voltage",
        "meter1/presence",
    }
    assert read(filled, Selection(("other/*",))) == []
    assert read(filled, Selection(gateway="gw-9")) == []
    span = Selection(since_ms=OFFSET_MS + 1001, until_ms=OFFSET_MS + 2001)
    assert [reading.ts_ms - OFFSET_MS for reading in read(filled, span)] == [1001, 2000]


def test_csv(filled: Bench) -> None:
    _, out, error = call("export", "--database", filled.database.path)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["time"], row["value"], row["quality"]) for row in rows] == [
        ("2026-05-17T06:40:01.000Z", "230.25", "good"),
        ("2026-05-17T06:40:01.001Z", "'=cmd|'/c calc'!A1", "good"),
        ("2026-05-17T06:40:02.000Z", str(2**60 + 1), "good"),
        ("2026-05-17T06:40:02.001Z", "", "bad (no answer)"),
    ]
    assert (rows[0]["gateway"], rows[0]["device"], rows[0]["asset_id"]) == ("gw-0017", "meter1", "'=E-1")
    assert error == "4 samples\n"


@SQLITE
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=8).filter(lambda text: "\x00" not in text))
def test_no_cell_is_a_formula(open_bench: Callable[..., Bench], said: str) -> None:
    gateway = Gateway()
    bench = open_bench(gateway)
    bench.take(gateway.describe([SeriesEntry(1, said, said, said, "text", said, None, (), True)]))
    bench.take(gateway.send([(1, 5, said, 0)]))
    out = io.StringIO()
    writer = CsvWriter(out)
    for reading in read(bench):
        writer.write(reading)
    (row,) = list(csv.reader(io.StringIO(out.getvalue(), newline="")))[1:]
    assert not any(c.startswith(tuple(FORMULA)) and not c.startswith("'") for c in row)
    assert all(cell.isprintable() for cell in row)


def test_ndjson_and_senml(filled: Bench) -> None:
    _, out, _ = call("export", "--database", filled.database.path, "--format", "ndjson")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["value"] for row in rows] == [230.25, "=cmd|'/c calc'!A1", 2**60 + 1, None]
    _, out, error = call("export", "--database", filled.database.path, "--format", "senml")
    assert json.loads(out) == [  # RFC 8428, 4.1 to 4.3
        {"bn": "lamppost:", "bt": 1779000001, "n": "gw-0017/meter1/voltage", "u": "V", "v": 230.25, "t": 0},
        {"n": "gw-0017/sign/said", "vs": "=cmd|'/c calc'!A1", "t": 0.001},
        {"n": "gw-0017/meter1/voltage", "u": "V", "v": 2**60 + 1, "t": 1},
    ]
    assert "1 left out: without a value" in error


def test_an_export_goes_on_with_what_came_since_late_data_included(
    filled: Bench, gateway: Gateway, tmp_path: Path
) -> None:
    where, out = tmp_path / "state.json", tmp_path / "out.csv"

    def more() -> list[str]:
        code, _, error = call("export", "--database", filled.database.path, "--state", where, "--output", out)
        assert (code, error) == (0, error)
        return [row["time"][17:23] for row in csv.DictReader(io.StringIO(out.read_text()))]

    assert more() == ["01.000", "01.001", "02.000", "02.001"]
    assert more() == []
    missing, newer = gateway.send([(PUBLIC, 3000, 1.5, 0)]), gateway.send([(PUBLIC, 9000, 2.5, 0)])
    filled.take(newer)
    assert more() == ["09.000"]
    filled.take(missing)
    assert more() == ["03.000"], "what came late is older in time, and new all the same"
    derive.rebuild(filled.database)
    assert more() == [], "what was derived anew has not come again"
    code, _, error = call("export", "--all", "--database", filled.database.path, "--state", where)
    assert (code, "another selection" in error) == (64, True)


def test_what_is_dated_anew_comes_again(bench: Bench, gateway: Gateway) -> None:
    gateway.clock_state = ClockState.UNSET
    bench.take(gateway.describe(lines()), gateway.send([(PUBLIC, 10, 1.5, CLOCK)]))
    assert read(bench) == []
    gateway.clock_state = ClockState.SYNCHRONIZED
    earlier = gateway.send([(PUBLIC, 20, 2.5, 0)])
    gateway.clock_ms += 5
    later = gateway.send([(PUBLIC, 30, 3.5, 0)])
    bench.take(later)
    source = Source(bench.database, Selection())
    assert [r.ts_ms - OFFSET_MS for r in source.readings()] == [35, 15]
    assert source.newest is not None
    bench.take(earlier)
    again = read(bench, after=source.newest.id)
    assert sorted(r.ts_ms - OFFSET_MS for r in again) == [10, 20]
    assert sorted(r.ts_ms - OFFSET_MS for r in read(bench)) == [10, 20, 35]


@SQLITE
def test_a_state_of_a_database_that_was_restored_is_refused(filled: Bench, gateway: Gateway, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with sqlite3.connect(filled.database.path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    filled.take(gateway.send([(PUBLIC, 3000, 1.5, 0)]))
    where = tmp_path / "state.json"
    assert call("export", "--database", filled.database.path, "--state", where)[0] == 0
    code, _, error = call("export", "--database", copy, "--state", where)
    assert (code, "restored" in error) == (64, True)
    for text in ("{", "[]", '{"version": 1}', '{"version": 9, "selection": {}}'):
        where.write_text(text)
        with pytest.raises(UsageError):
            state.load(where, Selection(), Source(filled.database, Selection()))


def test_parquet(filled: Bench, gateway: Gateway, tmp_path: Path) -> None:
    dataset = pytest.importorskip("pyarrow.dataset")
    folder, where = tmp_path / "lake", tmp_path / "state.json"
    arguments = ("export", "--database", filled.database.path, "--format", "parquet", "-o", folder)
    assert call(*arguments, "--state", where)[0] == 0
    filled.take(gateway.send([(PUBLIC, 3000, 1.5, 0), (PUBLIC, DAY_MS, float("nan"), 0)]))
    assert call(*arguments, "--state", where)[0] == 0
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    assert [name.split("/")[0] for name in files] == ["date=2026-05-17", "date=2026-05-17", "date=2026-05-18"]
    table = dataset.dataset(folder, partitioning="hive").to_table().sort_by("time").to_pylist()
    assert [(row["point"], row["value"], row["exact"], row["text"], row["date"]) for row in table] == [
        ("voltage", 230.25, None, None, "2026-05-17"),
        ("said", None, None, "=cmd|'/c calc'!A1", "2026-05-17"),
        ("voltage", 2.0**60, str(2**60 + 1), None, "2026-05-17"),
        ("voltage", None, None, None, "2026-05-17"),
        ("voltage", 1.5, None, None, "2026-05-17"),
        ("voltage", None, "nan:7ff8000000000000", None, "2026-05-18"),
    ]
    assert table[0]["time"].isoformat() == "2026-05-17T06:40:01+00:00"
    code, _, error = call(*arguments)
    assert (code, "not empty" in error) == (64, True)
    assert call("export", "--database", filled.database.path, "--format", "parquet")[0] == 64


@SQLITE
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_the_state_comes_after_all_else_is_on_the_disk(
    filled: Bench, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut must not leave a state that knows of samples which no file has."""
    pytest.importorskip("pyarrow.dataset")
    synced: list[str] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        fsync(handle)
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    monkeypatch.setattr(os, "fsync", note)
    out = tmp_path / ("lake" if form == "parquet" else "out.csv")
    arguments = ("--format", form, "-o", out, "--state", tmp_path / "state", "--database", filled.database.path)
    command.main([str(word) for word in arguments], standalone_mode=False)
    parquet = {".part-0-1.parquet.new", "lake", "date=2026-05-17"}
    wanted = parquet if form == "parquet" else {".out.csv.new", tmp_path.name}
    assert (synced[-1], set(synced[:-1])) == (".state.new", wanted)


def test_places(filled: Bench) -> None:
    found = places.collection(filled.database, labels=["street"])
    assert found == {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": "gw-0017/meter1",
                "geometry": {"type": "Point", "coordinates": [-79.6, 43.5]},
                "properties": {
                    "gateway": "gw-0017",
                    "device": "meter1",
                    "asset_id": "=E-1",
                    "points": {"voltage": "V"},
                    "labels": {"street": "Main"},
                },
            }
        ],
    }
    everything = places.collection(filled.database, everything=True)["features"]
    assert everything[0]["properties"]["points"] == {"voltage": "V", "presence": ""}
    assert "labels" not in everything[0]["properties"]


def test_the_views_show_names(filled: Bench) -> None:
    assert filled.rows("SELECT time, device, point, value, quality_class FROM readings ORDER BY time LIMIT 1") == [
        ("2026-05-17T06:40:01.000Z", "meter1", "voltage", 230.25, "good")
    ]
    assert filled.rows("SELECT device, latitude FROM public_places") == [("meter1", 43.5)]


@SQLITE
def test_a_database_of_before_has_its_order_of_arrival(filled: Bench) -> None:
    before = read(filled)
    age(filled.database.path, 6)
    Database.open(filled.database.path).close()
    assert read(filled) == before
