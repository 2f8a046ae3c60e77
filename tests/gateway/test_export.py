"""Samples of a store as text: exact, dated, harmless; beside the daemon and from a copy."""

import base64
import csv
import io
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer.block import Block
from buffer.catalogue import SeriesDefinition
from buffer.header import Clock, ClockState, Priority
from buffer.reader import Reader
from buffer.store import Store
from ext import GOOD, LIMITS, NO_ANSWER, SENTINEL, Packer, Series, Value
from ext.cells import FORMULA, cell
from gateway.cli.export import When
from gateway.keeping.formats import WRITERS
from gateway.keeping.history import History, Sample, Selection
from tests.gateway.support import BOOT, GATEWAY, KEY, TRUTH
from tests.gateway.test_cli import EX_DATAERR, EX_USAGE, failed, run, well

OTHER_BOOT = bytes(range(16, 32))
SET = Clock(BOOT, TRUTH, ClockState.SYNCHRONIZED)
UNSET = Clock(BOOT, 0, ClockState.UNSET)
POINTS = ("level", "word", "flag")
MOMENT = "2026-09-21T14:13:21.000Z"
"""TRUTH + 1000 ms, by `date -u -d @1790000001`"""


class Shelf:
    """A store that takes samples by name."""

    def __init__(self, path: Path, *, boot: bytes = BOOT, size: int = 8_000_000) -> None:
        self.path = path
        self.store = Store.open(path, GATEWAY, KEY, boot, size_limit=size, now_ms=lambda: 0)
        numbers = self.store.assign(
            [SeriesDefinition("lamp", point, "%" if point == "level" else "", "any") for point in POINTS]
        )
        self.series = dict(zip(POINTS, numbers, strict=True))

    def put(
        self, samples: Sequence[tuple[str, int, Value, int]], clock: Clock = SET, *, seal: bool = True,
        priority: Priority = Priority.NORMAL,
    ) -> None:  # fmt: skip
        """Commit (point, boot_ms, value, quality) as a batch of their own."""
        packer = Packer()
        for point, boot_ms, value, quality in samples:
            assert packer.append(Series(self.series[point]), boot_ms, value, quality)
        times = [boot_ms for _, boot_ms, _, _ in samples]
        block = Block(priority, clock, len(samples), min(times), max(times), packer.commit(), fresh=True)
        self.store.commit([block], seal=seal)


@pytest.fixture
def shelf(tmp_path: Path) -> Any:
    """An open store."""
    made = Shelf(tmp_path / "buffer.db")
    yield made
    made.store._release()


def samples(path: Path, **choice: Any) -> list[Sample]:
    """What `History` gives out."""
    with Reader(path) as reader:
        return list(History(reader, Selection(**choice)).samples())


def text(form: str, found: Sequence[Sample]) -> str:
    """What a writer makes of it."""
    out = io.StringIO(newline="")
    writer = WRITERS[form](out, GATEWAY)
    for sample in found:
        writer.write(sample)
    writer.close()
    return out.getvalue()


def one(value: Value, quality: int = GOOD, utc_ms: int | None = TRUTH + 1_000) -> Sample:
    """A sample of one point."""
    return Sample("lamp/level", "%", value, quality, "synchronized", BOOT, 1_000, utc_ms)


# What is in the store -------------------------------------------------------------------------------------------------


def test_delivered_waiting_and_unsealed_samples_come_in_the_order_of_the_batches(shelf: Shelf) -> None:
    for at in range(1, 40):
        shelf.put([("level", 1_000 * at, at, GOOD)])
    shelf.store.acknowledge_numbers(range(1, 20))
    shelf.put([("word", 90_000, "on", LIMITS), ("level", 90_000, None, NO_ANSWER)], seal=False)
    found = samples(shelf.path)
    assert [(s.point, s.value, s.utc_ms) for s in found[:-2]] == [
        ("lamp/level", at, TRUTH + 1_000 * at) for at in range(1, 40)
    ]
    assert [(s.point, s.value, s.quality, s.unit) for s in found[-2:]] == [
        ("lamp/word", "on", LIMITS, ""), ("lamp/level", None, NO_ANSWER, "%"),
    ]  # fmt: skip


def test_points_and_times_are_chosen(shelf: Shelf) -> None:
    for at in range(10):
        shelf.put([("level", 1_000 * at, at, GOOD), ("word", 1_000 * at + 500, "x", GOOD)])
    assert [s.value for s in samples(shelf.path, points=("lamp/l*",))] == list(range(10))
    assert samples(shelf.path, points=("lamp", "level")) == []
    found = samples(shelf.path, since_ms=TRUTH + 3_500, until_ms=TRUTH + 5_500)
    assert [(s.value, s.boot_ms) for s in found] == [("x", 3_500), (4, 4_000), ("x", 4_500), (5, 5_000)]


def test_a_boot_is_dated_by_its_first_clock_and_else_marked(tmp_path: Path) -> None:
    path = tmp_path / "buffer.db"
    shelf = Shelf(path, boot=OTHER_BOOT)
    never = Clock(OTHER_BOOT, 0, ClockState.UNSET)
    shelf.put([("level", 7, 1, GOOD)], never)
    shelf.store.close()
    shelf = Shelf(path)
    shelf.put([("level", 1_000, 2, GOOD)], UNSET)
    shelf.put([("level", 2_000, 3, GOOD)], Clock(BOOT, TRUTH, ClockState.HOLDOVER))
    shelf.put([("level", 3_000, 4, GOOD)])
    found = samples(path)
    assert [(s.value, s.clock, s.boot, s.boot_ms, s.utc_ms) for s in found] == [
        (1, "unset", OTHER_BOOT, 7, None), (2, "later", BOOT, 1_000, TRUTH + 1_000),
        (3, "holdover", BOOT, 2_000, TRUTH + 2_000), (4, "synchronized", BOOT, 3_000, TRUTH + 3_000),
    ]  # fmt: skip
    with Reader(path) as reader:
        history = History(reader, Selection(since_ms=0))
        assert [s.value for s in history.samples()] == [2, 3, 4]
        assert history.told.undated == 1
    shelf.store.close()


def test_a_damaged_batch_is_told_of_and_the_others_are_there(shelf: Shelf) -> None:
    for at in range(1, 4):
        shelf.put([("level", 1_000 * at, at, GOOD)])
    shelf.store.close()
    with closing(sqlite3.connect(shelf.path)) as db, db:
        db.execute("UPDATE blocks SET data = CAST(data || x'00' AS BLOB) WHERE first_ms = 2000")
    with Reader(shelf.path) as reader:
        history = History(reader, Selection())
        assert [s.value for s in history.samples()] == [1, 3]
        (line,) = history.told.damaged
    assert line.startswith("batch 3: ")
    shown = run("export", "--store", shelf.path)
    assert shown.returncode == EX_DATAERR
    assert "damaged: batch 3" in shown.stderr
    assert len(shown.stdout.splitlines()) == 3


def test_series_are_named_by_the_catalogue_of_their_batch(shelf: Shelf) -> None:
    shelf.put([("level", 1_000, 1, GOOD)])
    numbers = shelf.store.assign([SeriesDefinition("lamp", "level", "lm", "any")])
    shelf.series["level"] = numbers[0]
    shelf.put([("level", 2_000, 2, GOOD)])
    assert [(s.value, s.unit) for s in samples(shelf.path)] == [(1, "%"), (2, "lm")]


# The forms ------------------------------------------------------------------------------------------------------------

EXACT: list[tuple[Value, str, str, str | None]] = [  # value, in CSV, in NDJSON, in SenML
    (Decimal("21.50"), "21.50", "21.50", '"v": 21.50'),
    (Decimal("9007199254740993.5"), "9007199254740993.5", "9007199254740993.5", '"v": 9007199254740993.5'),
    (Decimal("-0.0"), "-0.0", "-0.0", '"v": -0.0'), (Decimal("1E+30"), "1E+30", "1E+30", '"v": 1E+30'),
    (2**63 + 1, "9223372036854775809", "9223372036854775809", '"v": 9223372036854775809'),
    (0.1, "0.1", "0.1", '"v": 0.1'), (True, "true", "true", '"vb": true'), (None, "", "null", None),
    (math.nan, "nan", '"nan"', None), (-math.inf, "-inf", '"-inf"', None), ("on", "on", '"on"', '"vs": "on"'),
    ("=1+1", "'=1+1", '"=1+1"', '"vs": "=1+1"'), ("a\x1b[2J", "a\\u001b[2J", '"a\\u001b[2J"', '"vs": "a\\u001b[2J"'),
    (b"\xfb\xff", "fbff", '"fbff"', '"vd": "-_8"'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "in_csv", "in_json", "in_senml"), EXACT, ids=lambda value: repr(value)[:20])
def test_every_value_is_exact_in_every_form(value: Value, in_csv: str, in_json: str, in_senml: str | None) -> None:
    _, row = csv.reader(io.StringIO(text("csv", [one(value)])))
    assert row == [MOMENT, "lamp/level", in_csv, "%", "good", "synchronized", BOOT.hex(), "1000"]
    line = text("ndjson", [one(value)])
    assert f'"value": {in_json}, ' in line
    found = json.loads(line, parse_float=Decimal)
    assert list(found) == ["time", "point", "value", "unit", "quality", "clock", "boot", "boot_ms"]
    pack = text("senml", [one(value)])
    json.loads(pack)
    assert (in_senml is None) == (json.loads(pack) == [])
    assert in_senml is None or in_senml in pack


def test_a_pack_resolves_to_names_and_times() -> None:
    """The rules of RFC 8428, 4.6: base name and name are joined, base time and time added."""
    pack = json.loads(text("senml", [one(1), one(2, LIMITS, TRUTH + 250), one(3, utc_ms=TRUTH + 90_500)]))
    assert [set(record) for record in pack] == [{"bn", "bt", "n", "u", "v", "t"}] + [{"n", "u", "v", "t"}] * 2
    first = pack[0]
    resolved = [(first["bn"] + record["n"], first["bt"] + record["t"], record["v"]) for record in pack]
    name = f"lamppost:{GATEWAY}/lamp/level"
    assert resolved == [(name, 1790000001, 1), (name, 1790000000.25, 2), (name, 1790000090.5, 3)]
    assert first["bt"] >= 2**28  # 4.5.3: below it a time is relative to now
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-:./_")
    assert set(name) <= allowed  # 4.5.1


def test_senml_leaves_out_what_it_cannot_say_and_counts_it() -> None:
    out = io.StringIO()
    writer = WRITERS["senml"](out, GATEWAY)
    for sample in (one(None, NO_ANSWER), one(7, SENTINEL), one(7, utc_ms=None), one(math.nan), one(math.inf), one(7)):
        writer.write(sample)
    writer.close()
    assert len(json.loads(out.getvalue())) == writer.written == 1
    assert writer.left_out == {
        "without a value": 1, "of bad quality": 1, "without a time": 1, "not a finite number": 2,
    }  # fmt: skip


def test_a_sample_without_a_time_says_so() -> None:
    (row,) = csv.DictReader(io.StringIO(text("csv", [one(7, utc_ms=None)])))
    assert (row["time"], row["boot"], row["boot_ms"]) == ("", BOOT.hex(), "1000")
    assert json.loads(text("ndjson", [one(7, utc_ms=None)]))["time"] is None


@given(st.text())
def test_no_text_becomes_a_formula_or_steers_a_terminal(said: str) -> None:
    shown = cell(said)
    assert shown.isprintable() or not shown
    assert not shown.startswith(tuple(FORMULA)) or shown.startswith("'")
    body = shown.removeprefix("'")
    assert body.encode("raw_unicode_escape").decode("unicode_escape") == said
    rows = list(csv.reader(io.StringIO(text("csv", [one(said)]))))
    assert rows[1][2] == shown
    assert json.loads(text("ndjson", [one(said)]))["value"] == said


# The command ----------------------------------------------------------------------------------------------------------


def test_a_copy_is_read_and_the_forms_agree(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put([("level", 1_000, Decimal("21.5"), GOOD), ("flag", 1_000, True, GOOD)])
    shelf.store.close()
    aside = tmp_path / "aside" / "buffer.db.20261123T120000Z"
    aside.parent.mkdir()
    shutil.copy(shelf.path, aside)
    rows = list(csv.DictReader(io.StringIO(well(run("export", "--store", aside)))))
    assert [(row["time"], row["point"], row["value"]) for row in rows] == [
        (MOMENT, "lamp/level", "21.5"), (MOMENT, "lamp/flag", "true"),
    ]  # fmt: skip
    lines = well(run("export", "--store", aside, "--format", "ndjson", "lamp/flag")).splitlines()
    assert [json.loads(line)["value"] for line in lines] == [True]
    target = tmp_path / "pack.json"
    done = run(
        "export", "--store", aside, "--format", "senml", "-o", target, "--since", "2026-09-21", "--until", MOMENT
    )
    assert well(done) == ""
    assert json.loads(target.read_text()) == []
    assert "0 samples" in done.stderr
    well(run("export", "--store", aside, "--format", "senml", "-o", target, "--since", MOMENT))
    assert len(json.loads(target.read_text())) == 2
    assert [path.name for path in tmp_path.iterdir() if ".part" in path.name] == []


def test_a_store_on_a_disk_that_is_read_only_is_read(shelf: Shelf, tmpfs: Callable[[int], Path]) -> None:
    """A card in a reader, its switch at lock."""
    shelf.put([("level", 1_000, 5, GOOD)])
    shelf.store.close()
    folder = tmpfs(20_000_000)
    shutil.copy(shelf.path, folder / "buffer.db")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    assert well(run("export", "--store", folder / "buffer.db")).count("\n") == 2


def test_what_is_no_store_and_no_time_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, this is no store\n" * 99)
    done = run("export", "--store", tmp_path / "text")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    text_ = failed(run("export", "--store", tmp_path / "text", "--since", "yesterday"), EX_USAGE)
    assert "is no time; such are 24h (ago)" in text_


def test_times_are_utc_unless_they_say() -> None:
    convert: Callable[[str], int] = lambda value: When().convert(value, None, None)  # noqa: E731
    assert convert("2026-09-21T14:13:20") == TRUTH
    assert convert("2026-09-21T10:13:20-04:00") == TRUTH
    assert convert("2026-09-21") == TRUTH - (14 * 3600 + 13 * 60 + 20) * 1000
    assert convert("1h") - convert("2h") in range(3_599_000, 3_601_000)


def test_it_disturbs_no_writer_and_reads_a_moment(shelf: Shelf) -> None:
    """Commits and acknowledgements go on during an export; it ends with what there was when it began."""
    for at in range(60):
        shelf.put([("level", at, at, GOOD)])
    begun = threading.Event()
    found: list[Value] = []

    def read() -> None:
        with Reader(shelf.path) as reader:
            for sample in History(reader, Selection()).samples():
                found.append(sample.value)
                if not begun.is_set():
                    begun.set()

    reading = threading.Thread(target=read)
    reading.start()
    assert begun.wait(20)
    for at in range(60, 100):
        shelf.put([("level", at, at, GOOD)])
        shelf.store.acknowledge_numbers([at - 58])
    reading.join()
    assert found == list(range(60))


def test_large_batches_are_read_one_by_one_and_memory_stays(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """No read transaction takes more than a page, whatever the batches are, and no more than some are in memory."""
    monkeypatch.setattr("buffer.reader.PAGE_BYTES", 1 << 19)
    values = [os.urandom(30_000) for _ in range(16)]  # more is more work than a batch may be
    for at in range(5):
        shelf.put([("word", 100 * at + n, value, GOOD) for n, value in enumerate(values)])
    with Reader(shelf.path) as reader:
        sizes = [held.bytes for held in reader.held()]
        assert max(sizes) > 1 << 18
        assert len(reader._page(2, None)) == 1
        tracemalloc.start()
        assert sum(1 for _ in History(reader, Selection()).samples()) == 80
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 6 * max(sizes)


def test_a_reader_that_goes_away_is_no_error(shelf: Shelf) -> None:
    for at in range(30):
        shelf.put([("word", 1_000 * at + n, "x" * 200, GOOD) for n in range(50)])
    shelf.store.close()
    command = [sys.executable, "-m", "gateway", "export", "--store", str(shelf.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_bytes_are_base64_of_the_urls_alphabet() -> None:
    """RFC 4648, 5: the two characters that differ, and no padding."""
    (record,) = json.loads(text("senml", [one(b"\xfb\xef\xff\x00")]))
    assert "=" not in record["vd"]
    assert base64.urlsafe_b64decode(record["vd"] + "==") == b"\xfb\xef\xff\x00"


def test_thinned_samples_come_out_under_the_names_of_their_statistics(tmp_path: Path) -> None:
    """Ten minutes of a point, a sample each second, thinned to the minute; what is not thinned comes as it is."""
    shelf = Shelf(tmp_path / "buffer.db")
    values = {1_000 * n: Decimal(n * n * 7919 % 100_003) / 100 for n in range(600)}
    shelf.put([("level", at, value, GOOD) for at, value in values.items()], priority=Priority.BULK)
    for at in range(10):
        shelf.put([("word", 700_000 + at, "on", GOOD)])
    assert shelf.store._make_room()
    shelf.store.close()
    lines = well(run("export", "--store", shelf.path, "--format", "ndjson", "lamp/level*")).splitlines()
    found = {(row["point"], row["boot_ms"]): row["value"] for row in map(json.loads, lines)}
    minutes = [[values[at] for at in range(start, start + 60_000, 1_000)] for start in range(0, 600_000, 60_000)]
    for minute, inside in enumerate(minutes):
        expected = {"min": min(inside), "max": max(inside), "mean": sum(inside) / 60, "count": 60}
        for statistic, value in expected.items():
            assert found.pop((f"lamp/level.{statistic}", minute * 60_000)) == pytest.approx(float(value), rel=1e-12)
    assert found == {}
    words = well(run("export", "--store", shelf.path, "--format", "csv", "lamp/word")).splitlines()
    assert len(words) == 11


def test_queue_says_what_is_not_as_usual_with_a_batch(shelf: Shelf) -> None:
    """One thinned, one set aside."""
    shelf.put([("level", 1_000 * n, Decimal(n * n * 7919 % 100_003) / 100, GOOD) for n in range(600)],
              priority=Priority.BULK)  # fmt: skip
    for at in range(10):
        shelf.put([("word", 700_000 + at, "on", GOOD)])
    assert shelf.store._make_room()
    shelf.store.refuse(5, "samples: not for me")
    rows = {row["number"]: row for row in json.loads(well(run("queue", "--store", shelf.path, "--json")))}
    assert [row["thinned_s"] for row in rows.values() if row["thinned_s"]] == [60]
    assert (rows[5]["refused"], rows[5]["salvaged"], rows[5]["thinned_s"]) == ("samples: not for me", False, None)
    shown = well(run("queue", "--store", shelf.path))
    assert "thinned to 60 s" in shown
    assert "set aside: samples: not for me" in shown
    assert shown.splitlines()[-1].endswith("bytes, 1 of them set aside")
