"""What only PostgreSQL has: collectors beside each other, rows packed in C, a partition a day, a crash."""

import json
import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.errors import DatabaseBroken, DatabaseMissing
from collector.receiving import derive
from collector.receiving.incoming import Message
from collector.tables.database import Database, Target
from collector.tables.pgcopy import COPY_START, packed
from collector.tables.pgpartitions import DAY_MS
from collector.tables.rows import Ids, Piece
from collector.tables.values import columns as value_columns
from ext import CLOCK, GOOD, unpack, unpack_columns
from tests import postgres
from tests.collector.maker import POSTGRESQL, UTC_MS, Bench, Gateway, block
from tests.collector.running import Link, Process, until
from tests.collector.test_properties import KEY, LIFE, WANTED, mutate
from tests.mosquitto import Mosquitto

VALUES = (
    st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.decimals(allow_nan=False, allow_infinity=False, places=3)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.booleans()
    | st.none()
)
QUALITIES = st.sampled_from([0, 5, CLOCK])
SAMPLES = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 1 << 40), VALUES, QUALITIES), max_size=40)


def fields(rows: bytes) -> Iterator[list[bytes | None]]:
    """The rows of a binary COPY, read by what PostgreSQL's manual says of it."""
    at = 0
    while at < len(rows):
        (count,) = struct.unpack_from(">h", rows, at)
        at += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (size,) = struct.unpack_from(">i", rows, at)
            at += 4
            row.append(None if size < 0 else rows[at : at + size])
            at += max(size, 0)
        yield row


@given(SAMPLES, st.booleans())
@settings(max_examples=150, deadline=None)
def test_rows_packed_in_c_are_those_of_python(samples: list[Any], clock_known: bool) -> None:
    blocks = [block(samples)] if samples else []
    found, samples = unpack_columns(blocks), unpack(blocks)
    piece = Piece(
        "g", "s", 7, found, Ids.of({1: 11, 2: 22, 3: 33, 4: 1 << 40}), UTC_MS, (CLOCK, GOOD) if clock_known else None
    )
    rows = list(piece.rows())
    quality = {CLOCK: GOOD} if clock_known else {}
    assert [(at, q) for _, at, _, _, _, q, _ in rows] == [(at + UTC_MS, quality.get(q, q)) for _, at, _, q in samples]
    packed_rows = list(fields(packed(piece, 1 << 20)))
    assert len(packed_rows) == len(rows)
    for place, (row, wanted) in enumerate(zip(packed_rows, rows, strict=True)):
        series, ts_ms, value, exact, text, quality_of, batch, rowid = row
        whole = [struct.unpack(">q", one)[0] for one in (series, ts_ms, quality_of, batch, rowid) if one is not None]
        assert whole == [wanted[0], wanted[1], wanted[5], 7, (1 << 20) + place]
        assert (None if value is None else struct.unpack(">d", value)[0]) == wanted[2]
        if wanted[4] is not None and "\0" in wanted[4]:
            assert exact is not None
            assert json.loads(exact) == wanted[4]
        else:
            assert (exact, text) == tuple(one if one is None else one.encode() for one in wanted[3:5])


@given(SAMPLES)
@settings(max_examples=150, deadline=None)
def test_rows_are_what_their_values_come_to(samples: list[Any]) -> None:
    blocks = [block(samples)] if samples else []
    found, samples = unpack_columns(blocks), unpack(blocks)
    piece = Piece("g", "s", 7, found, Ids.of({1: 1, 2: 2, 3: 3, 4: 4}), 0)
    for row, (_, _, value, _) in zip(piece.rows(), samples, strict=True):
        wanted = value_columns(value)
        assert row[2:5] == wanted or (isinstance(value, Decimal) and row[2] is not None and _equal(row[2:5], wanted))
    some = Piece("g", "s", 7, found, piece.ids, 0, kept=range(0, len(samples), 2))
    assert repr(list(some.chosen().rows())) == repr(list(some.rows())) == repr(list(piece.rows())[::2])


def _equal(found: Any, wanted: Any) -> bool:
    """The same but for how a decimal is written."""
    if found[0] != wanted[0] or (found[1] is None) != (wanted[1] is None):
        return False
    return found[1] is None or Decimal(found[1]) == Decimal(wanted[1])


def test_statements_are_translated_outside_of_texts_only() -> None:
    pgsql = pytest.importorskip("collector.tables.pgsql", reason="psycopg (extra `postgres`) is not installed")
    assert pgsql.parts_of("a = ? AND b = '?:x' AND c::int = :name AND d = ?") == (
        ("a = ", " AND b = '?:x' AND c::int = ", " AND d = ", ""),
        (0, "name", 1),
    )
    assert pgsql.parts_of("?2 ?1") == (("", " ", ""), (1, 0))


def test_a_password_is_not_shown() -> None:
    pgsql = pytest.importorskip("collector.tables.pgsql", reason="psycopg (extra `postgres`) is not installed")
    assert pgsql.shown("postgresql://anna:secret@host/name") == "postgresql://anna:***@host/name"


@POSTGRESQL
def test_values_come_back_and_break_out_of_no_statement(bench: Bench) -> None:
    hostile = ["'; DROP TABLE gateways; --", "\\'", "a\\", "?", ":x", "%s", "ä\u2028", "$1"]
    for value in [*hostile, -5, None, 1.5, b"\0'\\", (1 << 63) - 1, -(1 << 63)]:
        assert bench.rows("SELECT ?, 2", value) == [(value, 2)]
    assert bench.rows("SELECT 1-?", -5) == [(6,)], "two minus signs begin a comment"
    with pytest.raises(OverflowError):
        bench.rows("SELECT ?", 1 << 63)


@POSTGRESQL
def test_a_text_with_a_zero_character_is_told_by_exact(bench: Bench, gateway: Gateway) -> None:
    bench.take(gateway.describe(), gateway.send([(1, 1, "a\0b", 0), (2, 1, "plain", 0)]))
    found = bench.rows("SELECT text, exact FROM samples ORDER BY series")
    assert found == [("a\u2400b", '"a\\u0000b"'), ("plain", None)]


@POSTGRESQL
def test_each_day_has_a_partition_and_what_is_out_of_sense_the_rest(bench: Bench, gateway: Gateway) -> None:
    now = int(time.time() * 1000) // DAY_MS * DAY_MS
    gateway.clock_ms = now - 3 * DAY_MS
    times = (0, DAY_MS - 1, DAY_MS, 3 * DAY_MS, 900 * DAY_MS)
    bench.take(gateway.describe(), *(gateway.send([(1, at, 1.5, 0)]) for at in times))
    found = bench.rows("SELECT tableoid::regclass::text, count(*) FROM samples GROUP BY 1 ORDER BY 1")
    assert [count for _, count in found] == [2, 1, 1, 1]
    assert found[-1][0] == "samples_rest"


def test_somebody_elses_database_is_left_alone(postgres_server: postgres.Server) -> None:
    import psycopg

    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE foreign_one")
    url = postgres_server.url("foreign_one")
    with pytest.raises(DatabaseMissing):
        Database.read(url)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE batches (x int)")
    with pytest.raises(DatabaseBroken, match="somebody else"):
        Database.open(url)


@POSTGRESQL
def test_two_receivers_beside_each_other_store_everything_once(
    bench: Bench, new_database: Callable[[], Target]
) -> None:
    """The same messages to both, in two orders, in small groups: they meet in every stream."""
    gateways = [Gateway(f"gw-{n}") for n in range(6)]
    messages = []
    for one in gateways:
        one.add_to(bench.database)
        messages += one.hello(12)
    other = Bench(bench.database.path)
    errors: list[Exception] = []

    def feed(to: Bench, seed: int) -> None:
        order = list(messages)
        random.Random(seed).shuffle(order)
        try:
            for start in range(0, len(order), 5):
                to.take(*order[start : start + 5])
        except Exception as error:  # noqa: BLE001 - told by the assertion below
            errors.append(error)

    threads = [Thread(target=feed, args=(to, seed)) for seed, to in enumerate((bench, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    while bench.receiver.settle():
        pass
    after = bench.tables()
    other.close()
    alone = Bench(new_database(), *gateways)
    alone.take(*messages)
    assert after == alone.tables()
    alone.close()
    derive.rebuild(bench.database)
    assert bench.tables() == after


@POSTGRESQL
def test_any_order_gives_the_tables_that_sqlite_has(new_database: Callable[[], Target]) -> None:
    """A life with late clocks, losses and broken joints (tests/collector/test_properties.py), mixed with junk."""
    rng = random.Random(8)
    whole = {message.payload for message in LIFE}
    for _ in range(3):
        bench = Bench(new_database(), Gateway(key=KEY))
        junk = [one for one in (mutate(rng, rng.choice(LIFE)) for _ in range(200)) if one.payload not in whole]
        order = [*LIFE, *rng.sample(LIFE, 4), *junk]
        rng.shuffle(order)
        for start in range(0, len(order), 7):
            bench.take(*order[start : start + 7])
        assert bench.tables() == WANTED
        assert bench.rows("SELECT sum(count) FROM refusals") == [(len(junk),)]
        derive.rebuild(bench.database)
        assert bench.tables() == WANTED
        bench.close()


def thirty(gateway: Gateway) -> Message:
    """A batch of thirty samples, of times of its own."""
    return gateway.send([(1, gateway.number * 1000 + n, n + 0.5, 0) for n in range(30)])


def heard(link: Link) -> bool:
    """Whether anything is acknowledged by now."""
    link.hear()
    return bool(link.acked)


@pytest.mark.slow
@POSTGRESQL
def test_kill_9_of_one_of_two_loses_nothing_and_stores_nothing_twice(
    bench: Bench, tmp_path: Path, mosquitto: Mosquitto, gateway: Gateway
) -> None:
    """Two collectors share a subscription and one PostgreSQL; each is killed in turn while batches come in."""
    (tmp_path / "second").mkdir()
    url = bench.database.path
    with (
        Process(tmp_path, mosquitto.url, database=url) as one,
        Process(tmp_path / "second", mosquitto.url, "--key", str(one.key), database=url) as two,
    ):
        one.start()
        two.start()
        with closing(Link(gateway, one, mosquitto.port)) as link:
            link.add(*gateway.hello(0))
            for killed in (one, two, one):
                link.add(*(thirty(gateway) for _ in range(40)))
                link.send_held()
                until(lambda: heard(link), "an acknowledgement")
                killed.kill()
                link.hear()
                stored = {number for (number,) in bench.rows("SELECT number FROM batches")}
                assert link.acked <= stored
                killed.start()
            link.deliver()
        until(lambda: bench.rows("SELECT count(*) FROM waiting") == [(0,)], "what came before its catalogue is decoded")
        assert one.stop()[0] == two.stop()[0] == 0
    assert bench.rows("SELECT count(*), max(number) FROM batches") == [(121, 121)]
    assert bench.rows("SELECT count(*), count(DISTINCT ts_ms) FROM samples") == [(3600, 3600)]


@pytest.mark.slow
def test_a_crash_of_the_server_loses_nothing_acknowledged(
    tmp_path: Path, mosquitto: Mosquitto, gateway: Gateway
) -> None:
    """An immediate shutdown of a server with fsync, and a start that recovers; the collector comes back by itself."""
    if (reason := postgres.why_not()) is not None:
        pytest.skip(reason)
    server = postgres.Server(fsync=True)
    try:
        server.start()
        url = server.database()
        bench = Bench(url, gateway)
        bench.close()
        with Process(tmp_path, mosquitto.url, database=url) as process:
            process.start()
            with closing(Link(gateway, process, mosquitto.port)) as link:
                link.add(*gateway.hello(20))
                link.deliver()
                server.crash()
                link.add(*(gateway.send([(1, gateway.number * 1000, 1.5, 0)]) for _ in range(20)))
                link.send_held()
                until(lambda: "nothing can be stored" in process.said(), "a word about the database")
                server.start()
                link.deliver()
            assert "storing goes on" in process.said()
            assert process.stop()[0] == 0
        again = Bench(url)
        assert again.rows("SELECT count(*), max(number) FROM batches") == [(41, 41)]
        assert again.rows("SELECT count(*) FROM samples") == [(60,)]
        again.close()
    finally:
        server.close()


def test_the_head_of_copy_is_that_of_the_manual() -> None:
    """PostgreSQL 15, COPY, "Binary Format": 11 bytes, then flags and the length of the extension, both 32 bits."""
    assert b"PGCOPY\n\377\r\n\0" + struct.pack(">ii", 0, 0) == COPY_START
