"""What `pipx install lamppost` does: the wheel in an environment of its own gives the commands, with no compiler."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_wheel_brings_the_commands(deb: Path, tmp_path: Path) -> None:
    assert deb.is_file()
    machine = deb.stem.rpartition("_")[2]
    folders = [str(path) for path in (ROOT / "build" / "deb").glob(f"wheel*-{machine}-*") if path.is_dir()]
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    install = [str(tmp_path / "venv" / "bin" / "pip"), "install", "--quiet", "--no-index", "--only-binary=:all:"]
    done = subprocess.run([*install, *(f"--find-links={folder}" for folder in folders), "lamppost"], check=False)
    assert done.returncode == 0
    for command in ("lamppost", "lamppost-collector"):
        program = tmp_path / "venv" / "bin" / command
        said = subprocess.run([str(program), "--help"], cwd="/", capture_output=True, text=True, check=True).stdout
        assert said.startswith("Usage: ")
    profiles = subprocess.run(
        [str(tmp_path / "venv" / "bin" / "lamppost"), "profile", "list", "--json"], cwd="/", capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip
    assert "eastron-sdm630" in profiles
    wheel = next(path for folder in folders for path in Path(folder).glob("lamppost-*.whl"))
    assert "-cp311-abi3-" in wheel.name
