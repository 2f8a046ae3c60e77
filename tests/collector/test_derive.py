"""What waits for a catalogue or a clock, how it is dated, and that everything can be derived anew."""

from collections.abc import Callable

from buffer import catalogue
from buffer.cose import Kind
from buffer.header import ClockState
from collector.receiving import derive
from ext import CLOCK, LIMITS
from tests.collector.maker import OFFSET_MS, Bench, Gateway


def times(bench: Bench) -> list[tuple[object, ...]]:
    return bench.rows("SELECT ts_ms, value, quality FROM samples ORDER BY ts_ms")


def test_batch_without_its_catalogue_waits_and_asks_for_it(bench: Bench, gateway: Gateway) -> None:
    messages = gateway.hello(2)
    assert gateway.catalogue is not None
    ack = bench.ack(messages[2])
    assert ack.want == (gateway.catalogue,)
    assert [r[:2] for r in ack.ranges] == [(3, 3)]
    assert bench.samples() == []
    ack = bench.ack(messages[0])
    assert ack.want == ()
    assert len(bench.samples()) == 2
    assert bench.rows("SELECT * FROM waiting") == []


def test_unset_clock_waits_for_the_first_synchronized_estimate(bench: Bench, gateway: Gateway) -> None:
    gateway.clock_state = ClockState.UNSET
    bench.take(gateway.describe())
    assert bench.ack(gateway.send([(1, 10, 1.5, CLOCK), (1, 20, 2.5, LIMITS)])).cumulative == 2
    assert times(bench) == []
    assert bench.rows("SELECT offset_ms, state FROM boots") == [(None, "unset")]
    gateway.clock_state, gateway.clock_ms = ClockState.HOLDOVER, OFFSET_MS + 7
    bench.take(gateway.send([(1, 30, 3.5, 0)]))
    assert times(bench) == [(OFFSET_MS + 37, 3.5, CLOCK)], "a held clock may be off by more than a second"
    gateway.clock_state, gateway.clock_ms = ClockState.SYNCHRONIZED, OFFSET_MS
    bench.take(gateway.send([(1, 40, 4.5, 0)]))
    assert times(bench) == [
        (OFFSET_MS + 10, 1.5, 0),
        (OFFSET_MS + 20, 2.5, LIMITS),
        (OFFSET_MS + 37, 3.5, CLOCK),
        (OFFSET_MS + 40, 4.5, 0),
    ]
    gateway.clock_ms = OFFSET_MS + 99
    bench.take(gateway.send([(1, 50, 5.5, 0)]))
    assert bench.rows("SELECT offset_ms, state FROM boots") == [(OFFSET_MS, "synchronized")]


def test_a_lower_numbered_estimate_that_comes_later_dates_anew(bench: Bench, gateway: Gateway) -> None:
    messages = [gateway.describe()]
    gateway.clock_state = ClockState.UNSET
    messages.append(gateway.send([(1, 10, 1.5, 0), (2, 11, 2.5, 0)]))
    gateway.clock_state = ClockState.SYNCHRONIZED
    messages.append(gateway.send([(1, 20, 3.5, 0)]))
    gateway.clock_ms += 500
    messages.append(gateway.send([(1, 30, 4.5, 0)]))
    bench.take(messages[3], messages[1])
    bench.take(messages[2])
    assert times(bench) == []
    bench.take(messages[0])
    assert times(bench)[0] == (OFFSET_MS + 10, 1.5, 0)
    assert bench.rows("SELECT count(*) FROM samples") == [(4,)]


def test_rows_are_moved_when_the_first_estimate_changes(bench: Bench, gateway: Gateway) -> None:
    other = Gateway(key=gateway.key, stream=bytes([2]) * 16)
    other.clock_ms = OFFSET_MS + 800
    gateway.clock_state = ClockState.UNSET
    bench.take(gateway.describe(), gateway.send([(1, 10, 1.5, 0), (1, 20, 2.5, 0)]))
    late = other.hello(3)
    bench.take(late[3])
    assert times(bench)[:2] == [(OFFSET_MS + 810, 1.5, 0), (OFFSET_MS + 820, 2.5, 0)]
    gateway.clock_state = ClockState.SYNCHRONIZED
    bench.take(gateway.send([(1, 30, 3.5, 0)]))
    assert times(bench)[:3] == [(OFFSET_MS + 10, 1.5, 0), (OFFSET_MS + 20, 2.5, 0), (OFFSET_MS + 30, 3.5, 0)]


def test_the_clock_of_another_boot_or_gateway_dates_nothing(open_bench: Callable[..., Bench]) -> None:
    one, two = Gateway("gw-1"), Gateway("gw-2")
    bench = open_bench(one, two)
    one.clock_state = ClockState.UNSET
    bench.take(one.describe(), one.send([(1, 10, 1.5, 0)]), *two.hello(0), two.send([(1, 9, 9.5, 0)]))
    one.boot, one.clock_state = bytes([8]) * 16, ClockState.SYNCHRONIZED
    bench.take(one.send([(1, 5, 2.5, 0)]))
    assert [row[1] for row in times(bench)] == [2.5, 9.5]
    assert bench.rows("SELECT number, state FROM waiting") == [(2, "clock")]


def test_series_that_no_catalogue_knows_keep_the_batch_aside(bench: Bench, gateway: Gateway) -> None:
    bench.take(gateway.describe())
    assert bench.ack(gateway.send([(9, 1, 1.0, 0)])).cumulative == 2
    assert bench.rows("SELECT state, reason FROM waiting") == [("failed", "series 9 is in no catalogue")]


def test_catalogue_that_redefines_a_number_is_refused(bench: Bench, gateway: Gateway) -> None:
    bench.take(*gateway.hello(1))
    before = bench.tables()
    header = gateway.header(kind=Kind.CATALOGUE, catalogue=None)
    lines = [entry for entry in gateway.lines(4, start=2) if entry.number != 2]
    wrong = [*lines, gateway.lines(1, start=1)[0]]
    wrong[0] = type(wrong[0])(3, "meter1", "other", "V", "float64")
    ack = bench.ack(gateway.make(header, [catalogue.encode(wrong)]))
    assert ack.refused == ((3, "catalogue: series 3 is meter1/p3 already, not meter1/other"),)
    assert bench.tables() == before
    assert bench.ack(gateway.send([(1, 1, 5.5, 0)])).cumulative == 3


def test_new_catalogue_adds_series(bench: Bench, gateway: Gateway) -> None:
    bench.take(*gateway.hello(1), gateway.describe(gateway.lines(5)), gateway.send([(5, 1, 5.5, 0)]))
    assert bench.rows("SELECT point FROM series ORDER BY number") == [(f"p{n}",) for n in range(1, 6)]
    assert len(bench.samples()) == 3


def test_rebuild_gives_the_same_tables(bench: Bench, gateway: Gateway) -> None:
    gateway.clock_state = ClockState.UNSET
    messages = gateway.hello(3)
    gateway.clock_state = ClockState.SYNCHRONIZED
    messages += [gateway.send([(1, 9000, "on", 0)], ledger=(gateway.loses(1, 2),)), gateway.send([(1, 9100, b"x", 0)])]
    bench.take(messages[5], messages[0], messages[1], messages[3])
    before = bench.tables()
    assert derive.rebuild(bench.database) == 4
    assert bench.tables() == before
    assert bench.ack(*messages).cumulative == 6


def test_rebuild_leaves_out_a_batch_that_was_damaged(bench: Bench, gateway: Gateway) -> None:
    bench.take(*gateway.hello(3))
    bench.database.connection.execute("UPDATE batches SET bytes = ? WHERE number = 3", (bytes(99),))
    assert derive.rebuild(bench.database) == 4
    assert bench.rows("SELECT first, last FROM gaps") == [(3, 3)]
    assert len(bench.samples()) == 4
