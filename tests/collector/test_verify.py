"""The walk over a stored chain: clean when nothing was touched, and each way to tamper with the file is found."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from buffer import batch as batches
from buffer.header import ClockState, Replaced
from collector.errors import ProofBroken
from collector.receiving.incoming import Message
from collector.verify.report import Report
from collector.verify.walk import Heads, walk
from ext import CLOCK
from tests.collector.maker import OFFSET_MS, SQLITE, Bench, Gateway
from tests.collector.test_cli import call, data


def reports(bench: Bench, heads: Heads | None = None) -> list[Report]:
    return list(walk(bench.database, heads=heads))


def kinds(bench: Bench) -> set[str]:
    return {fault["kind"] for report in reports(bench) for fault in report.faults}


def everything(gateway: Gateway) -> list[Message]:
    """Batches of every sort: samples, losses, thinned ones with their originals or without, a boot without a clock."""
    messages = gateway.hello(5, each=20)
    digest = {n: batches.batch_hash(m.payload) for n, m in enumerate(messages, 1)}
    messages.append(gateway.send([(1, 9000, 2**60, 0), (2, 9001, "text", 0)], ledger=(gateway.loses(3, 8),)))
    messages.append(gateway.thin([(1, 2000, 2.5, 0)], Replaced(3, 4, digest[4], 40)))
    gateway.clock_state, gateway.boot = ClockState.UNSET, bytes([8]) * 16
    messages.append(gateway.send([(1, 50, 1.5, CLOCK), (2, 60, None, 6)]))
    gateway.clock_state, gateway.clock_ms = ClockState.SYNCHRONIZED, OFFSET_MS + 99_999_999
    messages.append(gateway.send([(1, 70, float("nan"), 0)]))
    return messages


@pytest.fixture
def full(bench: Bench, gateway: Gateway) -> Bench:
    bench.take(*everything(gateway))
    return bench


def test_what_nobody_touched_is_proved(full: Bench) -> None:
    (report,) = reports(full)
    assert (report.state, report.faults, report.missing) == ("proved", [], [])
    assert (report.batches, report.last, report.ledgered) == (10, 10, 1)
    assert report.samples == full.rows("SELECT count(*) FROM samples")[0][0] == 105


@pytest.mark.parametrize("late", [(2, 3), (7,), (8,), (0,)])
def test_every_order_of_arrival_is_proved_or_incomplete(bench: Bench, gateway: Gateway, late: tuple[int, ...]) -> None:
    messages = everything(gateway)
    bench.take(*(m for n, m in enumerate(messages) if n not in late))
    first = reports(bench)[0]
    assert first.faults == []
    bench.take(*(messages[n] for n in late))
    (report,) = reports(bench)
    assert (report.state, report.faults) == ("proved", [])
    if late == (2, 3):  # thinned batch first: it stands for them, so nothing was missing
        assert (first.state, first.replaced) == ("proved", 2)
    else:
        assert (first.state, first.missing) == ("incomplete", [(late[0] + 1, late[0] + 1)])


TAMPERED = {
    "a byte": (
        "UPDATE batches SET bytes = CAST(substr(bytes, 1, 199) || '!' || substr(bytes, 201) AS BLOB) WHERE number = 3",
        "signature",
    ),
    "a signature": (
        "UPDATE batches SET bytes = CAST(substr(bytes, 1, length(bytes) - 1) || '!' AS BLOB) WHERE number = 3",
        "signature",
    ),
    "cut short": ("UPDATE batches SET bytes = substr(bytes, 1, 50) WHERE number = 3", "signature"),
    "a hash": ("UPDATE batches SET hash = replace(hash, substr(hash, 1, 1), 'g') WHERE number = 5", "altered"),
    "another's bytes": (
        "UPDATE batches SET bytes = (SELECT bytes FROM batches WHERE number = 4) WHERE number = 5",
        "altered",
    ),
    "a boot": ("UPDATE batches SET boot = '00' WHERE number = 5", "altered"),
    "one deleted": ("DELETE FROM batches WHERE number = 5", "removed"),
    "the last deleted": ("DELETE FROM batches WHERE number = 10", "removed"),
    "all deleted": ("DELETE FROM batches", "removed"),
    "a value": ("UPDATE samples SET value = value + 1 WHERE rowid = 7", "samples"),
    "an exact value": ("UPDATE samples SET exact = '1' WHERE exact IS NOT NULL", "samples"),
    "a time": ("UPDATE samples SET ts_ms = ts_ms + 3600000 WHERE rowid = 7", "samples"),
    "a quality": ("UPDATE samples SET quality = 1 WHERE rowid = 7", "samples"),
    "a row deleted": ("DELETE FROM samples WHERE rowid = 7", "samples"),
    "a row added": ("INSERT INTO samples VALUES (1, 5, 1, NULL, NULL, 0, 999)", "samples"),
    "a row doubled": ("INSERT INTO samples SELECT * FROM samples WHERE rowid = 7", "samples"),
    "left out": (
        "INSERT INTO waiting SELECT gateway, stream, 2, 'superseded', NULL, '', 1, '' FROM streams",
        "samples",
    ),
    "a point": ("UPDATE series SET point = 'p9' WHERE number = 1", "series"),
    "made public": ("UPDATE series SET public = 1 WHERE number = 1", "series"),
    "a loss hidden": ("DELETE FROM gaps WHERE state = 'ledgered'", "ledger"),
    "a loss made up": (
        "INSERT INTO gaps (gateway, stream, reason, state) SELECT gateway, stream, 'x', 'ledgered' FROM streams",
        "ledger",
    ),
    "a clock": ("UPDATE boots SET offset_ms = offset_ms + 1", "clock"),
    "book-keeping": ("UPDATE streams SET newest = 4", "gaps"),
}  # fmt: skip


@SQLITE
@pytest.mark.parametrize(("sql", "kind"), TAMPERED.values(), ids=TAMPERED.keys())
def test_tampering_is_found(full: Bench, sql: str, kind: str) -> None:
    full.database.connection.execute(sql)
    assert kind in kinds(full)


@SQLITE
def test_a_removed_end_with_its_traces_is_found_by_an_earlier_walk(full: Bench) -> None:
    heads = {(r.gateway, r.stream): (r.last, r.hash) for r in reports(full)}
    assert reports(full, heads)[0].state == "proved"
    for sql in (
        "DELETE FROM samples WHERE batch >= 9",
        "DELETE FROM batches WHERE number >= 9",
        "DELETE FROM boots WHERE boot LIKE '08%'",
        "DELETE FROM clockless",
        "UPDATE streams SET newest = 8",
    ):
        full.database.connection.execute(sql)
    assert reports(full)[0].state == "proved", "a chain that is cut with all that knew of its end is a shorter chain"
    assert [fault["kind"] for fault in reports(full, heads)[0].faults] == ["removed"]


def test_a_fork_and_a_key_that_is_gone(full: Bench, gateway: Gateway) -> None:
    clone = Gateway(key=gateway.key)
    clone.describe(clone.lines(2))
    full.take(clone.send([(1, 77, 77.5, 0)]))
    assert kinds(full) == {"fork"}
    full.database.connection.execute("UPDATE gateways SET kid = '0011223344556677'")
    assert "signature" in kinds(full)


@SQLITE
def test_the_verb(open_bench: Callable[..., Bench], gateway: Gateway, tmp_path: Path) -> None:
    bench = open_bench(gateway)
    messages = gateway.hello(4)
    bench.take(*messages[:2], *messages[3:])
    path = bench.database.path
    code, out, error = call("verify", "--database", path, "--json")
    assert (code, json.loads(out)["missing"]) == (75, [[3, 3]])
    bench.take(messages[2])
    (row,) = data("verify", "--database", path, "--gateway", "gw-0017")
    assert (row["state"], row["last"], row["fault_count"]) == ("proved", 5, 0)
    earlier = tmp_path / "heads.json"
    earlier.write_text(json.dumps(row) + "\n")
    assert data("verify", "--database", path, "--heads", earlier)[0]["state"] == "proved"
    bench.database.connection.execute("UPDATE samples SET value = 0 WHERE batch = 4")
    code, out, error = call("verify", "--database", path)
    assert (code, ProofBroken.exit_code) == (65, 65)
    assert "broken" in out
    assert "batch 4: samples" in error
    earlier.write_text("[1]\n")
    assert call("verify", "--database", path, "--heads", earlier)[0] == 74
