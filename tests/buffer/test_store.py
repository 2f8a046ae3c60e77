"""Commit, seal, number, chain, assign, acknowledge, prune: each with the errors it has."""

from dataclasses import replace

import pytest

from buffer import batch, catalogue
from buffer.ack import Ack
from buffer.batch import batch_hash
from buffer.block import MAX_STEP_MS, Block
from buffer.catalogue import SeriesDefinition
from buffer.cose import Kind
from buffer.errors import AckReason, AckRefused, BatchBoundary, BatchFormatError, UnknownBatch
from buffer.header import MAX_LEDGER, NO_HASH, Clock, ClockState, Priority
from buffer.keys import PublicKey
from buffer.store import Store
from tests.buffer.support import CLOCK, ENTRY, OTHER_BOOT, SERIES, Open, ack_of, block

NOW = 1_800_000_000_000


def headers_of(store: Store, public: PublicKey) -> list[batch.Batch]:
    return [batch.decode(store.message(held.number), public) for held in store.held()]


def test_a_new_store_has_a_stream_and_a_catalogue(store: Store, public: PublicKey) -> None:
    (first,) = headers_of(store, public)
    assert len(store.stream) == 16
    assert any(store.stream)
    assert (first.header.kind, first.header.number, first.header.previous) == (Kind.CATALOGUE, 1, NO_HASH)
    assert (first.header.priority, first.header.samples, first.header.stream) == (Priority.CRITICAL, 0, store.stream)
    assert catalogue.decode(first.blocks) == tuple(d.numbered(n + 1) for n, d in enumerate(SERIES))
    assert first.hash == store.catalogue_hash


def test_blocks_become_a_batch(store: Store, public: PublicKey) -> None:
    assert store.commit([block(b"one", at=5, samples=2)]) == []
    assert store.commit([block(b"two", at=9, samples=3, fresh=False)]) == []
    assert store.open_samples == 5
    assert store.seal(Priority.NORMAL) == [2]
    first, found = headers_of(store, public)
    assert found.blocks == (b"one", b"two")
    header = found.header
    assert (header.number, header.previous, header.catalogue) == (2, first.hash, first.hash)
    assert (header.samples, header.first_ms, header.last_ms) == (5, 5, 9)
    assert (header.boot, header.clock_ms, header.clock_state) == (CLOCK.boot, CLOCK.clock_ms, CLOCK.state)
    assert store.open_samples == 0


def test_priorities_have_a_batch_each_and_one_numbering(store: Store, public: PublicKey) -> None:
    for at in range(3):
        store.commit([block(b"%a%d" % (p.value, at), at=at, fresh=at == 0, priority=p) for p in Priority])
    assert store.seal() == [2, 3, 4]
    found = headers_of(store, public)[1:]
    assert [f.header.priority for f in found] == list(Priority)
    for batch_, priority in zip(found, Priority, strict=True):
        assert batch_.blocks == tuple(b"%a%d" % (priority.value, at) for at in range(3))


def test_a_fresh_block_seals_what_is_open(store: Store) -> None:
    store.commit([block()])
    assert store.commit([block(), block(fresh=False, priority=Priority.NORMAL)]) == [2]
    assert store.commit([block(fresh=False)], seal=True) == [3]
    assert [held.samples for held in store.held()] == [0, 1, 3]


def test_message_is_the_same_at_every_call_and_in_every_life(store: Store, open_store: Open) -> None:
    store.commit([block(b"x" * n, fresh=n == 1) for n in (1, 23, 24, 255, 256, 65_536)])
    (number,) = store.seal()
    message = store.message(number)
    assert store.message(number) == message
    store.close()
    again = open_store()
    assert again.message(number) == message
    catalogue_hash = again.catalogue_hash
    assert catalogue_hash is not None
    assert again.find(catalogue_hash) == 1
    assert again.find(batch_hash(message)) is None  # a platform asks for catalogues only


@pytest.mark.parametrize("number", [0, 2, -1, 1 << 62])
def test_unknown_numbers_are_named(store: Store, number: int) -> None:
    with pytest.raises(UnknownBatch, match=f"no batch of number {number} is kept"):
        store.message(number)


STEPPED = replace(CLOCK, clock_ms=CLOCK.clock_ms - MAX_STEP_MS - 1)


@pytest.mark.parametrize("clock", [STEPPED, replace(CLOCK, state=ClockState.HOLDOVER), replace(CLOCK, boot=OTHER_BOOT)])
def test_a_batch_has_one_clock(store: Store, clock: Clock) -> None:
    store.commit([block()])
    with pytest.raises(BatchBoundary, match="the clock changed within a normal batch"):
        store.commit([block(fresh=False), block(fresh=False, clock=clock)])
    assert store.open_samples == 1
    assert store.commit([block(clock=clock)]) == [2]


def test_a_small_step_is_no_other_clock(store: Store, public: PublicKey) -> None:
    store.commit([block(), block(fresh=False, clock=replace(CLOCK, clock_ms=CLOCK.clock_ms + MAX_STEP_MS))])
    store.seal()
    assert headers_of(store, public)[1].header.clock_ms == CLOCK.clock_ms


def test_a_block_that_continues_nothing_is_refused(store: Store) -> None:
    with pytest.raises(BatchBoundary, match="no normal batch is open"):
        store.commit([block(fresh=False)])
    store.commit([block()])
    store.seal()
    with pytest.raises(BatchBoundary, match="no normal batch is open"):
        store.commit([block(fresh=False)])


def test_a_batch_never_outgrows_a_message(store: Store, public: PublicKey) -> None:
    half = batch.MAX_BLOCK_BYTES // 2
    store.commit([block(bytes(half)), block(bytes(half - 10), fresh=False)])
    with pytest.raises(BatchBoundary, match="no room in the open normal batch"):
        store.commit([block(b"one more", fresh=False)])
    (number,) = store.seal()
    assert len(batch.decode(store.message(number), public).blocks) == 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (block(b""), "a block has 1 to"),
        (block(bytes(batch.MAX_BLOCK_BYTES + 1)), "a block has 1 to"),
        (block(samples=0), "at least one sample, this one 0"),
        (block(at=-1), "times are wrong: -1"),
        (Block(Priority.NORMAL, CLOCK, 1, 9, 8, b"x", fresh=True), "times are wrong: 9 to 8"),
        (block(clock=replace(CLOCK, boot=b"short")), "clock is wrong"),
    ],
)
def test_bad_blocks_are_named_and_nothing_is_kept(store: Store, bad: Block, message: str) -> None:
    with pytest.raises(BatchFormatError, match=message):
        store.commit([block(), bad])
    assert store.open_samples == 0


def test_samples_need_a_catalogue(open_store: Open) -> None:
    with pytest.raises(BatchFormatError, match="assign series first"):
        open_store().commit([block()])


def test_nothing_to_do_writes_nothing(store: Store) -> None:
    assert store.commit([]) == store.commit([], seal=True) == store.seal() == store.seal(Priority.BULK) == []


def test_series_numbers_are_kept_and_never_reused(store: Store, open_store: Open) -> None:
    changed = replace(SERIES[0], unit="mV")
    assert store.assign([changed, SERIES[1]]) == [3, 2]
    store.close()
    again = open_store()
    assert again.assign([SeriesDefinition("new", "p", "", "f"), changed]) == [4, 3]
    assert again.assign(SERIES) == [1, 2]


def test_a_catalogue_is_made_only_when_the_set_differs(store: Store, open_store: Open) -> None:
    assert store.assign(SERIES) == [1, 2]
    assert store.assign(SERIES[::-1]) == [2, 1]
    store.close()
    again = open_store()
    again.assign(SERIES)
    assert again.last_number == 1
    again.assign(SERIES[:1])
    assert again.last_number == 2


def test_a_new_catalogue_ends_the_open_batches(store: Store, public: PublicKey) -> None:
    store.commit([block()])
    store.assign(SERIES[:1])
    store.commit([block()])
    store.seal()
    first, old, second, new = headers_of(store, public)
    assert [f.header.kind for f in (first, old, second, new)] == ["catalogue", "batch", "catalogue", "batch"]
    assert (old.header.catalogue, new.header.catalogue) == (first.hash, second.hash)


def test_a_point_defined_twice_changes_nothing(store: Store) -> None:
    with pytest.raises(BatchFormatError, match="a point of the catalogue is not there once only"):
        store.assign([*SERIES, replace(SERIES[0], unit="mV")])
    assert store.last_number == 1
    assert store.assign([replace(SERIES[1], unit="Wh")]) == [3]


def filled(store: Store, batches: int) -> None:
    for at in range(batches):
        store.commit([block(b"%d" % at, at=at)], seal=True)


def test_acknowledgements_are_unions(store: Store) -> None:
    filled(store, 9)  # numbers 1 to 10
    assert store.acknowledge(ack_of(store, 0)) == []
    assert store.acknowledge(ack_of(store, 2, (5, 6), (9, 9))) == [1, 2, 5, 6, 9]
    assert store.acknowledge(ack_of(store, 1, (5, 5))) == []
    assert [held.number for held in store.held()] == [3, 4, 7, 8, 10]
    assert store.acknowledge(ack_of(store, 7, (1, 4))) == [3, 4, 7]
    assert store.acknowledge(ack_of(store, 10)) == [8, 10]
    assert store.held() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gateway": "gw-0018"}, AckReason.GATEWAY),
        ({"stream": bytes(16)}, AckReason.STREAM),
        ({"hash": b"?" * 32}, AckReason.HASH),
        ({"cumulative": 5}, AckReason.NEVER_SENT),
        ({"ranges": ((1, 2, b"?" * 32),)}, AckReason.HASH),
        ({"ranges": ((3, 5, b"?" * 32),)}, AckReason.NEVER_SENT),
    ],
)
def test_an_acknowledgement_of_something_else_frees_nothing(
    store: Store, change: dict[str, object], reason: AckReason
) -> None:
    filled(store, 3)
    ack: Ack = replace(ack_of(store, 2, (4, 4)), **change)  # type: ignore[arg-type]
    with pytest.raises(AckRefused, match=str(reason)) as caught:
        store.acknowledge(ack)
    assert caught.value.reason is reason
    assert len(store.held()) == 4


def test_puback_frees_by_number(store: Store) -> None:
    filled(store, 2)
    assert store.acknowledge_numbers([3, 1, 99]) == [3, 1]
    assert store.acknowledge_numbers([3, 1]) == store.acknowledge_numbers([]) == []
    assert [held.number for held in store.held()] == [2]


def test_a_refused_batch_stays_held_and_says_why(store: Store) -> None:
    filled(store, 1)
    store.refuse(2, "signature")
    assert [held.refused for held in store.held()] == [None, "signature"]
    assert store.acknowledge(ack_of(store, 2)) == [1, 2]


def test_history_is_kept_until_it_is_pruned(store: Store) -> None:
    filled(store, 20)
    store.acknowledge_numbers(range(1, 11), NOW)
    store.acknowledge_numbers(range(11, 13), NOW + 10)
    assert store.prune(NOW) == 0
    assert store.message(2)
    assert store.prune(NOW + 1) == 9  # the catalogue stays
    with pytest.raises(UnknownBatch):
        store.message(2)
    assert store.message(1)
    assert store.message(11)
    assert [held.number for held in store.held()] == list(range(13, 22))


def test_an_acknowledgement_of_pruned_numbers_still_works(store: Store) -> None:
    filled(store, 20)
    late = ack_of(store, 2, (6, 8))
    right, wrong = ack_of(store, 9), replace(ack_of(store, 9), hash=b"?" * 32)
    store.acknowledge_numbers([2, *range(6, 13)], NOW)
    assert store.prune(NOW + 1) == 8
    assert store.acknowledge(late) == [1]
    with pytest.raises(AckRefused, match="another hash"):
        store.acknowledge(wrong)
    assert store.acknowledge(right) == [3, 4, 5]
    assert [held.number for held in store.held()] == list(range(13, 22))


def test_catalogues_in_use_are_never_pruned(store: Store) -> None:
    store.commit([block()])
    store.assign(SERIES[:1])
    filled(store, 12)
    store.acknowledge_numbers([1, 3, *range(4, 16)], NOW)  # number 2 uses catalogue 1, and is held
    store.prune(NOW + 1)
    assert store.message(1)
    store.acknowledge_numbers([2], NOW)
    store.prune(NOW + 1)
    store.prune(NOW + 1)
    assert store.message(3)
    with pytest.raises(UnknownBatch):
        store.message(1)


def test_numbers_and_chain_go_on_after_everything_was_pruned(store: Store, open_store: Open, public: PublicKey) -> None:
    filled(store, 30)
    last = batch_hash(store.message(31))
    store.acknowledge(ack_of(store, 31))
    store.prune(NOW * 2)
    store.close()
    again = open_store()
    assert again.commit([block(b"next")], seal=True) == [32]
    found = batch.decode(again.message(32), public)
    assert (found.header.previous, found.blocks) == (last, (b"next",))


def test_ledger_goes_into_the_next_batch_and_only_there(store: Store, open_store: Open, public: PublicKey) -> None:
    store.note(ENTRY)
    store.close()
    again = open_store()
    filled(again, 2)
    assert [f.header.ledger for f in headers_of(again, public)] == [(), (ENTRY,), ()]


def test_ledger_is_delivered_without_data(store: Store, public: PublicKey) -> None:
    entries = [replace(ENTRY, samples=n, reason=f"reason {n}") for n in range(MAX_LEDGER + 1)]
    for entry in entries:
        store.note(entry)
    assert (store.seal(), store.seal(), store.seal()) == ([2], [3], [])
    _, first, second = headers_of(store, public)
    assert first.header.ledger + second.header.ledger == tuple(entries)
    assert (first.header.samples, first.header.priority, first.blocks) == (0, Priority.NORMAL, ())


def test_a_bad_ledger_entry_is_refused_at_once(store: Store) -> None:
    with pytest.raises(BatchFormatError, match="reason of a ledger entry"):
        store.note(replace(ENTRY, reason=""))
    assert store.seal() == []


def test_floor_only_rises_and_persists(store: Store, open_store: Open) -> None:
    store.floor_ms = 500
    store.floor_ms = 400
    assert store.floor_ms == 500
    store.close()
    assert open_store().floor_ms == 500


def test_the_clock_of_a_boot_persists_for_that_boot(store: Store, open_store: Open, public: PublicKey) -> None:
    assert store.boot_clock is None
    store.boot_clock = CLOCK
    store.close()
    again = open_store()
    assert again.boot_clock == CLOCK
    again.note(ENTRY)
    (number,) = again.seal()
    assert batch.decode(again.message(number), public).header.clock_ms == CLOCK.clock_ms
    again.close()
    assert open_store(boot=OTHER_BOOT).boot_clock is None
    with pytest.raises(ValueError, match="a clock of boot"):
        again.boot_clock = replace(CLOCK, boot=OTHER_BOOT)


def test_impossible_arguments(open_store: Open) -> None:
    with pytest.raises(ValueError, match="a boot id has 16 bytes"):
        open_store(boot=b"short")
    with pytest.raises(ValueError, match="at least 1000000"):
        open_store(size=1000)
    with pytest.raises(BatchFormatError, match="gateway is not 1 to 32 of"):
        open_store(gateway="GW")


def test_an_acknowledgement_rides_with_the_next_commit(store: Store, open_store: Open) -> None:
    for at in range(3):
        store.commit([block(b"%d" % at)], seal=True)
    assert store.acknowledge(ack_of(store, 2)) == [1, 2]
    assert store.acknowledge(ack_of(store, 2)) == store.acknowledge_numbers([1, 2]) == []
    assert [held.number for held in store.held()] == [held.number for held in store.held(2)] == [3, 4]
    assert store.backlog().batches == 2
    store._release()
    store = open_store()
    assert [held.number for held in store.held()][:4] == [1, 2, 3, 4]
    store.acknowledge(ack_of(store, 2))
    store.commit([])
    store._release()
    assert [held.number for held in open_store().held()][:2] == [3, 4]


def test_what_rides_outlasts_a_commit_that_fails(store: Store, open_store: Open) -> None:
    store.commit([block()], seal=True)
    store.acknowledge_numbers([1])
    store.boot_clock = CLOCK
    with pytest.raises(BatchBoundary):
        store.commit([block(fresh=False)])
    store.commit([block()])
    store._release()
    again = open_store()
    assert next(held.number for held in again.held()) == 2
    assert again.boot_clock == CLOCK


def test_the_newest_verified_time_is_kept_by_the_next_seal(store: Store, open_store: Open) -> None:
    store.floor_ms = 700
    store.commit([block()], seal=[Priority.NORMAL])
    store._release()
    assert open_store().floor_ms == 700


def test_one_commit_takes_blocks_ledger_and_seals(store: Store, public: PublicKey) -> None:
    blocks = [block(b"c", priority=Priority.CRITICAL), block(b"n"), block(b"b", priority=Priority.BULK)]
    sealed = store.commit(blocks, seal=[Priority.NORMAL, Priority.CRITICAL], notes=[ENTRY])
    assert sealed == [2, 3]
    assert store.open_samples == 1
    first = batch.decode(store.message(2), public)
    assert (first.header.priority, first.header.ledger) == (Priority.CRITICAL, (ENTRY,))
    assert store.commit([], seal=True, notes=[ENTRY]) == [4]
    assert store.commit([], seal=True, notes=[ENTRY]) == [5]  # nothing is open: an account of its own
