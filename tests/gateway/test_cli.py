"""The command line as a technician meets it: exit codes, data on stdout, words on stderr, a remedy with each error."""

import asyncio
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from buffer.block import Block
from buffer.catalogue import SeriesDefinition
from buffer.header import Clock, ClockState, Priority
from buffer.keys import PublicKey, SigningKey
from buffer.store import Store
from ext import Packer, Series
from gateway.cli import VERBS
from tests.conftest import ROOT
from tests.gateway.process import Lone
from tests.gateway.support import BOOT, TRUTH

EX_USAGE, EX_DATAERR, EX_UNAVAILABLE, EX_IOERR, EX_CONFIG = 64, 65, 69, 74, 78  # sysexits.h

GOOD = """\
[gateway]
id = "gw-1"
site = "test"
key = "batch.key"
[buffer]
path = "buffer.db"
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = 1
[devices.lamp]
bus = "panel"
address = 7
points.level = { table = "holding", register = 12, type = "uint16" }
points.power = { table = "holding", register = 13, type = "uint16" }
"""
BAD = """\
[gateway]
id = "GW 1"
site = "test"
colour = "red"
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
[buses.odd]
driver = "telepathy"
[devices.lamp]
bus = "panle"
address = 7
every = "soon"
points.level = { table = "holding", register = 40012, type = "uint16" }
"""


def run(*words: object, **env: str) -> "subprocess.CompletedProcess[str]":
    """`lamppost` with these words."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, words)], capture_output=True, text=True, timeout=60, check=False,
        cwd=ROOT, env={**os.environ, **env},
    )  # fmt: skip


def well(done: "subprocess.CompletedProcess[str]") -> str:
    """What it printed; it must have ended well, and in words for people."""
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def failed(done: "subprocess.CompletedProcess[str]", code: int) -> str:
    """What it said on stderr; it must have ended with this code and printed nothing else."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A good configuration with its key."""
    SigningKey.create(tmp_path / "batch.key")
    path = tmp_path / "lamppost.toml"
    path.write_text(GOOD)
    return path


# check, run -----------------------------------------------------------------------------------------------------------


def test_check_counts_what_there_is(config: Path) -> None:
    assert "panel: modbus, 1 devices, 2 points in 1 reads" in well(run("check", "-c", config))
    found = json.loads(well(run("check", "-c", config, "--json")))
    assert found == {
        "ok": True, "problems": [], "warnings": [],
        "buses": [
            {"id": "panel", "driver": "modbus", "devices": 1, "points": 2, "requests": 1, "load": ANY},
        ],
    }  # fmt: skip


METERS = """
[buses.meters]
driver = "mbus"
port = "/dev/null"
baud = 300
""" + "".join(
    f"""
[devices.m{n}]
bus = "meters"
address = {n}
every = "60s"
supply = "mains"
points.energy = {{ quantity = "energy", unit = "kWh" }}
"""
    for n in range(1, 13)
)
"""Twelve: 139 bytes of 11 bits and twice half of (330 bits + 50 ms) are 6.2 s each at 300 baud, 0.8 s at 2400."""


def test_check_refuses_a_plan_that_a_bus_cannot_carry_unless_forced(config: Path) -> None:
    config.write_text(GOOD + METERS)
    text = failed(run("check", "-c", config), EX_CONFIG)
    assert f"{config}: buses.meters: this plan needs 1.3 s of every 1.0 s on bus `meters`" in text
    assert "--force" in text
    forced = run("check", "-c", config, "--force")
    assert "meters: mbus, 12 devices, 12 points in 12 reads, 125 % of the bus" in well(forced)
    assert "warning: " in forced.stderr
    assert len(json.loads(well(run("check", "-c", config, "--force", "--json")))["warnings"]) == 1
    config.write_text(GOOD + METERS.replace("300", "2400"))
    assert "in 12 reads, 16 % of the bus" in well(run("check", "-c", config))


def test_check_tells_every_problem_at_once_with_file_path_and_what_was_found(config: Path) -> None:
    config.write_text(BAD)
    done = run("check", "-c", config, "--json")
    assert done.returncode == EX_CONFIG
    problems = {problem["path"]: problem for problem in json.loads(done.stdout)["problems"]}
    assert {"gateway.id", "gateway.colour", "devices.lamp.every"} <= set(problems)
    assert {str(problem["file"]) for problem in problems.values()} == {str(config)}
    assert "GW 1" in problems["gateway.id"]["found"]
    text = failed(run("check", "-c", config), EX_CONFIG)
    assert all(path in text for path in problems)
    assert f"{len(problems)} problem" in text


def test_check_tells_what_the_drivers_find_too(config: Path) -> None:
    other = GOOD.partition("[buses.panel]")[2].replace("lamp", "sign").replace("panel", "other")
    other = "[buses.other]" + other.replace("address = 7", "address = 7\ncolour = 1")
    text = GOOD.replace("register = 12", "register = 40012")
    config.write_text(text + other + '[buses.odd]\ndriver = "telepathy"\n')
    text = failed(run("check", "-c", config), EX_CONFIG)
    assert "devices.lamp.points.level.register" in text
    assert "devices.sign.colour" in text
    assert "buses.odd.driver" in text
    assert "3 problems" in text


def test_check_tells_of_a_key_that_is_missing_and_how_to_make_one(config: Path) -> None:
    (config.parent / "batch.key").unlink()
    done = run("check", "-c", config, "--json")
    assert done.returncode == EX_CONFIG
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["path"] == "gateway.key"
    assert problem["remedy"] == f"lamppost key new {config.parent / 'batch.key'}"


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("what", ["absent", "folder", "not utf-8", "not toml", "empty"])
def test_a_configuration_that_cannot_be_read_is_told_by_name(config: Path, verb: str, what: str) -> None:
    config.unlink()
    if what == "folder":
        config.mkdir()
    elif what != "absent":
        config.write_bytes({"not utf-8": b"\xff\xfe[gateway]", "not toml": b"[gateway\nid = ", "empty": b""}[what])
    text = failed(run(verb, "-c", config), EX_CONFIG)
    assert "lamppost.toml" in text or "gateway" in text


def test_a_configuration_that_this_user_may_not_read(config: Path) -> None:
    """Root may read everything, so root gives that right away for the while of the test."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed (Debian package util-linux)")
    config.chmod(0)
    less = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*less, sys.executable, "-m", "gateway", "check", "-c", str(config)], capture_output=True, text=True,
        timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    assert "cannot be read: permission denied" in failed(done, EX_CONFIG)


@pytest.mark.parametrize("case", ["broken", "no key", "an open key", "no authority", "a key that is none"])
def test_run_does_not_start_with_what_another_start_would_find_again(config: Path, case: str) -> None:
    key = config.parent / "batch.key"
    if case == "broken":
        config.write_text(BAD)
    elif case == "no key":
        key.unlink()
    elif case == "an open key":
        key.chmod(0o644)
    elif case == "no authority":
        config.write_text(GOOD + '[uplink]\nbrokers = ["mqtt://127.0.0.1:1"]\n')
    else:
        key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    text = failed(run("run", "-c", config, "--run-dir", config.parent), EX_CONFIG)
    assert "\N{REPLACEMENT CHARACTER}" not in text
    assert {"no key": "lamppost key new", "an open key": "chmod 600", "no authority": "needs authority"}.get(
        case, "lamppost:"
    ) in text


def test_two_agents_do_not_share_a_buffer(config: Path) -> None:
    key = SigningKey.load(config.parent / "batch.key")
    with closing(Store.open(config.parent / "buffer.db", "gw-1", key, BOOT, size_limit=8_000_000)):
        done = run("run", "-c", config, "--run-dir", config.parent)
    assert done.returncode not in {0, 1}
    assert "another process has the store open" in done.stderr
    assert "Traceback" not in done.stderr


# without a daemon -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("status",), ("tail",), ("queue",), ("queue", "--save", "1", "x.batch")])
def test_without_a_daemon_a_live_verb_says_how_to_start_it(tmp_path: Path, words: tuple[str, ...]) -> None:
    text = failed(run(*words, "--run-dir", tmp_path), EX_UNAVAILABLE)
    assert str(tmp_path) in text
    assert "try: sudo systemctl start lamppost" in text


def test_the_help_names_every_verb() -> None:
    text = well(run("--help"))
    assert all(verb in text for verb in VERBS)
    for verb in VERBS:
        assert "Usage" in well(run(verb, "--help"))


@pytest.mark.parametrize(
    "words", [("fly",), ("status", "--fly"), ("verify",), ("tail", "-n", "0"), ("demo", "--account")]
)
def test_a_word_that_is_none_is_wrong_usage(words: tuple[str, ...]) -> None:
    assert "Usage" in failed(run(*words), EX_USAGE)


# key ------------------------------------------------------------------------------------------------------------------


def test_a_new_key_is_for_its_owner_alone_and_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "batch.key"
    well(run("key", "new", path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert "batch.key" in failed(run("key", "new", path), EX_CONFIG)
    assert path.read_bytes() == before
    assert "nowhere" in failed(run("key", "new", tmp_path / "nowhere" / "batch.key"), EX_CONFIG)


def test_key_show_prints_what_the_collector_reads(config: Path) -> None:
    lines = well(run("key", "show", "-c", config)).splitlines()
    assert len(lines) == 1
    assert set(json.loads(lines[0])) == {"gateway", "site", "role", "kid", "public_key"}
    public = PublicKey.from_json(lines[0])
    assert (public.gateway, public.site, public.role) == ("gw-1", "test", "batch")
    assert public.kid == SigningKey.load(config.parent / "batch.key").kid


# verify, queue on files -----------------------------------------------------------------------------------------------


class Kept:
    """A buffer with a catalogue and two batches, its public key, and one of the batches as a file."""

    def __init__(self, folder: Path) -> None:
        key = SigningKey.create(folder / "batch.key")
        self.folder, self.buffer, self.key, self.file = (
            folder, folder / "buffer.db", folder / "gateway.json", folder / "2.batch",
        )  # fmt: skip
        self.key.write_text(key.public("gw-1", "test", "batch").to_json())
        store = Store.open(self.buffer, "gw-1", key, BOOT, size_limit=8_000_000)
        with closing(store):
            (number,) = store.assign([SeriesDefinition("lamp", "level", "%", "uint16")])
            for part in range(2):
                packer, series = Packer(), Series(number)
                for at in range(5):
                    packer.append(series, 1000 * part + at, at)
                clock = Clock(BOOT, TRUTH, ClockState.SYNCHRONIZED)
                block = Block(Priority.NORMAL, clock, 5, 1000 * part, 1000 * part + 4, packer.commit(), fresh=True)
                store.commit([block], seal=True)

    def verify(self, file: Path, *words: str) -> "subprocess.CompletedProcess[str]":
        """`lamppost verify`."""
        return run("verify", file, "--key", self.key, *words)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """The files."""
    return Kept(tmp_path)


def test_a_good_buffer_and_a_good_batch_verify(kept: Kept) -> None:
    shown = json.loads(well(kept.verify(kept.buffer, "--json")))
    assert (shown["ok"], shown["batches"], shown["samples"], shown["missing"], shown["findings"]) == (
        True, 3, 10, [], [],
    )  # fmt: skip
    well(run("queue", "--buffer", kept.buffer, "--save", 2, kept.file))
    shown = json.loads(well(kept.verify(kept.file, "--json")))
    assert (shown["ok"], shown["batches"], shown["samples"]) == (True, 1, 5)
    assert "samples: 5" in well(kept.verify(kept.file))


def test_an_altered_batch_does_not_verify(kept: Kept) -> None:
    well(run("queue", "--buffer", kept.buffer, "--save", 2, kept.file))
    data = bytearray(kept.file.read_bytes())
    data[len(data) // 2] ^= 1
    kept.file.write_bytes(data)
    done = kept.verify(kept.file, "--json")
    assert done.returncode == EX_DATAERR
    assert json.loads(done.stdout)["ok"] is False
    assert "Traceback" not in done.stderr


ALTER = {
    "a block": "UPDATE blocks SET data = CAST(data || x'00' AS BLOB) WHERE id = (SELECT max(id) FROM blocks)",
    "a header": "UPDATE batches SET header = CAST(header || x'00' AS BLOB) WHERE number = 2",
    "a batch gone": "DELETE FROM batches WHERE number = 2",
}


@pytest.mark.parametrize("what", ALTER)
def test_an_altered_buffer_does_not_verify(kept: Kept, what: str) -> None:
    with closing(sqlite3.connect(kept.buffer)) as db, db:
        db.execute(ALTER[what])
    done = kept.verify(kept.buffer, "--json")
    assert done.returncode == EX_DATAERR, done.stderr
    shown = json.loads(done.stdout)
    assert shown["findings"] or shown["missing"]
    assert "Traceback" not in done.stderr


def test_another_key_does_not_verify(kept: Kept) -> None:
    other = SigningKey.create(kept.folder / "other.key").public("gw-1", "test", "batch")
    kept.key.write_text(other.to_json())
    assert kept.verify(kept.buffer).returncode == EX_DATAERR


@pytest.mark.parametrize(
    "key", [b"", b"{}", b"not json", b"\xff\xfe\x00", b'{"gateway": 1}', b"[" * 5000], ids=lambda key: str(key[:8])
)
def test_a_key_file_that_is_none_is_told_by_name(kept: Kept, key: bytes) -> None:
    kept.key.write_bytes(key)
    assert "key" in failed(kept.verify(kept.buffer), EX_CONFIG)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"hello", b"SQLite format 3\0" + b"\0" * 500])
def test_a_file_that_is_no_batch_does_not_verify(kept: Kept, data: bytes) -> None:
    kept.file.write_bytes(data)
    done = kept.verify(kept.file)
    assert done.returncode in {EX_DATAERR, EX_IOERR, EX_CONFIG}, done.stderr
    assert "Traceback" not in done.stderr


def test_queue_reads_a_buffer_without_a_daemon(kept: Kept) -> None:
    rows = json.loads(well(run("queue", "--buffer", kept.buffer, "--json")))
    assert [(row["number"], row["kind"], row["samples"], row["refused"]) for row in rows] == [
        (1, "catalogue", 0, None), (2, "batch", 5, None), (3, "batch", 5, None),
    ]  # fmt: skip
    text = well(run("queue", "--store", kept.buffer))
    assert "catalogue" in text
    assert text.splitlines()[-1] == f"3 batches, 10 samples, {sum(row['bytes'] for row in rows)} bytes"
    done = run("queue", "--buffer", kept.buffer, "--save", 99, kept.file)
    assert "batch 99 is not in" in failed(done, 70)
    kept.file.write_bytes(b"no store at all")
    assert "Traceback" not in run("queue", "--buffer", kept.file).stderr


# with a daemon --------------------------------------------------------------------------------------------------------


async def test_live_verbs_ask_the_daemon(tmp_path: Path, run_dir: Path) -> None:
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start("")
        await lone.until(lambda status: status["buffer"]["sealed"] >= 0 and status["buffer"]["committed"] > 0)
        ask: Callable[..., Any] = _asker(run_dir)
        shown = json.loads(well(await ask("status", "--json")))
        assert shown["gateway"] == "gw-lone"
        text = well(await ask("status"))
        assert "gw-lone (site-lone)" in text
        assert "light" in text
        assert "every s" in text
        assert re.search(r" of [0-9.]+ ", text), "the achieved period of the wanted one"
        assert "a power cut loses at most the last 0.2 s of samples" in text
        assert "wait for the platform" in text
        lines = well(await ask("tail", "-n", "5", "--json", "light/*")).splitlines()
        assert len(lines) == 5
        assert all(json.loads(line)["point"].startswith("light/") for line in lines)
        assert len(well(await ask("tail", "-n", "3")).splitlines()) == 3
        rows = json.loads(well(await ask("queue", "--json")))
        assert rows[0]["kind"] == "catalogue"
        assert re.search(r"^[0-9]+ batches, [0-9]+ samples, [0-9]+ bytes$", well(await ask("queue")), re.MULTILINE)
        lines = well(await ask("export", "-c", str(lone.config), "light/*", run_dir=False)).splitlines()
        assert len(lines) > 5
        assert all(",light/" in line for line in lines[1:])
        target = tmp_path / "1.batch"
        well(await ask("queue", "--save", "1", str(target)))
        public = tmp_path / "gateway.json"
        await _write(public, well(await ask("key", "show", "-c", str(lone.config), run_dir=False)))
        well(await ask("verify", str(target), "--key", str(public), run_dir=False))


def _asker(folder: Path) -> Callable[..., Any]:
    async def ask(*words: str, run_dir: bool = True) -> "subprocess.CompletedProcess[str]":
        where = ["--run-dir", str(folder)] if run_dir else []
        return await asyncio.to_thread(run, *words, *where)

    return ask


async def _write(path: Path, text: str) -> None:
    await asyncio.to_thread(path.write_text, text)
