"""Gaps, broken joints, forks, replacements: what a stream's numbers say."""

import logging
from collections.abc import Callable

import pytest

from buffer import batch as batches
from buffer.header import ClockState, Replaced
from collector.identity import registry
from collector.receiving.incoming import Message
from collector.tables.database import Database
from tests.collector.maker import OFFSET_MS, SQLITE, Bench, Gateway

GAPS = "SELECT first, last, from_ms, to_ms, state FROM gaps ORDER BY id"


def hashes(messages: list[Message]) -> dict[int, bytes]:
    return {number: batches.batch_hash(message.payload) for number, message in enumerate(messages, 1)}


def confirm(bench: Bench, gateway: str) -> int:
    other = Database.open(bench.database.path)
    try:
        return registry.confirm(other, gateway)
    finally:
        other.close()


def test_missing_numbers_are_pending_with_their_neighbours_times(bench: Bench, gateway: Gateway) -> None:
    messages = gateway.hello(6, each=2)
    known = hashes(messages)
    ack = bench.ack(messages[0], messages[1], messages[5])
    assert (ack.cumulative, ack.hash, ack.ranges) == (2, known[2], ((6, 6, known[6]),))
    assert bench.rows(GAPS) == [(3, 5, OFFSET_MS + 1001, OFFSET_MS + 5000, "pending")]
    ack = bench.ack(messages[3])
    assert ack.ranges == ((4, 4, known[4]), (6, 6, known[6]))
    assert bench.rows(GAPS) == [
        (3, 3, OFFSET_MS + 1001, OFFSET_MS + 3000, "pending"),
        (5, 5, OFFSET_MS + 3001, OFFSET_MS + 5000, "pending"),
    ]
    ack = bench.ack(messages[2], messages[4])
    assert (ack.cumulative, ack.hash, ack.ranges) == (6, known[6], ())
    assert bench.rows(GAPS) == []


def test_live_first_backlog_behind(bench: Bench, gateway: Gateway) -> None:
    messages = gateway.hello(20)
    for message in reversed(messages):
        ack = bench.ack(message)
    assert (ack.cumulative, ack.ranges) == (21, ())
    assert len(bench.samples()) == 40


def test_broken_joint_is_entered_and_not_acknowledged_across(bench: Bench, gateway: Gateway) -> None:
    messages = gateway.hello(2)
    gateway.previous = bytes([9]) * 32
    messages += [gateway.send([(1, 9000, 1.5, 0)]), gateway.send([(1, 9500, 2.5, 0)])]
    known = hashes(messages)
    for order in (messages, messages[::-1]):
        ack = bench.ack(*order)
        assert (ack.cumulative, ack.hash, ack.ranges) == (3, known[3], ((4, 5, known[5]),))
    ((first, last, _, _, state),) = bench.rows(GAPS)
    assert (first, last, state) == (3, 4, "broken")


def test_fork_is_kept_alarmed_once_and_silences_the_stream(
    bench: Bench, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    clone = Gateway(key=gateway.key)
    messages, cloned = gateway.hello(3), clone.hello(1)
    other = clone.send([(1, 77, 77.5, 0)])
    assert bench.ack(*messages[:3], cloned[0]).cumulative == 3
    before = bench.tables()["samples"]
    with caplog.at_level(logging.WARNING):
        assert bench.take(other) == []
        assert bench.take(other, messages[3], messages[0]) == []
    assert sum("FORKED at number 3" in r.message for r in caplog.records) == 1
    assert bench.tables()["samples"] == before
    kept = bench.rows("SELECT bytes FROM refused ORDER BY id")
    assert (other.payload,) in kept
    assert (messages[3].payload,) in kept

    assert confirm(bench, "gw-0017") == 1
    ack = bench.ack(*messages)
    assert (ack.cumulative, ack.refused) == (4, ())
    assert bench.take(other) == [], "the side that lost is refused, unanswered, and alarms no more"
    assert bench.ack(messages[3]).cumulative == 4
    assert bench.take(clone.send([(1, 78, 1.5, 0)])) == [], "what is new of it is a fork again"
    assert bench.take(messages[0]) == []


def test_a_signed_message_that_cannot_be_read_but_claims_a_stored_number_is_a_fork(
    bench: Bench, gateway: Gateway
) -> None:
    messages = gateway.hello(2)
    bench.take(*messages)
    bad = gateway.make(gateway.header(number=2, previous=bytes([1]) * 32, samples=1), [b"nonsense"])
    assert bench.take(bad) == []
    assert bench.rows("SELECT forked_number FROM streams WHERE forked_at IS NOT NULL") == [(2,)]


def test_ledger_entries_are_gaps_without_numbers(bench: Bench, gateway: Gateway) -> None:
    bench.take(gateway.describe(), gateway.send([(1, 9, 1.0, 0)], ledger=(gateway.loses(3, 8), gateway.loses(1, None))))
    assert bench.rows("SELECT first, last, from_ms, to_ms, samples, reason, state FROM gaps ORDER BY id") == [
        (None, None, OFFSET_MS + 3, OFFSET_MS + 8, 5, "evicted", "ledgered"),
        (None, None, OFFSET_MS + 1, None, 5, "evicted", "ledgered"),
    ]


def test_ledger_of_a_boot_without_clock_is_dated_with_it(bench: Bench, gateway: Gateway) -> None:
    gateway.clock_state = ClockState.UNSET
    first = gateway.describe()
    bench.take(first, gateway.send([(1, 9, 1.0, 0)], ledger=(gateway.loses(3, 8, ClockState.UNSET),)))
    assert bench.rows(GAPS) == [(None, None, None, None, "ledgered")]
    gateway.clock_state = ClockState.SYNCHRONIZED
    bench.take(gateway.send([(1, 19, 1.0, 0)]))
    assert bench.rows(GAPS) == [(None, None, OFFSET_MS + 3, OFFSET_MS + 8, "ledgered")]


def replaced(gateway: Gateway) -> tuple[list[Message], Message]:
    """Batches 1 to 4, and a number 5 that stands for 2 and 3, thinned to the mean of each."""
    messages = gateway.hello(3)
    known = hashes(messages)
    thinned = gateway.thin(
        [(1, 1000, 1000.25, 0), (1, 2000, 2000.25, 0)], Replaced(2, 2, known[2], 2), Replaced(3, 3, known[3], 2)
    )
    return messages, thinned


LOST = "SELECT samples, reason FROM gaps WHERE state = 'ledgered' ORDER BY id"


def test_replacement_fills_the_numbers_it_replaces(bench: Bench, gateway: Gateway) -> None:
    messages, thinned = replaced(gateway)
    ack = bench.ack(messages[0], messages[3], thinned)
    assert (ack.cumulative, ack.hash, ack.ranges) == (5, gateway.previous, ())
    assert bench.rows(LOST) == [(4, "thinned")]
    before = bench.samples()
    assert len(before) == 4
    assert bench.ack(*messages).cumulative == 5, "an original that comes late is acknowledged as superseded"
    assert bench.samples() == before
    assert bench.rows("SELECT number FROM waiting WHERE state = 'superseded'") == [(2,), (3,)]


def test_replacement_of_what_is_held_is_not_stored_twice(bench: Bench, gateway: Gateway) -> None:
    messages, thinned = replaced(gateway)
    bench.take(*messages)
    before = bench.samples()
    assert bench.ack(thinned).cumulative == 5
    assert bench.samples() == before
    assert bench.rows(LOST) == []


def test_replacement_of_two_of_which_one_is_held(bench: Bench, gateway: Gateway) -> None:
    messages, thinned = replaced(gateway)
    assert bench.ack(messages[0], messages[1], messages[3], thinned).cumulative == 5
    assert bench.rows(LOST) == [(2, "thinned")]
    assert [row[8] for row in bench.samples()] == [2, 5, 5, 4, 2, 4]


def test_replacement_that_names_another_hash_is_a_fork(bench: Bench, gateway: Gateway) -> None:
    bench.take(*gateway.hello(2))
    lying = gateway.send([(1, 1, 1.5, 0)], replaces=(Replaced(2, 2, bytes([5]) * 32, 1),))
    assert bench.take(lying) == []
    assert bench.rows("SELECT forked_number FROM streams") == [(4,)]
    assert bench.rows("SELECT count(*) FROM batches") == [(3,)]


@SQLITE
def test_many_islands_are_bounded_and_the_touched_ones_are_named(bench: Bench, gateway: Gateway) -> None:
    messages = gateway.hello(1200, each=1)
    bench.take(*messages[0::2])
    ack = bench.ack(messages[2])
    assert len(ack.ranges) == 256
    assert ack.ranges[0][:2] == (3, 3)
    assert ack.ranges[-1][:2] == (1201, 1201)


def test_streams_of_one_gateway_are_apart(open_bench: Callable[..., Bench]) -> None:
    one = Gateway()
    two = Gateway(key=one.key, stream=bytes([2]) * 16)
    bench = open_bench(one)
    replies = bench.take(*one.hello(2), *two.hello(1))
    assert len(replies) == 2
    assert bench.rows("SELECT count(*) FROM batches") == [(5,)]
