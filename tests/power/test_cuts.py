"""A hundred power cuts under load: nothing committed or acknowledged is lost, nothing comes twice, all starts work."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.power.cabinet import hindrance

CUTS = 100


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_power_cut_costs_nothing_that_was_committed() -> None:
    if reason := hindrance():
        pytest.skip(f"no disk can lose its power here: {reason}")
    command = [sys.executable, "-m", "tests.power.cuts", "--cuts", str(CUTS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["control"]["lost"], "commits that do not wait for the disk lost nothing: the test proves nothing"
    result = told["result"]
    assert {name: result[name] for name in ("lost", "twice", "corrupt", "faulty")} == {
        "lost": [], "twice": [], "corrupt": [], "faulty": [],
    }, told  # fmt: skip
    assert result["cuts"] == CUTS
    assert result["delivered"] >= result["committed"] > 1000
    assert result["acknowledged_batches"] > CUTS
    assert result["lost_sectors"] > 0
    assert done.returncode == 0
