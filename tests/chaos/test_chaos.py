"""Each fault once, and the account balances; and it does not when a single sample is lost, doubled or altered."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.account import Account, Window
from tests.chaos.balance import Balance
from tests.chaos.plan import AGAIN, DATABASES, kinds, plan
from tests.chaos.stored import open_stored
from tests.conftest import ROOT
from tests.mosquitto import PATH

SECONDS, SEED = 8, 2
LOSE = "DELETE FROM samples WHERE rowid = (SELECT min(rowid) FROM samples WHERE exact IS NOT NULL)"
DOUBLE = "INSERT INTO samples SELECT * FROM samples WHERE exact IS NOT NULL LIMIT 1"
ALTER = "UPDATE samples SET exact = '7' WHERE rowid = (SELECT min(rowid) FROM samples WHERE exact IS NOT NULL)"


@pytest.mark.parametrize("database", sorted(DATABASES))
@pytest.mark.parametrize("seed", range(20))
def test_ten_minutes_have_each_fault_five_times(database: str, seed: int) -> None:
    faults = plan(600, seed, database)
    assert faults == plan(600, seed, database) != plan(600, seed + 1, database)
    assert Counter(fault.kind for fault in faults) == dict.fromkeys(kinds(database), AGAIN)
    assert max(fault.at_s + fault.seconds for fault in faults) < 600
    for lane in {fault.lane for fault in faults}:
        own = [fault for fault in faults if fault.lane == lane]
        assert all(first.at_s + first.seconds < then.at_s for first, then in pairwise(own))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a short run, and what it printed."""
    if shutil.which("mosquitto", path=PATH) is None:
        pytest.skip("mosquitto is not installed (Debian package mosquitto; see debian-packages.txt)")
    folder = tmp_path_factory.mktemp("chaos")
    words = ["--seconds", str(SECONDS), "--seed", str(SEED), "--database", "sqlite", "--json", "--folder", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_account_balances_after_each_fault(broken: tuple[Path, dict[str, Any]]) -> None:
    _, result = broken
    assert result["balanced"], result
    assert {kind: times["count"] for kind, times in result["times"].items()} == dict.fromkeys(kinds("sqlite"), 1)
    assert all(len(times["recovered"]) == 1 for times in result["times"].values())
    account = result["account"]
    assert account["committed"] == account["stored"] + account["held"] + account["ledgered"]
    assert account["stored"] > 100
    assert (account["lost"], account["doubled"], account["unclean_stops"], result["verify"]) == (0, 0, 1, 0)


def _sql(statement: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        with closing(sqlite3.connect(folder / "collector.db", isolation_level=None)) as db:
            assert db.execute(statement).rowcount == 1

    return run


def _lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        log = folder / "served.ndjson"
        log.write_text("".join(change(log.read_text().splitlines(keepends=True))))

    return run


def _another(lines: list[str]) -> list[str]:
    """Served a minute before the first one, and long before any fault of the agent."""
    row = json.loads(lines[0])
    return [*lines, json.dumps({**row, "value": 7, "utc_ms": row["utc_ms"] - 60_000}) + "\n"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("spoil", "says", "lost", "doubled"),
    [
        (_sql(LOSE), "lost: m", 1, 0),
        (_sql(DOUBLE), "stored more often than committed: m", 0, 1),
        (_sql(ALTER), "stored more often than committed: m", 1, 1),
        (_sql("INSERT INTO refusals VALUES ('signature', 3, 0, 0)"), "the collectors refused 3 messages", 0, 0),
        (_lines(lambda lines: lines[:100] + lines[108:]), "no device served: m", 0, 0),
        (_lines(_another), "served and never committed: m1/count1 = 7 at", 0, 0),
    ],
    ids=["lost", "doubled", "altered", "refused", "invented", "never committed"],
)
def test_the_account_can_fail(
    broken: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    spoil: Callable[[Path], None],
    says: str,
    lost: int,
    doubled: int,
) -> None:
    folder, result = broken
    windows = [Window(**window) for window in result["windows"]]
    copy = shutil.copytree(folder, tmp_path / "copy")
    spoil(copy)
    account: Account = Balance(copy, open_stored("sqlite", copy), windows).account
    assert not account.balanced
    assert (account.lost, account.doubled) == (lost, doubled)
    assert any(fault.startswith(says) for fault in account.faults), account.faults
