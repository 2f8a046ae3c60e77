"""kill -9 in mid-commit: what was said to be committed is there, once."""

import random
import subprocess
import sys
import time
from pathlib import Path

from buffer import batch, chain
from buffer.header import Priority
from buffer.keys import SigningKey
from buffer.reader import Reader
from buffer.store import Store
from tests.buffer.support import BOOT, GATEWAY, SIZE

ROOT = Path(__file__).parents[2]


def killed_after(path: Path, key: Path, first: int, seconds: float) -> list[int]:
    """The numbers that the process said before it was killed."""
    command = [sys.executable, "-m", "tests.buffer.committer", str(path), str(key), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(seconds)
        process.kill()
        lines += process.stdout.read().split(b"\n")[:-1]
    return [int(line) for line in lines if line.strip()]


def blocks_of(path: Path, key: SigningKey) -> list[int]:
    public = key.public(GATEWAY, "nord", "batch")
    found: list[int] = []
    with Reader(path) as reader:
        snapshot = reader.snapshot()
        for kept in reader.batches():
            made = batch.decode(kept.message, public)
            if made.header.samples:
                found += [int.from_bytes(data[:4], "big") for data in made.blocks]
    for part in snapshot.unsealed:
        assert part.priority is Priority.NORMAL
        found += [int.from_bytes(data[:4], "big") for data in part.blocks]
    return found


def test_nothing_that_was_committed_is_lost_by_a_kill(path: Path, tmp_path: Path) -> None:
    key = SigningKey.create(tmp_path / "key")
    said: list[int] = []
    kept: list[int] = []
    for _ in range(5):
        first = kept[-1] + 1 if kept else 1
        said += killed_after(path, tmp_path / "key", first, random.uniform(0.02, 0.3))
        kept = blocks_of(path, key)
        assert kept == list(range(1, kept[-1] + 1))
        assert said[-1] <= kept[-1] <= said[-1] + 1
        said = kept
    store = Store.open(path, GATEWAY, key, BOOT, size_limit=SIZE)
    store.close()
    assert chain.verify_store(path, key.public(GATEWAY, "nord", "batch")).ok
