"""A cut, or a disk that is full, at any moment of an update: a whole version is there in the end."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.gateway.update_cuts import NEW, OLD

EACH = os.environ.get("LAMPPOST_UPDATE_CUTS_EACH", "14")
"""Every moment (1) takes three minutes."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="dpkg unpacks as root"),
]


@pytest.mark.parametrize(
    ("how", "kind", "ends"),
    [
        ("cut", "good", {f"{OLD} lost", f"{OLD} refused", f"{NEW} installed"}),
        ("cut", "bad", {f"{OLD} lost", f"{OLD} refused", f"{OLD} taken-back"}),
        ("full", "bad", {f"{OLD} lost", f"{OLD} refused", f"{OLD} untested", f"{OLD} taken-back"}),
    ],
)
def test_a_whole_version_is_there_in_the_end(
    tmp_path: Path, how: str, kind: str, ends: set[str], program: Callable[[str, str], str]
) -> None:
    program("dpkg-deb", "dpkg")
    words = [sys.executable, "-m", "tests.gateway.update_cuts", str(tmp_path), how, kind, EACH]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {line.partition(" ")[2] for line in done.stdout.splitlines()}
    assert found <= ends
    assert {f"{OLD} taken-back", f"{NEW} installed"} & found
