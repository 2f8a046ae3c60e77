"""Read beside the writer, and verify what was read."""

import threading
from pathlib import Path

import pytest

from buffer import batch, chain
from buffer.cose import Kind
from buffer.errors import StoreCorrupt, StoreError, StoreMismatch
from buffer.header import NO_HASH, Priority, Replaced
from buffer.keys import PublicKey, SigningKey
from buffer.migrate import VERSION
from buffer.reader import PAGE_BATCHES, Reader, read_batches
from buffer.store import Store
from tests.buffer.support import CLOCK, GATEWAY, SERIES, Open, ack_of, block, header


def test_reader_sees_sealed_and_unsealed(store: Store, path: Path) -> None:
    for at in range(2 * PAGE_BATCHES):
        store.commit([block(b"%d" % at)], seal=True)
    store.commit([block(b"a"), block(b"b", fresh=False), block(b"c", priority=Priority.CRITICAL)])
    store.acknowledge(ack_of(store, 3))
    store.refuse(4, "why")
    with Reader(path) as reader:
        found = list(reader.batches())
        snapshot = reader.snapshot()
        assert [held.number for held in reader.held()] == list(range(4, 2 * PAGE_BATCHES + 2))
    assert [one.message for one in found] == [store.message(n) for n in range(1, 2 * PAGE_BATCHES + 2)]
    assert all(one.hash == batch.batch_hash(one.message) for one in found)
    assert [one.acked_utc_ms for one in found[:4]] == [1_800_000_000_000] * 3 + [None]
    assert [one.refused for one in found[2:5]] == [None, "why", None]
    assert (found[0].kind, found[0].priority, found[1].samples) == (Kind.CATALOGUE, Priority.CRITICAL, 1)
    assert (snapshot.gateway, snapshot.stream) == (GATEWAY, store.stream)
    assert (snapshot.last_number, snapshot.delivered) == (2 * PAGE_BATCHES + 1, 4)
    critical, normal = snapshot.unsealed
    assert (critical.priority, critical.blocks) == (Priority.CRITICAL, (b"c",))
    assert (normal.clock, normal.samples, normal.blocks) == (CLOCK, 2, (b"a", b"b"))


def test_reader_pages_by_number(store: Store, path: Path) -> None:
    for _ in range(3):
        store.commit([block()], seal=True)
    assert [one.number for one in read_batches(path, 2, 3)] == [2, 3]
    assert [one.number for one in read_batches(path, 5)] == []


def test_a_reader_does_not_disturb_the_writer(store: Store, path: Path) -> None:
    """What is sealed while a page is looked at comes with the next one; a snapshot misses nothing."""
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        with Reader(path) as reader:
            while not done.is_set():
                snapshot = reader.snapshot()
                blocks = [b for one in reader.batches(2, snapshot.last_number) for b in [one.message]]
                seen.append(len(blocks) + sum(len(part.blocks) for part in snapshot.unsealed))

    thread = threading.Thread(target=read)
    thread.start()
    for at in range(150):
        store.commit([block(b"%d" % at)])
    done.set()
    thread.join()
    assert seen == sorted(seen)
    assert seen


def test_a_reader_writes_nothing(store: Store, path: Path) -> None:
    with Reader(path) as reader, pytest.raises(StoreError, match="READONLY"), reader._transaction():
        reader._connection.execute("DELETE FROM blocks")
    assert store.commit([block()], seal=True) == [2]


def test_what_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, this is no store\n" * 99)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(StoreCorrupt, match="damaged"):
        Reader(tmp_path / "text")
    for name in ("empty", "missing"):
        with pytest.raises(StoreMismatch, match=f"no store of version {VERSION}"):
            Reader(tmp_path / name)


def test_a_sound_store_verifies(store: Store, path: Path, public: PublicKey) -> None:
    for at in range(30):
        store.commit([block(b"%d" % at)], seal=True)
    report = chain.verify_file(path, public, len)
    assert (report.ok, report.gateway, report.streams) == (True, GATEWAY, (store.stream,))
    assert (report.batches, report.samples, report.first, report.last) == (31, 30, 1, 31)
    store.acknowledge(ack_of(store, 15, (18, 20)))
    store.prune(1 << 60)
    report = chain.verify_file(path, public)
    assert (report.ok, report.missing, report.pruned, report.batches) == (True, (), ((2, 15),), 14)


def test_a_lost_row_is_missing(store: Store, path: Path, public: PublicKey) -> None:
    for _ in range(4):
        store.commit([block()], seal=True)
    store._connection.execute("DELETE FROM batches WHERE number IN (2, 3)")
    report = chain.verify_store(path, public)
    assert (report.ok, report.missing) == (False, ((2, 3),))


def test_a_lost_catalogue_is_told(store: Store, path: Path, public: PublicKey) -> None:
    store.commit([block()], seal=True)
    store.assign(SERIES[:1])
    store._connection.execute("DELETE FROM batches WHERE number = 1")
    assert [f.what for f in chain.verify_store(path, public).findings] == ["names a catalogue that is not here"]


def chained(key: SigningKey, count: int) -> list[bytes]:
    messages: list[bytes] = []
    previous = NO_HASH
    for number in range(1, count + 1):
        messages.append(batch.encode(header(number=number, previous=previous, samples=1), [b"%d" % number], key))
        previous = batch.batch_hash(messages[-1])
    return messages


def test_one_message_verifies_alone(tmp_path: Path, key: SigningKey, public: PublicKey) -> None:
    (tmp_path / "batch").write_bytes(chained(key, 3)[2])
    report = chain.verify_file(tmp_path / "batch", public)
    assert (report.ok, report.batches, report.first, report.samples) == (True, 1, 3, 1)


def test_messages_verify_in_any_order(key: SigningKey, public: PublicKey) -> None:
    messages = chained(key, 5)
    assert chain.verify_messages([*messages[::-1], messages[2]], public).samples == 5
    assert chain.verify_messages(messages[::-1], public).ok
    assert chain.verify_messages([messages[0], messages[4]], public).missing == ((2, 4),)
    assert chain.verify_messages([], public).ok


def test_what_is_wrong_is_told(key: SigningKey, public: PublicKey) -> None:
    one, two, three = chained(key, 3)
    other = batch.encode(header(number=2, previous=b"?" * 32, samples=1), [b"x"], key)
    alien = batch.encode(header(number=4, previous=batch.batch_hash(three), stream=b"s" * 16, samples=1), [b"x"], key)
    altered = two[:-1] + bytes([two[-1] ^ 1])
    cases: list[tuple[list[bytes], str]] = [
        ([one, two, other], "two batches of this number: a fork"),
        ([one, other, three], "does not follow batch 1: the chain is broken"),
        ([one, two, three, alien], "of another stream"),
        ([one, altered], "altered since"),
        ([b"noise"], "not a COSE_Sign1 message"),
    ]
    for messages, expected in cases:
        findings = chain.verify_messages(messages, public).findings
        assert any(expected in finding.what for finding in findings), (expected, findings)


def test_a_replaced_number_is_filled(key: SigningKey, public: PublicKey) -> None:
    first, second, third = chained(key, 3)
    replaces = (Replaced(2, 2, batch.batch_hash(second), 1),)
    fourth = batch.encode(header(number=4, previous=batch.batch_hash(third), samples=1, replaces=replaces), [b"x"], key)
    assert chain.verify_messages([first, third, fourth], public).ok


def test_blocks_are_counted_when_a_decoder_is_given(key: SigningKey, public: PublicKey) -> None:
    def broken(_: object) -> int:
        raise ValueError("at byte 3")

    messages = chained(key, 1)
    assert chain.verify_messages(messages, public, len).ok
    (finding,) = chain.verify_messages(messages, public, lambda _: 7).findings
    assert finding.what == "the header says 1 samples, the blocks hold 7"
    (finding,) = chain.verify_messages(messages, public, broken).findings
    assert finding.what == "the blocks do not decode: at byte 3"


def test_verify_names_a_file_that_is_not_there(tmp_path: Path, public: PublicKey, open_store: Open) -> None:
    with pytest.raises(StoreError, match="absent"):
        chain.verify_file(tmp_path / "absent", public)
