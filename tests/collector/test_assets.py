"""What the catalogue says of assets, and a sensor that several gateways hear, which is there once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from buffer.catalogue import SeriesEntry
from collector import query
from collector.receiving import derive
from collector.receiving.incoming import Message
from collector.tables.database import Database
from tests.collector.maker import OFFSET_MS, SQLITE, Bench, Gateway, age

TEMPERATURE, RSSI, COUNTER = 1, 2, 3
BIN = "B-4"


@pytest.fixture
def south() -> Gateway:
    """A second gateway."""
    return Gateway(gateway="gw-0018", stream=bytes([2]) * 16)


def lines(asset: str = BIN, device: str = "bin4", counter: str | None = "sequence") -> list[SeriesEntry]:
    """A sensor's series: temperature, signal strength, and its counter if it has one."""
    points = [("temperature", "Cel"), ("rssi", "dBm"), *([(counter, "")] if counter else [])]
    labels = (("ö", "ä"), ("street", "Main"))
    return [
        SeriesEntry(n, device, point, unit, "int16", asset, (43.5, -79.6), labels, n == TEMPERATURE)
        for n, (point, unit) in enumerate(points, 1)
    ]


def heard(gateway: Gateway, *messages: tuple[int, float, int, int]) -> Message:
    """A batch of (boot_ms, temperature, rssi, counter); -1: it counts nothing."""
    return gateway.send(
        [
            (number, at, value, 0)
            for at, temperature, rssi, count in messages
            for number, value in ((TEMPERATURE, temperature), (RSSI, rssi), (COUNTER, count))
            if value != -1
        ]
    )  # fmt: skip


def once(bench: Bench, point: str = "temperature", **how: object) -> list[tuple[object, ...]]:
    """Time since the offset, value, strength and gateway of the asset's samples."""
    rows = query.samples(bench.database, asset=BIN, point=point, **how)  # type: ignore[arg-type]
    return [(row["utc_ms"] - OFFSET_MS, row["value"], row["rssi"], row["gateway"]) for row in rows]


@pytest.fixture
def both(open_bench: Callable[..., Bench], gateway: Gateway, south: Gateway) -> Bench:
    """A collector that knows both."""
    return open_bench(gateway, south)


def test_each_message_is_there_once_as_it_was_heard_best(both: Bench, gateway: Gateway, south: Gateway) -> None:
    both.take(gateway.describe(lines()), south.describe(lines()))
    both.take(heard(gateway, (1000, 20, -60, 7), (2000, 21, -90, 8), (3000, 21, -60, 9), (90_000, 25, -70, 7)))
    both.take(heard(south, (1400, 20, -80, 7), (1900, 21, -50, 8), (4000, 22, -99, 10)))
    wanted = [
        (1000, 20, -60, "gw-0017"),
        (1900, 21, -50, "gw-0018"),
        (3000, 21, -60, "gw-0017"),  # which one gateway alone heard
        (4000, 22, -99, "gw-0018"),
        (90_000, 25, -70, "gw-0017"),  # the counter came round
    ]
    assert once(both) == wanted
    assert once(both, "sequence") == [
        (at, count, rssi, by) for count, (at, _, rssi, by) in zip((7, 8, 9, 10, 7), wanted, strict=True)
    ]
    assert once(both, limit=2, until_ms=OFFSET_MS + 4000) == wanted[2:4]
    assert len(list(query.samples(both.database, point="temperature"))) == 7  # nothing is taken from the tables


def test_a_sensor_without_counter_is_told_by_value_and_time(both: Bench, gateway: Gateway, south: Gateway) -> None:
    both.take(gateway.describe(lines(counter=None)), south.describe(lines(counter=None)))
    both.take(heard(gateway, (1000, 20, -60, -1), (2000, 20, -60, -1), (9000, 20, -60, -1)))
    both.take(heard(south, (1500, 20, -50, -1), (3000, 21, -80, -1)))
    assert once(both) == [(1500, 20, -50, "gw-0018"), (3000, 21, -80, "gw-0018"), (9000, 20, -60, "gw-0017")]


def test_two_sensors_of_one_asset_stay_two(bench: Bench, gateway: Gateway) -> None:
    second = [SeriesEntry(n.number + 3, "bin5", n.point, n.unit, n.type, BIN) for n in lines()]
    bench.take(gateway.describe([*lines(), *second]))
    bench.take(gateway.send([(n, 1000, v, 0) for n, v in ((1, 20), (2, -60), (3, 7), (4, 20), (5, -50), (6, 7))]))
    assert sorted(once(bench)) == [(1000, 20, -60, "gw-0017"), (1000, 20, -50, "gw-0017")]


def test_a_message_that_one_gateway_heard_twice_is_there_once(bench: Bench, gateway: Gateway) -> None:
    bench.take(gateway.describe(lines(counter="packet-id")), heard(gateway, (1000, 20, -60, 7), (1200, 20, -55, 7)))
    assert once(bench) == [(1200, 20, -55, "gw-0017")]


def test_what_is_no_radio_sensor_keeps_every_sample(both: Bench, gateway: Gateway, south: Gateway) -> None:
    plain = [SeriesEntry(1, "meter", "temperature", "Cel", "int16", BIN)]
    for one in (gateway, south):
        both.take(one.describe(plain), one.send([(1, at, 5, 0) for at in (1000, 1001)]))
    assert len(once(both)) == 4


def test_the_catalogue_is_in_the_table(bench: Bench, gateway: Gateway) -> None:
    bench.take(gateway.describe([*lines(), SeriesEntry(9, "gateway", "uptime", "s", "uint32")]))
    sql = "SELECT number, asset_id, latitude, longitude, labels, public FROM series ORDER BY number"
    wanted = [
        (n, BIN, 43.5, -79.6, '{"street": "Main", "ö": "ä"}', int(n == TEMPERATURE)) for n in (1, 2, 3)
    ] + [(9, "", None, None, "{}", 0)]  # fmt: skip
    assert bench.rows(sql) == wanted
    derive.rebuild(bench.database)
    assert bench.rows(sql) == wanted


@SQLITE
def test_a_database_of_before_learns_it_by_a_rebuild_or_the_next_catalogue(
    open_bench: Callable[..., Bench], tmp_path: Path, gateway: Gateway
) -> None:
    bench = open_bench(gateway)
    bench.take(gateway.describe(lines()), heard(gateway, (1000, 20, -60, 7)))
    age(bench.database.path, 3)
    Database.open(bench.database.path).close()
    assert bench.rows("SELECT DISTINCT asset_id, labels FROM series") == [("", "{}")]
    assert once(bench) == []
    bench.take(gateway.describe(lines()))
    assert once(bench) == [(1000, 20, -60, "gw-0017")]
    age(bench.database.path, 3)
    Database.open(bench.database.path).close()
    derive.rebuild(bench.database)
    assert once(bench) == [(1000, 20, -60, "gw-0017")]
