"""The sans-IO core: verified, stored in one transaction, acknowledged; nothing else."""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import replace

import pytest

from buffer import batch as batches
from buffer.ack import read as read_ack
from buffer.errors import SignatureError
from buffer.header import NO_HASH, Replaced
from collector.errors import Stopped
from collector.identity import registry
from collector.receiving import receive
from collector.receiving.incoming import Message
from collector.tables.database import Database
from ext import LIMITS
from tests.collector.maker import OFFSET_MS, PLATFORM, SQLITE, UTC_MS, Bench, Gateway


def test_batch_is_stored_and_acknowledged(bench: Bench, gateway: Gateway) -> None:
    messages = [gateway.describe(), gateway.send([(1, 10, 230.5, 0), (2, 10, None, 6), (1, 20, 231.25, LIMITS)])]
    (reply,) = bench.take(*messages)
    assert reply.topic == "lamppost/v1/nord/gw-0017/ack"
    ack = read_ack(reply.payload, PLATFORM.public(role="acknowledge"))
    assert (ack.gateway, ack.stream, ack.cumulative, ack.hash) == ("gw-0017", gateway.stream, 2, gateway.previous)
    assert (ack.ranges, ack.want, ack.refused, ack.time, ack.answers) == ((), (), (), UTC_MS, 2)
    name = gateway.name
    assert bench.samples() == [
        (*name, "meter1/p1", OFFSET_MS + 10, 230.5, None, None, 0, 2),
        (*name, "meter1/p1", OFFSET_MS + 20, 231.25, None, None, LIMITS, 2),
        (*name, "meter1/p2", OFFSET_MS + 10, None, None, None, 6, 2),
    ]
    assert bench.rows("SELECT gateway, stream, number, kind, boot, received_at, bytes FROM batches") == [
        (*name, 1, "catalogue", gateway.boot.hex(), UTC_MS, messages[0].payload),
        (*name, 2, "batch", gateway.boot.hex(), UTC_MS, messages[1].payload),
    ]


def test_resend_is_acknowledged_again_and_stored_once(bench: Bench, gateway: Gateway) -> None:
    messages = gateway.hello(3)
    first = bench.ack(*messages)
    before = bench.tables()
    assert bench.ack(*messages, *messages) == first
    assert bench.tables() == before
    assert not bench.rows("SELECT * FROM refused")


def test_a_gateway_that_says_it_is_elsewhere_is_told_apart(bench: Bench, gateway: Gateway) -> None:
    """It would not hear an answer to the registry's site: whoever set it up must see why."""
    message = gateway.describe()
    assert bench.take(Message("lamppost/v1/elsewhere/gw-0017/batch", message.payload)) == []
    ((reason,),) = bench.rows("SELECT reason FROM refused")
    assert reason == "topic: gw-0017 sent as of site elsewhere, and is known as of site nord"


def test_one_acknowledgement_for_each_stream_of_a_group(open_bench: Callable[..., Bench]) -> None:
    one, two = Gateway("gw-1"), Gateway("gw-2", site="sud")
    bench = open_bench(one, two)
    mixed = [m for pair in zip(one.hello(3), two.hello(3), strict=True) for m in pair]
    replies = bench.take(*mixed)
    assert [r.topic for r in replies] == ["lamppost/v1/nord/gw-1/ack", "lamppost/v1/sud/gw-2/ack"]


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("lamppost/v1/nord/gw-0018/batch", "topic"),
        ("lamppost/v1/nord/gw-0017/status", "topic"),
        ("lamppost/v2/nord/gw-0017/batch", "topic"),
        ("other/v1/nord/gw-0017/batch", "topic"),
        ("lamppost/v1/nord/gw-0017/x/batch", "topic"),
        ("", "topic"),
    ],
)
def test_wrong_topic_is_refused(bench: Bench, gateway: Gateway, topic: str, reason: str) -> None:
    message = gateway.describe()
    assert bench.take(Message(topic, message.payload)) == []
    assert bench.rows("SELECT topic, substr(reason, 1, 5), bytes FROM refused") == [(topic, reason, message.payload)]
    assert not bench.rows("SELECT * FROM batches")


def test_unknown_and_revoked_keys_are_refused(bench: Bench, gateway: Gateway) -> None:
    stranger = Gateway()
    messages = gateway.hello(1)
    assert bench.take(stranger.describe()) == []
    bench.take(messages[0])
    other = Database.open(bench.database.path)
    assert registry.revoke(other, "gw-0017", UTC_MS) == 1
    other.close()
    assert bench.take(messages[1]) == []
    assert [str(r[0]).partition(":")[0] for r in bench.rows("SELECT reason FROM refused ORDER BY id")] == [
        "unknown-key",
        "revoked-key",
    ]
    assert bench.rows("SELECT count(*) FROM batches") == [(1,)]


def test_another_gateways_key_signs_nothing_for_this_one(open_bench: Callable[..., Bench]) -> None:
    one, two = Gateway("gw-1"), Gateway("gw-2")
    bench = open_bench(one, two)
    forged = Gateway("gw-1", key=two.key).describe()
    assert bench.take(forged) == []
    assert "gw-2" in str(bench.rows("SELECT reason FROM refused")[0][0])


@SQLITE
def test_every_altered_byte_is_refused(bench: Bench, gateway: Gateway) -> None:
    bench.take(*gateway.hello(1))
    message = gateway.send([(1, 5, 1.5, 0)])
    before = bench.tables()
    for at in range(len(message.payload)):
        altered = bytearray(message.payload)
        altered[at] ^= 1 << at % 8
        assert bench.take(Message(message.topic, bytes(altered))) == []
    assert bench.tables() == before
    assert bench.rows("SELECT count(*) FROM refused") == [(len(message.payload),)]
    assert bench.ack(message).cumulative == 3


def test_oversize_is_refused_and_its_beginning_kept(bench: Bench, gateway: Gateway) -> None:
    assert bench.take(Message(gateway.topic, bytes(batches.MAX_BATCH_BYTES + 1))) == []
    ((reason, size),) = bench.rows("SELECT reason, length(bytes) FROM refused")
    assert str(reason).startswith("oversize: 1048577 bytes")
    assert size == 128 << 10


def test_signed_but_wrong_count_is_refused_by_number(bench: Bench, gateway: Gateway) -> None:
    bench.take(*gateway.hello(1))
    whole = gateway.send([(1, 1, 1.5, 0)])
    header = gateway.header(samples=2, first_ms=1, last_ms=2, number=3)
    wrong = gateway.make(header, batches.decode(whole.payload, gateway.key.public("gw-0017", "nord")).blocks)
    ack = bench.ack(wrong)
    assert (ack.cumulative, ack.answers) == (2, 3)
    assert ack.refused == ((3, "samples: 1 in the blocks, 2 in the header"),)
    assert bench.ack(wrong).refused == ack.refused
    assert bench.rows("SELECT number, reason, count FROM rejects") == [(3, "samples", 2)]
    assert bench.rows("SELECT bytes FROM refused") == [(wrong.payload,)]


def test_signed_but_undecodable_samples_are_refused(bench: Bench, gateway: Gateway) -> None:
    bench.take(gateway.describe())
    ack = bench.ack(gateway.make(gateway.header(samples=1), [b"\xff\xfe nonsense"]))
    assert [(number, text[:8]) for number, text in ack.refused] == [(2, "samples:")]


def test_unknown_version_is_refused_by_number(bench: Bench, gateway: Gateway) -> None:
    from cbor2 import dumps

    from buffer import cose
    from buffer.cose import Kind

    bench.take(gateway.describe())
    payload = dumps([{1: 9, 3: "gw-0017", 4: gateway.stream, 5: 2, 99: "new"}, b"block"])
    ack = bench.ack(Message(gateway.topic, cose.sign(payload, Kind.BATCH, gateway.key)))
    assert ack.cumulative == 1
    assert ack.refused[0][0] == 2
    assert "version 9" in ack.refused[0][1]


def test_refused_once_stored_later_is_kept_aside_no_more(bench: Bench, gateway: Gateway) -> None:
    """A collector of a later version takes what this one refused: simulated by an entry as the older one left it."""
    bench.take(gateway.describe())
    message = gateway.send([(1, 1, 1.0, 0)])
    bench.database.connection.execute("INSERT INTO refused VALUES (1, 't', 'content: x', ?, 7)", (b"\0",))
    bench.database.connection.execute(
        "INSERT INTO rejects VALUES (?, ?, 2, ?, 'content', 1, 7)", (*gateway.name, gateway.previous.hex())
    )
    assert bench.ack(message).cumulative == 2
    assert bench.rows("SELECT * FROM refused") == bench.rows("SELECT * FROM rejects") == []


def test_acknowledgement_is_of_the_platforms_key(bench: Bench, gateway: Gateway) -> None:
    (reply,) = bench.take(gateway.describe())
    with pytest.raises(SignatureError):
        read_ack(reply.payload, gateway.key.public(role="acknowledge"))


def test_nothing_is_acknowledged_of_an_empty_stream(bench: Bench, gateway: Gateway) -> None:
    ack = bench.ack(
        gateway.make(gateway.header(number=4, samples=1, previous=b"\1" * 32, catalogue=b"\2" * 32), [b"x"])
    )
    assert (ack.cumulative, ack.hash, ack.ranges) == (0, NO_HASH, ())


def test_stop_ends_a_group_with_nothing_stored(bench: Bench, gateway: Gateway) -> None:
    bench.receiver.stop()
    with pytest.raises(Stopped):
        bench.take(*gateway.hello(2))
    assert not bench.rows("SELECT * FROM batches")


def test_refusals_of_valid_signatures_are_logged_once(
    bench: Bench, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    bench.take(gateway.describe())
    bad = gateway.make(gateway.header(samples=1), [b"nonsense"])
    with caplog.at_level(logging.WARNING):
        bench.take(bad)
        bench.take(bad)
    assert [r.message.partition(" refused: ")[0] for r in caplog.records] == [
        f"gw-0017 {gateway.stream.hex()}: batch 2"
    ]


@SQLITE
def test_a_group_of_many_samples_is_several_transactions_and_one_answer(
    bench: Bench, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "GROUP_SAMPLES", 5)
    commits: list[str] = []
    connection = bench.database.connection
    assert isinstance(connection, sqlite3.Connection)
    connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    assert bench.ack(*gateway.hello(9)).cumulative == 10
    assert len(commits) == 3


def test_numbers_at_the_end_of_what_a_column_holds_stop_nothing(bench: Bench, gateway: Gateway) -> None:
    bench.take(*gateway.hello(1))
    before = bench.tables()
    last = (1 << 63) - 1
    ends = [
        gateway.header(number=last, clock_ms=1 << 48, first_ms=0, last_ms=1 << 48),
        gateway.header(
            number=last,
            replaces=(Replaced(last - 9, last - 1, bytes(32), last),),
            ledger=(replace(gateway.loses(0, 1), samples=last),),
        ),
    ]
    for header in ends:
        ack = bench.ack(gateway.make(header, []))
        assert "cannot be stored" in ack.refused[0][1]
    assert bench.tables() == before
    ledgered = gateway.loses(1 << 48, None)
    huge = gateway.next(
        gateway.header(ledger=(type(ledgered)(ledgered.boot, 1, 1 << 48, 1 << 48, ledgered.clock_state, last, "x"),)),
        [],
    )
    assert bench.ack(huge).cumulative == 3
