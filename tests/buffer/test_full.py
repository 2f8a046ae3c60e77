"""A full store, a full disk: nothing half done, and all goes on when there is room."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from buffer import chain
from buffer.errors import StoreFull
from buffer.header import Priority
from buffer.keys import PublicKey, SigningKey
from buffer.store import MIN_SIZE, Store
from tests.buffer.support import BOOT, ENTRY, GATEWAY, SERIES, SIZE, Open, ack_of, block

CHUNK = 20_000


def fill(store: Store, *, seal: bool = True) -> list[bytes]:
    """Commit, each block a batch, until there is no room; what was committed. Without `seal` the last stays open."""
    kept: list[bytes] = []
    with pytest.raises(StoreFull, match="no room"):  # noqa: PT012
        while True:
            data = len(kept).to_bytes(4, "big") + os.urandom(CHUNK)
            store.commit([block(data, at=len(kept))], seal=seal)
            kept.append(data)
    return kept


def bytes_on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))


@pytest.fixture
def small(open_store: Open) -> Store:
    """A store that is soon full."""
    store = open_store(size=MIN_SIZE)
    store.assign(SERIES)
    return store


def test_a_full_store_keeps_what_it_has(small: Store, path: Path, public: PublicKey, open_store: Open) -> None:
    kept = fill(small)
    assert len(kept) > 20
    assert bytes_on_disk(path) <= MIN_SIZE
    with pytest.raises(StoreFull):
        small.commit([block(b"small"), block(bytes(CHUNK), priority=Priority.BULK)])
    assert small.open_samples == 0
    report = chain.verify_store(path, public)
    assert (report.ok, report.samples, report.last) == (True, len(kept), len(kept) + 1)
    small.close()
    assert len(open_store(size=MIN_SIZE).held()) == len(kept) + 1


def test_a_full_store_still_seals_accounts_and_frees(small: Store) -> None:
    kept = fill(small, seal=False)
    small.note(ENTRY)
    small.boot_clock = block().clock
    small.refuse(2, "why not")
    assert len(small.seal()) == 1
    assert small.last_number == len(kept) + 1
    small.note(ENTRY)
    assert small.seal() == [len(kept) + 2]
    assert len(small.acknowledge(ack_of(small, small.last_number))) == len(kept) + 2


def test_delivered_history_makes_room(small: Store, public: PublicKey, path: Path) -> None:
    kept = fill(small)
    small.acknowledge(ack_of(small, small.last_number))
    assert small.message(2)
    more = fill(small)
    assert len(more) > len(kept) // 2
    assert [held.number for held in small.held()] == list(range(len(kept) + 2, len(kept) + 2 + len(more)))
    assert chain.verify_store(path, public).ok
    assert bytes_on_disk(path) <= MIN_SIZE


def test_a_full_disk_is_told_and_outlived(
    tmpfs: Callable[[int], Path], key: SigningKey, template: Path, public: PublicKey
) -> None:
    path = Path(shutil.copy(template, tmpfs(600_000) / "buffer.db"))
    store = Store.open(path, GATEWAY, key, BOOT, size_limit=SIZE)
    try:
        store.assign(SERIES)
        ballast = path.with_name("ballast")
        ballast.write_bytes(bytes(200_000))
        kept = fill(store)
        assert kept
        with pytest.raises(StoreFull, match=r"No space left|no room") as caught:
            store.commit([block(bytes(CHUNK))])
        assert caught.value.filename == str(path)
        assert [batch.samples for batch in store.held()] == [0] + [1] * len(kept)
        ballast.unlink()
        store.commit([block(bytes(CHUNK))], seal=True)
        assert chain.verify_store(path, public).samples == len(kept) + 1
    finally:
        store.close()


def test_opening_on_a_full_disk_is_a_clear_error(tmpfs: Callable[[int], Path], key: SigningKey, template: Path) -> None:
    folder = tmpfs(100_000)
    path = Path(shutil.copy(template, folder / "buffer.db"))
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):  # noqa: PT012
        while True:
            file.write(bytes(1000))
    with pytest.raises(OSError, match=r"buffer\.db"):
        Store.open(path, GATEWAY, key, BOOT, size_limit=SIZE)
    ballast.unlink()
    Store.open(path, GATEWAY, key, BOOT, size_limit=SIZE).close()
