"""A Sparkplug B edge node as a host sees it: payloads by a decoder that is not ours, sessions as 3.0 has them."""

import math
import struct
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("google.protobuf", reason="the decoder of the tests is Google's")

from ext import GOOD, NO_ANSWER, SENTINEL, STALE, Value
from gateway.errors import WireError
from gateway.keeping.history import Sample
from gateway.northbound import protobuf, sparkplug
from gateway.northbound.form import MESSAGE_BYTES, Publish
from gateway.northbound.node import REBIRTH_EVERY_MS, SparkplugNode
from tests.gateway.northbound.decoder import CLASSES, properties, read, value

UTC = 1_790_000_000_000
NCMD = "spBv1.0/nord/NCMD/gw-1"


class Clock:
    def __init__(self) -> None:
        self.now = 5_000

    def utc_ms(self) -> int:
        return UTC + self.now

    def boot_ms(self) -> int:
        return self.now


def made() -> tuple[SparkplugNode, Clock]:
    clock = Clock()
    return SparkplugNode("nord", "gw-1", clock.utc_ms, clock.boot_ms), clock


def one(point: str, said: Value, at: int = 0, quality: int = GOOD, unit: str = "V") -> Sample:
    return Sample(point, unit, said, quality, "synchronized", bytes(16), at, UTC + at)


def kinds(messages: list[Publish]) -> list[str]:
    """The type, and the device if there is one."""
    parts = [message.topic.split("/") for message in messages]
    assert all(part[:2] == ["spBv1.0", "nord"] and part[3] == "gw-1" for part in parts)
    return ["/".join((part[2], *part[4:])) for part in parts]


def rebirth(said: bool = True, name: str = "Node Control/Rebirth") -> bytes:
    """What a host sends (6.4.26), by Google's encoder."""
    metric = CLASSES["Metric"](name=name, timestamp=UTC, datatype=11, boolean_value=said)
    command: bytes = CLASSES["Payload"](timestamp=UTC, metrics=[metric]).SerializeToString()
    return command


def test_a_session_from_birth_to_death() -> None:
    node, clock = made()
    will = node.will()
    messages = node.greeting()
    messages += node.convert([one("meter/u", Decimal("230.25")), one("meter/on", True, unit=""), one("lamp/level", 40)])
    messages += node.convert([one("meter/u", Decimal("231.5"), 1000)])
    assert kinds(messages) == ["NBIRTH", "DBIRTH/meter", "DDATA/meter", "DBIRTH/lamp", "DDATA/lamp", "DDATA/meter"]
    payloads = [read(message.payload) for message in messages]
    assert [payload.seq for payload in payloads] == [0, 1, 2, 3, 4, 5]
    assert all(payload.timestamp == UTC + clock.now for payload in payloads)

    birth = {metric.name: metric for metric in payloads[0].metrics}
    assert birth.keys() == {"bdSeq", "Node Control/Rebirth"}
    assert (birth["Node Control/Rebirth"].datatype, value(birth["Node Control/Rebirth"])) == (11, False)
    assert not birth["Node Control/Rebirth"].HasField("alias")
    (dying,) = read(will.payload).metrics
    assert (will.topic, dying.name, dying.datatype) == ("spBv1.0/nord/NDEATH/gw-1", "bdSeq", 4)
    assert value(dying) == value(birth["bdSeq"])
    assert not read(will.payload).HasField("seq")
    assert node.farewell() == [will]

    device = payloads[1].metrics
    assert [(m.name, m.datatype, value(m), properties(m).get("engUnit")) for m in device] == [
        ("u", 10, None, "V"),
        ("on", 11, None, None),
    ]
    aliases = [metric.alias for payload in (payloads[1], payloads[3]) for metric in payload.metrics]
    assert len(set(aliases)) == 3
    told = payloads[2].metrics
    assert [(m.alias, m.timestamp, value(m)) for m in told] == [(aliases[0], UTC, 230.25), (aliases[1], UTC, True)]
    assert not any(m.HasField("name") or m.is_historical or m.HasField("properties") for m in told)


def test_backlog_is_historical_and_changes_nothing_of_now() -> None:
    node, _ = made()
    node.will(), node.greeting()
    node.convert([one("meter/u", 5.0, 10_000)])
    (late,) = node.convert([one("meter/u", 1.0, 1000), one("meter/u", 2.0, 2000)])
    assert [(m.is_historical, value(m)) for m in read(late.payload).metrics] == [(True, 1.0), (True, 2.0)]
    (now,) = node.convert([one("meter/u", 6.0, 11_000), one("meter/u", 7.0, 12_000)])
    assert [m.is_historical for m in read(now.payload).metrics] == [False, False]
    birth = node.greeting()[1]
    assert [value(m) for m in read(birth.payload).metrics] == [7.0]


def test_rebirth_is_answered_by_all_births_in_a_new_sequence() -> None:
    node, clock = made()
    node.will(), node.greeting()
    node.convert([one("meter/u", 5.0), one("lamp/level", 1)])
    counter = value(read(node.greeting()[0].payload).metrics[0])
    answer = node.received(NCMD, rebirth())
    assert kinds(answer) == ["NBIRTH", "DBIRTH/meter", "DBIRTH/lamp"]
    assert [read(message.payload).seq for message in answer] == [0, 1, 2]
    assert value(read(answer[0].payload).metrics[0]) == counter, "a rebirth is of the same session (bdSeq stays)"
    assert node.received(NCMD, rebirth()) == [], "not at once again"
    clock.now += REBIRTH_EVERY_MS
    assert node.received("spBv1.0/nord/NCMD/other", rebirth()) == []
    assert node.received(NCMD, rebirth(said=False)) == []
    assert node.received(NCMD, rebirth(name="Node Control/Reboot")) == []
    assert node.received(NCMD, rebirth())
    assert node.topics == (NCMD,), "no DCMD: nothing is written but by signed commands"


def test_a_new_session_has_another_counter() -> None:
    node, _ = made()
    seen = [value(read(node.will().payload).metrics[0]) for _ in range(257)]
    assert set(seen) == set(range(256))
    assert all((b - a) % 256 == 1 for a, b in pairwise(seen))


def test_a_device_that_does_not_answer_dies_and_is_born_again() -> None:
    node, _ = made()
    node.will(), node.greeting()
    assert kinds(node.convert([one("meter/u", None, 0, NO_ANSWER)])) == [], "it was never there"
    node.convert([one("meter/u", 1.0, 1000), one("meter/i", 2.0, 1000)])
    assert kinds(node.convert([one("meter/u", None, 2000, NO_ANSWER)])) == ["DDATA/meter"], "one point of two"
    messages = node.convert([one("meter/i", None, 2000, NO_ANSWER)])
    assert kinds(messages) == ["DDATA/meter", "DDEATH/meter"]
    assert list(read(messages[1].payload).metrics) == []
    assert node.convert([one("meter/u", None, 3000, NO_ANSWER)]) == []
    assert kinds(node.greeting()) == ["NBIRTH"], "the dead are not born"
    assert kinds(node.convert([one("meter/u", 1.5, 500)])) == ["DBIRTH/meter", "DDATA/meter", "DDEATH/meter"], "history"
    assert kinds(node.convert([one("meter/u", 1.0, 4000)])) == ["DBIRTH/meter", "DDATA/meter"]


def test_what_changes_is_born_anew() -> None:
    node, _ = made()
    node.will(), node.greeting()
    node.convert([one("meter/u", 1)])
    assert kinds(node.convert([one("meter/i", 1)])) == ["DBIRTH/meter", "DDATA/meter"], "a new point"
    assert kinds(node.convert([one("meter/u", 2, unit="mV")])) == ["DBIRTH/meter", "DDATA/meter"], "another unit"
    birth, data = node.convert([one("meter/u", 2**60, unit="mV")])
    (metric,) = read(data.payload).metrics
    assert (metric.datatype, value(metric)) == (4, 2**60), "what a double does not hold"
    assert {m.name: m.datatype for m in read(birth.payload).metrics} == {"u": 4, "i": 10}


def test_qualities() -> None:
    node, _ = made()
    node.will(), node.greeting()
    samples = [one("m/a", 1.0), one("m/b", 1.0, 0, STALE), one("m/c", None, 0, SENTINEL)]
    _, data = node.convert(samples)
    found = [(value(m), properties(m).get("Quality")) for m in read(data.payload).metrics]
    assert found == [(1.0, None), (1.0, 500), (None, 0)]


values = st.one_of(
    st.booleans(), st.text(max_size=50), st.binary(max_size=50), st.floats(), st.decimals(allow_nan=False),
    st.integers(-(2**63), 2**64 - 1), st.none(),
)  # fmt: skip


@given(st.lists(values, min_size=1, max_size=20))
def test_every_value_is_read_by_others(found: list[Value]) -> None:
    node, _ = made()
    node.will(), node.greeting()
    messages = node.convert([one(f"d/p{n}", said) for n, said in enumerate(found)])
    (data,) = [message for message in messages if "/DDATA/" in message.topic]
    for said, metric in zip(found, read(data.payload).metrics, strict=True):
        got = value(metric)
        if isinstance(said, float | Decimal):
            assert struct.pack("d", got) == struct.pack("d", float(said)) or (math.isnan(got) and math.isnan(said))
        else:
            assert got == said
            assert said is None or isinstance(got, float) or type(got) is type(said)


def test_large_batches_are_several_messages() -> None:
    node, _ = made()
    node.will(), node.greeting()
    samples = [one("d/p", "x" * 1000, at) for at in range(200)]
    messages = node.convert(samples)[1:]
    assert all(len(message.payload) < MESSAGE_BYTES + 100 for message in messages)
    assert sum(len(read(message.payload).metrics) for message in messages) == 200
    assert [read(message.payload).seq for message in messages] == list(range(2, 2 + len(messages)))


@given(st.binary(max_size=200))
def test_hostile_commands_are_nothing(command: bytes) -> None:
    node, _ = made()
    node.will(), node.greeting()
    assert node.received(NCMD, command) == []
    try:
        found = list(protobuf.fields(command))
    except WireError:
        return
    assert all(isinstance(said, int | bytes) for _, said in found)


def test_a_mutated_or_endless_command_is_nothing() -> None:
    good = rebirth()
    for at in range(len(good)):
        try:
            sparkplug.asks_rebirth(good[:at])
            sparkplug.asks_rebirth(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        except WireError:
            continue
    for bad in (bytes(100_000), b"\x08\x01" * 20_000, b"\xff" * 20, b"\x12\xff\xff\xff\xff\x0f"):
        with pytest.raises(WireError):
            sparkplug.asks_rebirth(bad)
