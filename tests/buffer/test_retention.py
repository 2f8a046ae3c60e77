"""A store of one megabyte through a long outage: what is left covers all of it."""

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from buffer import batch, catalogue, chain
from buffer.block import Block
from buffer.cose import Kind
from buffer.header import MAX_LEDGER, Header, Priority
from buffer.keys import PublicKey
from buffer.reader import Reader
from buffer.store import MIN_SIZE, Store
from ext import Packer, Series, unpack
from tests.buffer.support import CLOCK, ENTRY, SERIES, Open

HOURS = 72
MINUTE_MS = 60_000


def live(store: Store, hours: int) -> int:
    """Two noisy points every second, a batch every ten minutes, and nobody takes them; how many samples."""
    rng = random.Random(4)
    series = [Series(1), Series(2)]
    count = 0
    for start in range(0, hours * 60 * MINUTE_MS, 10 * MINUTE_MS):
        packer = Packer()
        for at in range(start, start + 10 * MINUTE_MS, 1000):
            for one in series:
                packer.append(one, at, rng.random())
        block = Block(Priority.BULK, CLOCK, packer.samples, start, start + 10 * MINUTE_MS - 1000, packer.commit(), True)
        store.commit([block], seal=True)
        count += block.samples
    return count


def span(header: Header) -> tuple[int, int]:
    if header.lost:
        entry = header.ledger[0]
        return entry.from_ms, entry.to_ms or 0
    return header.first_ms, header.last_ms


def test_a_long_outage_leaves_a_coarse_time_not_one_sharp_day(open_store: Open, public: PublicKey) -> None:
    store = open_store(size=MIN_SIZE)
    store.assign(SERIES)
    committed = live(store, HOURS)
    held = [batch.decode(store.message(one.number), public) for one in store.held()]
    data = sorted((span(found.header), found.header.window_ms, found) for found in held if found.header.samples)
    assert data[0][0][0] == 0, "from its first second"
    assert data[-1][0][1] == HOURS * 60 * MINUTE_MS - 1000, "to its last"
    assert all(after[0][0] - before[0][1] == 1000 for before, after in pairwise(data)), "without a hole"
    windows = [window for _, window, _ in data]
    assert windows == sorted(windows, reverse=True), "the older the coarser"
    assert {0, MINUTE_MS} <= set(windows)
    raw = sum(found.header.samples for _, window, found in data if not window)
    lost = sum(found.header.lost for _, _, found in data)
    assert raw + lost == committed
    kinds = [catalogue.decode(found.blocks) for found in held if found.header.kind is Kind.CATALOGUE]
    names = {line.number: line.point for lines in kinds for line in lines}
    _, window, oldest = data[0]
    means = [at for number, at, _, _ in unpack(oldest.blocks) if names[number] == "voltage.mean"]
    assert all(after - before == window for before, after in pairwise(means))


def test_what_does_not_get_smaller_is_evicted(open_store: Open, public: PublicKey) -> None:
    """One long text an hour: no window sums it up."""
    store = open_store(size=MIN_SIZE)
    store.assign(SERIES)
    rng = random.Random(5)
    for hour in range(60):
        packer = Packer()
        packer.append(Series(1), hour * 60 * MINUTE_MS, rng.randbytes(30_000))
        at = hour * 60 * MINUTE_MS
        store.commit([Block(Priority.BULK, CLOCK, 1, at, at, packer.commit(), True)], seal=True)
    held = [batch.decode(store.message(one.number), public).header for one in store.held()]
    assert {found.window_ms for found in held} == {0}
    (account,) = (found for found in held if found.replaces)
    assert account.ledger[0].reason == "evicted: no room"
    assert account.claimed + sum(found.samples for found in held) == 60


def test_entries_that_wait_are_bounded(store: Store, public: PublicKey) -> None:
    for at in range(500):
        store.note(replace(ENTRY, from_ms=at, to_ms=at + 1, samples=1, reason=f"reason {at % 2}"))
    entries = []
    while sealed := store.seal():
        entries += [e for number in sealed for e in batch.decode(store.message(number), public).header.ledger]
    assert len(entries) == MAX_LEDGER
    assert sum(entry.samples or 0 for entry in entries) == 500
    assert max(entry.to_ms or 0 for entry in entries) == 500


def fill(store: Store, count: int, priority: Priority = Priority.NORMAL) -> None:
    """One sample and one batch each."""
    for at in range(count):
        packer = Packer()
        packer.append(Series(1), at, at)
        store.commit([Block(priority, CLOCK, 1, at, at, packer.commit(), fresh=True)], seal=True)


def test_what_a_delivered_account_replaced_is_not_missing(store: Store, path: Path, public: PublicKey) -> None:
    """Batch 2 is under way while the account of those behind it is delivered and pruned."""
    fill(store, 20)
    store.in_flight = {2}
    assert store._make_room()
    account = store.last_number
    replaced = batch.decode(store.message(account), public).header.replaces
    store.acknowledge_numbers([1, account], 1)
    fill(store, 9)
    store.prune(1 << 60)
    with Reader(path) as reader:
        assert account in [number for number, _, _ in reader.dropped()]
    report = chain.verify_store(path, public)
    assert (report.missing, report.findings) == ((), ())
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM batches WHERE number = ?", (account - 1,))
    report = chain.verify_store(path, public)
    assert report.missing == ((account - 1, account - 1),), "what nobody replaced is"
    store.acknowledge_numbers([2], 1)
    store.flush()
    store.prune(1 << 60)
    report = chain.verify_store(path, public)
    assert replaced[0].first == 3
    assert report.missing == ((account - 1, account - 1),)
