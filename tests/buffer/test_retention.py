"""A store of one megabyte through a long outage: what is left covers all of it."""

import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from buffer import batch, catalogue, chain
from buffer.block import Block
from buffer.cose import Kind
from buffer.errors import StoreCorrupt, UnknownBatch
from buffer.header import MAX_LEDGER, Header, Priority
from buffer.keys import PublicKey, SigningKey
from buffer.reader import Reader
from buffer.recovery import set_aside
from buffer.salvage import salvage
from buffer.spool import Spool
from buffer.stock import MadeRoom
from buffer.store import MIN_SIZE, Store
from ext import Packer, Series, unpack
from tests.buffer.support import CLOCK, ENTRY, GATEWAY, SERIES, Open

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


def altered(path: Path, number: int) -> None:
    """One byte of the first block of a batch is another."""
    with closing(sqlite3.connect(path)) as db, db:
        db.create_function("altered", 1, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
        block = "(SELECT first_block FROM batches WHERE number = ?)"
        assert db.execute(f"UPDATE blocks SET data = altered(data) WHERE id = {block}", (number,)).rowcount == 1  # noqa: S608


def sealed(store: Store, public: PublicKey) -> dict[int, batch.Batch]:
    """What is held, by number."""
    return {one.number: batch.decode(store.message(one.number), public) for one in store.held()}


@pytest.mark.parametrize("thinned", [False, True])
def test_a_damaged_batch_gives_way_to_an_account_of_it(
    store: Store, path: Path, public: PublicKey, thinned: bool
) -> None:
    live(store, 4)
    if thinned:
        assert store._make_room()
        store._told([])
    before = sealed(store, public)
    number = next(n for n, made in before.items() if made.header.samples and bool(made.header.window_ms) == thinned)
    altered(path, number)
    store.write_off(number)
    store.write_off(number)
    with pytest.raises(UnknownBatch):
        store.message(number)
    made = store.seal() or store._told([])
    assert made == [max(before) + 1]
    after = sealed(store, public)
    assert after.keys() == before.keys() - {number} | set(made)
    header, was = after[made[0]].header, before[number].header
    assert header.ledger[0].reason == "damaged on disk"
    assert header.claimed == header.ledger[0].samples == (was.claimed if thinned else was.samples)
    assert header.replaces[-1].last == number
    assert chain.verify_store(path, public).ok
    assert store.backlog().refused == 0


def test_a_damaged_row_takes_nothing_else_with_it(store: Store, path: Path, public: PublicKey) -> None:
    """Where its blocks are is wrong."""
    live(store, 1)
    before = sealed(store, public)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE batches SET last_block = last_block + 2 WHERE number = 3")
    with pytest.raises(StoreCorrupt):
        store.message(3)
    store.write_off(3)
    store.write_off(3)
    assert [held.refused for held in store.held() if held.number == 3] == ["damaged on disk"]
    (told,) = store.seal()
    (entry,) = batch.decode(store.message(told), public).header.ledger
    assert entry.samples == before[3].header.samples
    assert all(store.message(number) for number in before if number != 3)


def test_what_took_the_place_of_others_is_salvaged(
    store: Store, path: Path, key: SigningKey, public: PublicKey
) -> None:
    live(store, 8)
    fill(store, 30, Priority.CRITICAL)
    assert store._make_room()
    assert store._make_room()
    thinned = [n for n, made in sealed(store, public).items() if made.header.window_ms]
    pieces = store.split(thinned[0], 4096)
    plain = next(n for n, made in sealed(store, public).items() if made.header.samples > 1 and not made.header.replaces)
    pieces += store.split(plain, 4096)
    store._retention._free_critical(store._memory, ())
    held = sealed(store, public)
    altered(path, thinned[1])
    altered(path, pieces[-1])
    store._release()
    aside = set_aside(path)
    report = salvage(path, aside, GATEWAY, key)
    spool = Spool(path)
    found = {batch.decode(spool.message(one.number), public).header.number: one for one in spool.held()}
    assert found.keys() == held.keys() - {thinned[1], pieces[-1]}
    for number, one in found.items():
        assert batch.decode(spool.message(one.number), public).hash == held[number].hash
        assert one.kind == held[number].header.kind
        assert one.priority == held[number].header.priority
    spool.close()
    statistics, piece = held[thinned[1]].header, held[pieces[-1]].header
    assert report.samples == sum(held[number].header.samples for number in found)
    assert report.lost_samples == statistics.claimed + piece.samples
    assert [entry.reason for entry in report.lost if entry in statistics.ledger] == ["thinned to 60 s"]


def test_what_was_thinned_and_evicted_is_counted_once(open_store: Open, public: PublicKey) -> None:
    """Thinned again and accounts made one count nothing anew."""
    store = open_store(size=MIN_SIZE)
    store.assign(SERIES)
    assert store.stock().made_room == MadeRoom()
    committed = live(store, HOURS)
    held = sealed(store, public).values()
    told = store.stock().made_room
    assert told.thinned + sum(made.header.samples for made in held if not made.header.window_ms) == committed
    assert told.evicted == sum(made.header.claimed for made in held if made.header.replaces and not made.header.samples)
    assert {one.thinned_ms for one in store.held()} == {made.header.window_ms for made in held}
    while store._make_room():
        pass
    held = sealed(store, public).values()
    told = store.stock().made_room
    left = sum(made.header.samples if not made.header.window_ms else made.header.claimed for made in held
               if made.header.samples)  # fmt: skip
    assert told.evicted == committed - left > 0


def test_a_split_of_thinned_batches_leaves_the_statistics_of_a_window_together(
    open_store: Open, public: PublicKey
) -> None:
    store = open_store(size=MIN_SIZE)
    store.assign(SERIES)
    live(store, 30)
    store.seal()
    thinned = next(
        one.number
        for one in store.held()
        if batch.decode(store.message(one.number), public).header.window_ms and one.samples > 40
    )
    whole = unpack(batch.decode(store.message(thinned), public).blocks)
    pieces = [unpack(batch.decode(store.message(number), public).blocks) for number in store.split(thinned, 1200)]
    assert len(pieces) > 2
    assert [sample for piece in pieces for sample in piece] == whole
    for piece in pieces:
        assert {Counter(at for _, at, _, _ in piece)[at] % 4 for _, at, _, _ in piece} == {0}  # count, min, mean, max


def test_points_of_which_only_the_mean_was_kept_are_thinned_as_well(open_store: Open, public: PublicKey) -> None:
    """A window of the edge may keep some statistics only: no others come of them."""
    store = open_store(size=MIN_SIZE)
    means = [replace(one, point=f"{one.point}.mean") for one in SERIES[:2]]
    assert store.assign(means) == [1, 2]
    live(store, 30)
    held = [batch.decode(store.message(one.number), public) for one in store.held()]
    numbers = {sample[0] for one in held if one.header.window_ms for sample in unpack(one.blocks)}
    assert numbers == {1, 2}
