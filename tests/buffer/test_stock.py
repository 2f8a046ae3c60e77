"""What a store holds, in sum."""

import os
from pathlib import Path

import pytest

from buffer.delivery import Backlog
from buffer.stock import Oldest, Stock, disk_bytes
from buffer.store import Store
from buffer.wear import BLOCK_DEVICES, DeviceCounter, ProcessCounter, Wear, WearMeter, counter_for
from tests.buffer.support import CLOCK, ENTRY, Open, block


def test_a_new_store_holds_its_catalogue(store: Store, path: Path) -> None:
    (catalogue,) = store.held()
    assert store.stock() == Stock(disk_bytes(path), Backlog(1, 0, catalogue.bytes, 0))
    assert disk_bytes(path) >= path.stat().st_size


def test_held_delivered_and_noted_are_told_apart(store: Store) -> None:
    for at in (1_000, 2_000, 3_000, 4_000):
        store.commit([block(b"%d" % at, at=at, samples=5)], seal=True)
    sizes = {held.number: held.bytes for held in store.held()}
    store.acknowledge_numbers([1, 2, 3], 1_700_000_000_000)
    store.refuse(4, "why")
    store.note(ENTRY)
    store.commit([block(at=9_000)])
    found = store.stock()
    assert found.held == Backlog(2, 10, sizes[4] + sizes[5], 1)
    assert found.history == Backlog(3, 10, sizes[1] + sizes[2] + sizes[3], 0)
    assert found.oldest == Oldest(4, CLOCK, 3_000)
    assert found.ledger == 1
    for at in range(10):  # the newest blocks are never pruned
        store.commit([block(at=10_000 + at)])
    store.prune(1 << 60)
    kept = store.stock().history
    assert (kept.batches, kept.samples) == (1, 0)  # the catalogue: held batches name it


class Counted:
    """A counter that is set by hand."""

    name = "mmcblk0"
    count = 0
    error: OSError | None = None

    def read(self) -> int:
        if self.error is not None:
            raise self.error
        return self.count


def test_what_is_written_adds_up_over_the_lives_of_a_store(open_store: Open) -> None:
    counter = Counted()
    counter.count = 5_000_000  # of before, since the boot
    store = open_store()
    assert store.ask(Wear.kept) == Wear(0, 0)
    meter = WearMeter(counter, store.ask(Wear.kept), now_ms=10_000)
    counter.count += 700
    assert meter.total(13_000) == Wear(700, 3_000)
    store.change(meter.total(13_000).keep)
    store.close()
    counter.count = 90  # another boot
    store = open_store()
    meter = WearMeter(counter, store.ask(Wear.kept), now_ms=500)
    counter.count = 100
    assert meter.total(600) == Wear(710, 3_100)
    counter.error = OSError("gone")
    assert meter.total(700) == Wear(710, 3_200)


def test_the_device_of_a_partition_is_the_whole_card(tmp_path: Path) -> None:
    """The line is of Documentation/block/stat.rst's form: write sectors stand seventh, of 512 bytes each."""
    device = tmp_path.stat().st_dev
    card = tmp_path / "devices" / "mmcblk0"
    (card / "mmcblk0p2").mkdir(parents=True)
    (card / "mmcblk0p2" / "partition").write_text("2\n")
    for folder, sectors in ((card, 2000), (card / "mmcblk0p2", 1500)):
        (folder / "stat").write_text(f"  10 1 80 20 300 4 {sectors} 50 0 60 70\n")
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    (nodes / f"{os.major(device)}:{os.minor(device)}").symlink_to(card / "mmcblk0p2")
    counter = counter_for(tmp_path / "buffer.db", nodes)
    assert (counter.name, counter.read()) == ("mmcblk0", 2000 * 512)


def test_where_no_device_is_seen_the_process_counts_itself(tmp_path: Path) -> None:
    counter = counter_for(tmp_path / "buffer.db", tmp_path / "none")
    assert isinstance(counter, ProcessCounter)
    before = counter.read()
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    if tmp_path.stat().st_dev == Path("/dev/shm").stat().st_dev:
        pytest.skip("memory is no storage: nothing is counted")
    assert counter.read() - before >= 1 << 20


def test_a_real_device_counts() -> None:
    found = [folder for folder in BLOCK_DEVICES.glob("*") if (folder / "stat").exists()]
    if not found:
        pytest.skip("no block device is seen here")
    assert DeviceCounter(found[0].resolve()).read() >= 0
