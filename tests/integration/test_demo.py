"""The demo as a newcomer runs it; its account finds what is missing and what is there twice."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

CONTRACT = {
    "sampled", "committed", "delivered", "verified", "lost", "duplicated", "uncommitted", "refused", "batches",
    "kills", "outages", "seconds",
}  # fmt: skip


def lamppost(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gateway", *words], capture_output=True, text=True, timeout=120, check=False
    )


def account(folder: Path) -> tuple[int, dict[str, Any], str]:
    done = lamppost("demo", "--account", "--folder", str(folder), "--json")
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A demo with an outage and a kill that has been played."""
    folder = tmp_path_factory.mktemp("demo") / "folder"
    done = lamppost("demo", "--seconds", "16", "--outage", "4", "--kill", "--web", "--json", "--folder", str(folder))
    return folder, done


@pytest.fixture
def copy(played: tuple[Path, object], tmp_path: Path) -> Callable[[str], Path]:
    """`copy(sql)`: the demo's folder again, with the collector's database changed by `sql`."""

    def make(sql: str) -> Path:
        folder = tmp_path / "folder"
        shutil.copytree(played[0], folder, ignore=shutil.ignore_patterns("*.sock"))
        with closing(sqlite3.connect(folder / "collector.db")) as db, db:
            db.create_function("altered", 1, lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:])
            db.execute(sql)
        return folder

    return make


def test_the_demo_balances(played: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    folder, done = played
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout.splitlines()[-1])
    assert set(line) == CONTRACT
    assert (line["lost"], line["duplicated"], line["refused"]) == (0, 0, 0)
    assert (line["kills"], line["outages"]) == (1, 1)
    assert line["verified"] == line["batches"] > 2
    assert line["delivered"] == line["committed"] >= line["sampled"] - line["uncommitted"] > 300
    assert re.search(r"the technician's page, good for one login:\n  http://127\.0\.0\.1:\d+/#[\w-]{22}\n", done.stderr)
    code, again, _ = account(folder)
    assert code == 0
    assert {**again, "seconds": 0} == {**line, "seconds": 0}


def test_every_device_is_in_the_account(played: tuple[Path, object]) -> None:
    devices = {"meter", "light", "wind", "weather", "place", "power", "gas"}
    devices |= {"bin", "room"} if shutil.which("dbus-daemon") else set()
    said = [json.loads(line)["point"] for line in (played[0] / "devices.ndjson").read_text().splitlines()]
    assert {point.partition("/")[0] for point in said} == devices
    query = "SELECT DISTINCT device FROM samples JOIN series ON series.id = samples.series WHERE quality = 0"
    with closing(sqlite3.connect(played[0] / "collector.db")) as db:
        assert {device for (device,) in db.execute(query)} == devices | {"gateway"}


def test_the_street_light_is_dimmed_from_the_platform(
    played: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    folder, done = played
    assert "verified: the light says 40 after" in done.stderr
    assert "audit: the demo, by the key of operator: verified; proved by batch" in done.stderr
    with closing(sqlite3.connect(folder / "collector.db")) as db:
        ((status, finished_ms),) = db.execute("SELECT status, finished_ms FROM command_results").fetchall()
    assert status == "verified"
    said = [json.loads(line) for line in (folder / "devices.ndjson").read_text().splitlines()]
    later = {
        float(row["value"]) for row in said if row["point"] == "light/level" and row["utc_ms"] > finished_ms + 1000
    }
    assert later == {40}


def test_a_row_that_is_missing_is_found(copy: Callable[[str], Path]) -> None:
    code, line, told = account(copy("DELETE FROM samples WHERE rowid = (SELECT max(rowid) / 2 FROM samples)"))
    assert (code, line["lost"], line["duplicated"]) == (1, 1, 0)
    assert "lost" in told


def test_a_row_that_is_there_twice_is_found(copy: Callable[[str], Path]) -> None:
    twice = "INSERT INTO samples SELECT * FROM samples WHERE rowid = (SELECT max(rowid) / 2 FROM samples)"
    code, line, _ = account(copy(twice))
    assert (code, line["lost"], line["duplicated"]) == (1, 0, 1)


def test_one_lost_and_another_doubled_do_not_cancel_out(copy: Callable[[str], Path]) -> None:
    swap = (
        "UPDATE samples SET (series, ts_ms, value, exact, text, quality, batch) ="
        " (SELECT series, ts_ms, value, exact, text, quality, batch FROM samples WHERE rowid = 7) WHERE rowid = 9"
    )
    code, line, _ = account(copy(swap))
    assert (code, line["lost"], line["duplicated"]) == (1, 1, 1)


def test_a_batch_that_is_missing_is_found(copy: Callable[[str], Path]) -> None:
    code, _, told = account(copy("DELETE FROM batches WHERE number = 3"))
    assert code == 1
    assert "batches 3 to 3 are missing" in told


def test_a_batch_that_was_altered_is_found(copy: Callable[[str], Path]) -> None:
    code, line, _ = account(copy("UPDATE batches SET bytes = altered(bytes) WHERE number = 3"))
    assert code == 1
    assert line["verified"] == line["batches"] - 1
