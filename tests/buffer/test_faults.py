"""System calls that fail or stall under a real store in a process of its own: what failed is done again, once."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from buffer import chain
from buffer.keys import SigningKey
from tests.buffer.support import GATEWAY
from tests.buffer.test_kill import blocks_of
from tests.conftest import ROOT

COUNT = 120

FAULTS = {
    "sync fails": ("fdatasync", "error=EIO:when=30..60"),
    "one sync fails": ("fdatasync", "error=EIO:when=40"),
    "no room": ("pwrite64", "error=ENOSPC:when=200..260"),
    "write fails": ("pwrite64", "error=EIO:when=150..180"),
    "every fortieth write fails": ("pwrite64", "error=EIO:when=100+40"),
    "read-only file system": ("pwrite64", "error=EROFS:when=150..180"),
    "the disk stalls": ("fdatasync", "delay_enter=200000:when=20..24"),
}


def injected(call: str, fault: str, *files: Path) -> list[str]:
    """A command line that lets a system call of what follows fail, by strace; on `files` only when there are any."""
    only = [word for file in files for word in ("-P", str(file))]
    return ["strace", "-f", "-qq", "-o", "/dev/null", *only, "-e", f"trace={call}", "-e", f"inject={call}:{fault}"]


def stubborn(path: Path, key: Path, count: int = COUNT) -> list[str]:
    """The command line of the process."""
    return [sys.executable, "-m", "tests.buffer.stubborn", str(path), str(key), str(count)]


@pytest.mark.parametrize("name", FAULTS)
def test_what_the_disk_did_not_take_is_there_once_when_it_does(
    path: Path, tmp_path: Path, program: Callable[[str, str], str], name: str
) -> None:
    program("strace", "strace")
    key = SigningKey.create(tmp_path / "key")
    call, fault = FAULTS[name]
    command = injected(call, fault) + stubborn(path, tmp_path / "key")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    if "ptrace" in done.stderr.lower():
        pytest.skip(f"no process may be traced here: {done.stderr.strip()[-200:]}")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line for line in lines if line.startswith("committed")] == [f"committed {n}" for n in range(1, COUNT + 1)]
    faults = [line for line in lines if line.startswith("fault")]
    assert bool(faults) is fault.startswith("error="), lines[-5:]
    assert blocks_of(path, key) == list(range(1, COUNT + 1))
    report = chain.verify_store(path, key.public(GATEWAY, "nord", "batch"))
    assert report.ok


def test_a_file_that_cannot_be_read_now_is_no_damaged_file(
    path: Path, tmp_path: Path, program: Callable[[str, str], str]
) -> None:
    program("strace", "strace")
    SigningKey.create(tmp_path / "key")
    words = stubborn(path, tmp_path / "key", 10)
    done = subprocess.run(
        injected("pread64", "error=EIO", path) + words, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "buffer.errors.StoreError: [Errno 5] SQLITE_IOERR" in done.stderr
    assert subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.endswith("failures 0\n")
