"""The low-disk guard: on a store, and as it looks at a file system."""

import logging
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from buffer import room
from buffer import space as module
from buffer.keys import SigningKey
from buffer.space import FileSystem, Space
from buffer.store import Store
from tests.buffer.support import BOOT, GATEWAY, SERIES, block

MB = 10**6


def test_it_knows_what_the_file_system_says(tmp_path: Path) -> None:
    found = FileSystem.of(tmp_path / "buffer.db")
    said = os.statvfs(tmp_path)
    assert found.size == said.f_blocks * said.f_frsize
    assert 0 <= found.free <= found.size


def test_a_file_system_at_its_edge_is_told_of_once_and_once_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.0)
    free = [500 * MB]
    space = Space(tmp_path / "buffer.db", 80 * MB, lambda _: FileSystem(1_000 * MB, free[0]))
    seen = []
    for now in (500, 81, 80, 60, 85, 79, 90, 91, 200):
        free[0] = now * MB
        growth = space.growth()
        assert growth is not None
        seen.append((growth // MB, space.low))
    assert seen == [
        (420, False), (1, False), (0, True), (0, True), (5, True), (0, True), (10, True), (11, False), (120, False),
    ]  # fmt: skip
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


def test_nothing_is_kept_free_unless_asked_for(tmp_path: Path) -> None:
    def never(_: Path) -> FileSystem:
        raise AssertionError

    assert Space(tmp_path / "buffer.db", 0, never).growth() is None


def test_a_disk_that_cannot_say_bounds_nothing(tmp_path: Path) -> None:
    assert Space(tmp_path / "absent" / "buffer.db", MB).growth() is None


def test_a_store_on_a_disk_that_fills_up_stops_growing_and_goes_on_when_there_is_room(
    tmpfs: Callable[[int], Path], key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own limit is far; it stops where a tenth of the file system is left; then the oldest goes."""
    monkeypatch.setattr(module, "CHECK_S", 0.0)
    monkeypatch.setattr(room, "LOG_PAGES", 500)
    path = tmpfs(40 * MB) / "buffer.db"
    with closing(Store.open(path, GATEWAY, key, BOOT, size_limit=100 * MB, keep_free=100 * MB)) as store:
        fill_and_go_on(store, path)


def fill_and_go_on(store: Store, path: Path) -> None:
    store.assign(SERIES)
    grow(store, batches=2500)
    assert store.space.low
    free = FileSystem.of(path).free
    assert 4 * MB - 600_000 < free < 4 * MB + 100_000  # the log grows on beside the file
    held = store.held()
    assert sum(batch.bytes for batch in held) < 36 * MB
    assert max(batch.number for batch in held) == store.last_number  # the oldest made room
    path.with_name("ballast").write_bytes(bytes(2 * MB))
    grow(store)
    assert max(batch.number for batch in store.held()) == store.last_number
    assert FileSystem.of(path).free > 4 * MB - 600_000 - 2 * MB - 100_000  # it takes no page more
    store.acknowledge_numbers([batch.number for batch in store.held()])
    grow(store, batches=100)  # nothing delivered is needed longer than there is room
    assert len([batch for batch in store.held() if batch.samples]) == 100


def grow(store: Store, batches: int = 1000) -> None:
    """Commit 20 kB a batch."""
    for _ in range(batches):
        store.commit([block(os.urandom(20_000))], seal=True)
