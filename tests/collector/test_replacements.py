"""A counter goes on over an exchanged meter, exactly, whatever the order of arrival; odd events count nothing."""

import json
from decimal import Decimal

import pytest
from click.testing import CliRunner

from buffer.catalogue import SeriesEntry
from collector import query
from collector.cli.query import command as query_command
from collector.cli.replacements import command
from collector.replacements import Continuous, read
from ext import GOOD
from tests.collector.maker import OFFSET_MS, Bench, Gateway

LINES = [
    SeriesEntry(1, "meter1", "energy", "kWh", "float32"),
    SeriesEntry(2, "gateway", "replacement", "", "json"),
    SeriesEntry(3, "meter1", "energy.count", "", ""),
    SeriesEntry(4, "meter1", "power", "W", ""),
]


def event(number: str = "a", final: str = "48211.7", start: str = "0.3", **changed: object) -> str:
    """What a gateway says of an exchange."""
    said = {
        "id": number, "device": "meter1", "point": "energy", "final": final, "start": start, "unit": "kWh",
        "who": "anna", "why": "calibration", "withdrawn": False, "ago_ms": 0,
    }  # fmt: skip
    return json.dumps(said | changed)


def continuous(bench: Bench, point: str = "energy") -> list[str | None]:
    """The counter as it goes on."""
    rows = query.samples(bench.database, device="meter1", point=point)
    return [row["continuous"] for row in Continuous(read(bench.database)).rows(rows)]


def test_a_counter_goes_on_where_the_old_meter_ended(bench: Bench, gateway: Gateway) -> None:
    bench.take(
        gateway.describe(LINES),
        gateway.send([
            (1, 1000, Decimal("48211.6"), GOOD), (1, 2000, Decimal("48211.7"), GOOD), (1, 3000, None, 2),
            (1, 60_000, Decimal("0.3"), GOOD), (1, 61_000, Decimal("0.4"), GOOD),
            (3, 61_000, 60, GOOD), (4, 61_000, 5, GOOD),
        ]),
        gateway.send([(2, 90_000, event(ago_ms=50_000), GOOD)]),
    )  # fmt: skip
    assert continuous(bench) == ["48211.6", "48211.7", None, "48211.7", "48211.8"]
    assert continuous(bench, "energy.count") == ["60"]
    assert continuous(bench, "power") == ["5"]
    (one,) = read(bench.database)
    assert (one.at_ms, one.offset) == (OFFSET_MS + 40_000, Decimal("48211.4"))


def test_a_second_exchange_adds_and_a_withdrawn_one_does_not(bench: Bench, gateway: Gateway) -> None:
    bench.take(
        gateway.describe(LINES),
        gateway.send([(1, 1000 * n, n, GOOD) for n in range(1, 6)]),
        gateway.send([(2, 2000, event("a", "100", "0"), GOOD), (2, 2500, event("b", "7", "2"), GOOD),
                      (2, 4000, event("c", "1000", "0"), GOOD)]),
    )  # fmt: skip
    assert continuous(bench) == ["1", "102", "108", "1109", "1110"]
    bench.take(gateway.send([(2, 9000, event("c", "1000", "0", withdrawn=True, ago_ms=5000), GOOD)]))
    assert continuous(bench) == ["1", "102", "108", "109", "110"]
    bench.take(gateway.send([(2, 9500, event("b", "7", "2", ago_ms=7000), GOOD)]))  # told twice after a power cut
    assert continuous(bench) == ["1", "102", "108", "109", "110"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"id": "a"}', event(final="NaN"), event(final="x"), event(start="1e999999999"),
     event(ago_ms=-1), event(ago_ms="1"), event(ago_ms=True), event(withdrawn=0), event(device=5), "[" * 9000],
)  # fmt: skip
def test_an_odd_event_counts_nothing(bench: Bench, gateway: Gateway, text: str) -> None:
    bench.take(gateway.describe(LINES), gateway.send([(1, 2000, 5, GOOD), (2, 1000, text, GOOD)]))
    assert continuous(bench) == ["5"]


def test_the_verbs_show_both_counters(bench: Bench, gateway: Gateway) -> None:
    bench.take(
        gateway.describe(LINES),
        gateway.send([(1, 1000, 90, GOOD), (1, 2000, 1, GOOD), (2, 1500, event("a", "91", "0"), GOOD)]),
    )
    words = ["--database", str(bench.database.path)]
    done = CliRunner().invoke(query_command, [*words, "--point", "meter1/energy", "--continuous", "--json"])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["value"], row["continuous"]) for row in rows] == [(90, "90"), (1, "92")]
    assert "continuous" in CliRunner().invoke(query_command, [*words, "--continuous"]).stdout
    (told,) = (json.loads(line) for line in CliRunner().invoke(command, [*words, "--json"]).stdout.splitlines())
    assert (told["point"], told["final"], told["offset"], told["who"]) == ("energy", "91", "91", "anna")
    assert "meter1/energy" in CliRunner().invoke(command, words).stdout
