"""`pipx install lamppost`: the wheel brings the commands into an environment of its own, with no compiler."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def folders(deb: Path) -> list[Path]:
    """Where building the package left our wheel, and those that it needs."""
    machine = deb.stem.rpartition("_")[2]
    return [path for path in (ROOT / "build" / "deb").glob(f"wheel*-{machine}-*") if path.is_dir()]


def test_pipx_installs_the_commands(folders: list[Path], tmp_path: Path) -> None:
    """Debian's pipx and Debian's Python, from these folders and no index."""
    pip = " ".join(["--no-index", "--only-binary=:all:", *(f"--find-links={folder}" for folder in folders)])
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PIPX_HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8"}
    program = shutil.which("pipx")
    if program is None:
        pytest.skip("pipx is not installed (Debian package pipx)")
    pipx = [program, "install", "--pip-args", pip, "lamppost"]
    done = subprocess.run(pipx, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    there = tmp_path / ".local" / "bin"
    assert sorted(path.name for path in there.iterdir()) == ["lamppost", "lamppost-collector"]
    for command in there.iterdir():
        said = subprocess.run([command, "--help"], cwd="/", env=env, capture_output=True, text=True, check=True).stdout
        assert said.startswith("Usage: ")
    profiles = [str(there / "lamppost"), "profile", "list", "--json"]
    found = subprocess.run(profiles, cwd="/", env=env, capture_output=True, text=True, check=True).stdout
    assert "eastron-sdm630" in found


def test_one_wheel_an_architecture(folders: list[Path]) -> None:
    """By the stable ABI: what cibuildwheel is told to build is the one that every later Python takes too."""
    (wheel,) = [path for folder in folders for path in folder.glob("lamppost-*.whl")]
    (tag,) = re.findall(r"-(cp\d+)-abi3-", wheel.name)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]["build"]
    assert build == f"{tag}-*"
