"""What is refused is kept within bounds, and what is not kept any more is counted."""

from collections.abc import Callable

import pytest

from collector.receiving import aside
from collector.receiving.incoming import Message
from tests.collector.maker import Bench, Gateway


def junk(number: int, size: int = 10) -> Message:
    return Message("lamppost/v1/nord/gw-0017/batch", number.to_bytes(4, "big") + bytes(size))


def test_the_newest_unsigned_rows_stay(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "UNSIGNED_ROWS", 10)
    for number in range(25):
        bench.take(junk(number))
    kept = [int.from_bytes(row[0][:4], "big") for row in bench.rows("SELECT bytes FROM refused ORDER BY id")]
    assert kept == list(range(15, 25))
    assert bench.rows("SELECT reason, count, overflow FROM refusals") == [("format", 25, 15)]


def test_unsigned_bytes_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "UNSIGNED_BYTES", 1000)
    bench.take(*(junk(number, 96) for number in range(30)))
    assert bench.rows("SELECT count(*), sum(length(bytes)) FROM refused") == [(10, 1000)]


def test_junk_does_not_push_out_what_is_signed(bench: Bench, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "UNSIGNED_ROWS", 3)
    bad = gateway.make(gateway.header(samples=1, catalogue=bytes([1]) * 32), [b"nonsense"])
    bench.take(junk(1), bad, *(junk(number) for number in range(20)))
    assert (bad.payload,) in bench.rows("SELECT bytes FROM refused")
    assert bench.rows("SELECT count(*) FROM refused") == [(4,)]


def test_one_gateway_cannot_fill_the_place_of_another(
    open_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "SIGNED_ROWS", 5)
    one, two = Gateway("gw-1"), Gateway("gw-2")
    bench = open_bench(one, two)

    def bad(gateway: Gateway, number: int) -> Message:
        header = gateway.header(samples=1, catalogue=bytes([1]) * 32, number=number, previous=bytes([2]) * 32)
        return gateway.make(header, [b"nonsense"])

    replies = bench.take(*(bad(one, number) for number in range(2, 20)), bad(two, 2))
    assert len(replies) == 2
    assert bench.rows("SELECT gateway, count(*) FROM rejects GROUP BY 1 ORDER BY 1") == [("gw-1", 5), ("gw-2", 1)]
    assert bench.rows("SELECT count, overflow FROM refusals") == [(19, 13)]


def test_hostile_topic_is_cut(bench: Bench) -> None:
    bench.take(Message("x" * 60_000, b""))
    assert bench.rows("SELECT length(topic) FROM refused") == [(1024,)]
