"""What the disk is asked for: one fsync a commit, and a loop that does not feel one that stalls."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from buffer.header import Priority
from buffer.keys import SigningKey
from buffer.store import Store
from tests.buffer.support import ENTRY, block

ROOT = Path(__file__).parents[2]
STALL_MS = 1000
STALLED = 6
"""Which fsync of the store's thread: after those of opening and assigning, within a commit."""
BLOCKED_MS = 20
LATE_TRIES = 3
"""A busy machine may wake a process late; one of three runs must show that the store is not the reason."""


def _traced() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], check=False, capture_output=True).returncode == 0


needs_strace = pytest.mark.skipif(not _traced(), reason="strace is not installed, or may not trace here")


def fsyncs(work: Callable[[], object]) -> int:
    """How many fsync and fdatasync calls of this process `work` takes."""
    with tempfile.NamedTemporaryFile() as report:
        command = ["strace", "-f", "-e", "trace=fsync,fdatasync", "-o", report.name, "-p", str(os.getpid())]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            assert "attached" in tracer.stderr.readline()
            work()
            tracer.send_signal(signal.SIGINT)
        return len(re.findall(r"\bf(?:data)?sync\(", Path(report.name).read_text()))


@needs_strace
def test_a_commit_is_one_fsync_whatever_comes_with_it(store: Store) -> None:
    store.commit([block()], seal=True)  # the log has its header now

    def work() -> None:
        store.acknowledge_numbers([1, 2], 1000)
        store.floor_ms = 5
        store.commit([block()], seal=True, notes=[ENTRY])
        store.commit([block(b"c", priority=Priority.CRITICAL), block(b"n"), block(b"b", priority=Priority.BULK)])

    assert fsyncs(work) == 2


@needs_strace
def test_nothing_to_commit_asks_nothing_of_the_disk(store: Store) -> None:
    assert fsyncs(lambda: (store.commit([]), store.commit([], seal=True), store.prune(5))) == 0


@needs_strace
def test_a_disk_that_stalls_for_a_second_does_not_hold_up_the_loop(path: Path) -> None:
    SigningKey.create(path.parent / "batch.key")
    stall = ["strace", "-f", "-o", os.devnull, "-e", "trace=fdatasync,fsync"]
    stall += ["-e", f"inject=fdatasync,fsync:delay_enter={STALL_MS * 1000}:when={STALLED}"]
    for _ in range(LATE_TRIES):
        command = [*stall, sys.executable, "-m", "tests.buffer.stalling", str(path.parent)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout)
        assert row["slowest_ms"] >= STALL_MS
        if row["late_ms"] < BLOCKED_MS:
            break
    assert row["late_ms"] < BLOCKED_MS
