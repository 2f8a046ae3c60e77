"""A full store, a full disk: nothing half done, and all goes on when there is room."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from buffer import batch, chain
from buffer.errors import StoreFull
from buffer.header import Priority
from buffer.keys import PublicKey, SigningKey
from buffer.store import MIN_SIZE, Store
from tests.buffer.support import BOOT, ENTRY, GATEWAY, SERIES, SIZE, Open, ack_of, block

CHUNK = 20_000


def fill(store: Store, *, seal: bool = True) -> list[bytes]:
    """Commit, each block a batch, until something had to go; what was committed. Without `seal` the last stays open."""
    kept: list[bytes] = []
    while not any(held.samples == 0 and held.kind == "batch" for held in store.held()):
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


def test_a_full_store_keeps_the_newest_and_accounts_for_the_rest(
    small: Store, path: Path, public: PublicKey, open_store: Open
) -> None:
    kept = fill(small)
    assert len(kept) > 20
    for at in range(len(kept), len(kept) + 30):
        kept.append(os.urandom(CHUNK))
        small.commit([block(kept[-1], at=at)], seal=True)
        assert bytes_on_disk(path) <= MIN_SIZE
    report = chain.verify_store(path, public)
    assert report.ok
    assert report.last == small.last_number
    held = [batch.decode(small.message(held.number), public) for held in small.held()]
    there = [found.blocks[0] for found in held if found.header.samples]
    assert there == kept[-len(there) :]
    assert len(there) > 20
    (account,) = (found.header for found in held if found.header.replaces)
    (entry,) = account.ledger
    lost = len(kept) - len(there)
    assert (entry.from_ms, entry.to_ms, entry.samples, entry.reason) == (0, lost - 1, lost, "evicted: no room")
    assert account.claimed == lost
    small.close()
    assert len(open_store(size=MIN_SIZE).held()) == len(held)


def test_what_no_eviction_makes_room_for_is_refused(small: Store) -> None:
    huge = bytes(os.urandom(200_000))
    small.commit([block(huge)])
    small.commit([block(huge, fresh=False)])
    small.commit([block(huge, fresh=False)])
    with pytest.raises(StoreFull, match="no room"):
        small.commit([block(huge, fresh=False)])
    assert small.open_samples == 3
    small.note(ENTRY)
    small.boot_clock = block().clock
    assert len(small.seal()) == 1
    small.note(ENTRY)
    assert len(small.seal()) == 1
    assert len(small.acknowledge(ack_of(small, small.last_number))) == 3


def test_critical_batches_go_last_and_those_set_aside_first(small: Store) -> None:
    small.commit([block(os.urandom(CHUNK), priority=Priority.CRITICAL)], seal=True)
    small.commit([block(os.urandom(CHUNK))], seal=True)
    small.commit([block(os.urandom(CHUNK))], seal=True)
    small.refuse(4, "why not")
    order: list[int] = []
    there = {2, 3, 4}
    while there:
        small.commit([block(os.urandom(CHUNK // 4), priority=Priority.CRITICAL)], seal=True)
        gone = there - {held.number for held in small.held()}
        order += sorted(gone)
        there -= gone
    assert order == [4, 3, 2]


def test_what_is_in_flight_goes_last(small: Store) -> None:
    small.commit([block(os.urandom(CHUNK))], seal=True)
    small.commit([block(os.urandom(CHUNK), priority=Priority.CRITICAL)], seal=True)
    small.in_flight = frozenset({2})
    fill(small)
    while 3 in {held.number for held in small.held()}:
        small.commit([block(os.urandom(CHUNK), priority=Priority.CRITICAL)], seal=True)
    assert 2 in {held.number for held in small.held()}


def test_delivered_history_makes_room(small: Store, public: PublicKey, path: Path) -> None:
    for at in range(25):
        small.commit([block(os.urandom(CHUNK), at=at)], seal=True)
    small.acknowledge(ack_of(small, small.last_number))
    assert small.message(2)
    for at in range(25):
        small.commit([block(os.urandom(CHUNK), at=at)], seal=True)
    assert all(held.samples for held in small.held()), "nothing is evicted"
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
        kept = 0
        with pytest.raises(StoreFull, match="no room"):  # noqa: PT012
            while True:
                store.commit([block(os.urandom(CHUNK))], seal=True)
                kept += 1
        assert kept
        with pytest.raises(StoreFull, match=r"No space left|no room") as caught:
            store.commit([block(bytes(CHUNK))])
        assert caught.value.filename == str(path)
        assert [batch.samples for batch in store.held()] == [0] + [1] * kept, "a fault that passes costs no data"
        ballast.unlink()
        store.commit([block(bytes(CHUNK))], seal=True)
        assert chain.verify_store(path, public).samples == kept + 1
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
