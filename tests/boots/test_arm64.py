"""The package for a Raspberry Pi, made here and tried by an emulator of its processor."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.boots.tree import Unavailable, arm64
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EMULATOR = "qemu-aarch64-static"
PYTHON = "/opt/lamppost/bin/python3"
KERNELS = "import sys, platform, ext, pydantic_core, cbor2, dbus_fast; print(sys.prefix, platform.machine())"


def _needs(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return found


@pytest.fixture(scope="module")
def root(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of arm64 with the package unpacked."""
    assert deb.is_file()
    _needs("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")
    emulator = _needs(EMULATOR, "qemu-user-static")
    try:
        tree = arm64()
    except Unavailable as error:
        pytest.skip(str(error))
    made = subprocess.run(
        [str(ROOT / "tools" / "deb")], env={**os.environ, "ARCH": "arm64", "DEB_COMPRESS": "gzip"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("arm64") / "root"
    subprocess.run(["cp", "--archive", str(tree), str(folder)], check=True)
    subprocess.run(["dpkg-deb", "-x", str(ROOT / made.stdout.split()[-1]), str(folder)], check=True)
    shutil.copy(emulator, folder)
    return folder


def _run(root: Path, *words: str) -> str:
    command = ["chroot", str(root), f"/{EMULATOR}", "-0", PYTHON, "/usr/bin/python3", "-I", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_kernels_load(root: Path) -> None:
    assert _run(root, "-c", KERNELS).split() == ["/opt/lamppost", "aarch64"]


def test_it_makes_a_key_and_knows_its_models(root: Path) -> None:
    _run(root, "/opt/lamppost/bin/lamppost", "key", "new", "/tmp/batch.key")
    assert (root / "tmp/batch.key").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert "eastron-sdm630" in _run(root, "/opt/lamppost/bin/lamppost", "profile", "list", "--json")
