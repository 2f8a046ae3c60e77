"""The agent towards another platform: every sample of the store is told, exactly, and only PUBACKs free the buffer."""

import asyncio
import json
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import Any

import cbor2
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

pytest.importorskip("google.protobuf", reason="the decoder of the tests is Google's")

from buffer.reader import Reader
from ext.quality import BAD, quality_class
from gateway.keeping.history import History, Selection
from tests.gateway.conftest import run_dir as _run_dir
from tests.gateway.northbound import decoder
from tests.gateway.process import GATEWAY, SITE, Lone
from tests.mosquitto import Mosquitto

run_dir = _run_dir
NODE = f"spBv1.0/{SITE}/%s/{GATEWAY}"
SETTLED = 20


@dataclass
class Host:
    """What another platform's application hears, in order."""

    client: paho.Client
    heard: list[tuple[str, bytes]] = field(default_factory=list)


@contextmanager
def host(broker: Mosquitto, *topics: str) -> Iterator[Host]:
    """A subscriber that is there before the agent."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    made, ready = Host(client), queue.SimpleQueue[bool]()
    client.on_message = lambda _client, _data, m: made.heard.append((m.topic, bytes(m.payload)))
    client.on_subscribe = lambda *_: ready.put(True)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe([(topic, 1) for topic in topics])
    ready.get(timeout=10)
    try:
        yield made
    finally:
        client.disconnect()
        client.loop_stop()


def stored(path: Path) -> dict[str, list[Any]]:
    """The values of each point in the store that is closed, in their order. Blocks."""
    found: dict[str, list[tuple[int, Any]]] = {}
    with Reader(path) as reader:
        for sample in History(reader, Selection()).samples():
            if sample.value is not None and quality_class(sample.quality) != BAD:
                found.setdefault(sample.point, []).append((sample.boot_ms, sample.value))
    return {point: [value for _, value in sorted(pairs, key=itemgetter(0))] for point, pairs in found.items()}


def compare(told: dict[str, list[tuple[Any, Any]]], known: dict[str, list[Any]]) -> None:
    """All that was told, by time, is stored in that order; what was under way at the end may be missing."""
    assert told.keys() == known.keys()
    for point, pairs in told.items():
        values = iter(known[point])
        said = [value for _, value in sorted(pairs, key=itemgetter(0))]
        assert all(any(_same(value, other) for other in values) for value in said), point
        assert len(said) >= 0.7 * len(known[point])


def _same(value: Any, other: Any) -> bool:
    return bool(value == other or (not isinstance(value, str) and float(value) == float(other)))


async def delivered(lone: Lone) -> None:
    """Run for a while, and stop when the buffer is free but for the newest."""
    await lone.until(lambda status: status["uplink"]["acknowledged"] >= SETTLED)
    status = await lone.until(lambda status: status["buffer"]["held"]["batches"] <= 1)
    assert status["buffer"]["held"]["refused"] == 0
    assert (await lone.stop())[0] == 0


@pytest.mark.parametrize("encoding", ["json", "cbor"])
async def test_senml(tmp_path: Path, run_dir: Path, mosquitto: Mosquitto, encoding: str) -> None:
    async with Lone(tmp_path, run_dir) as lone:
        with host(mosquitto, f"lamppost/v1/{SITE}/{GATEWAY}/senml") as other:
            uplink = f'brokers = ["{mosquitto.url}"]\nacknowledge = "broker"\nformat = "senml-{encoding}"'
            await lone.start(uplink, batch="200ms")
            await delivered(lone)
            known = await asyncio.to_thread(stored, lone.buffer)
            told: dict[str, list[tuple[Any, Any]]] = {}
            bn, bt, n, t, *values = (
                ("bn", "bt", "n", "t", "v", "vs", "vb", "vd") if encoding == "json" else (-2, -3, 0, 6, 2, 3, 4, 8)
            )
            for count, (_, payload) in enumerate(other.heard):
                pack = json.loads(payload, parse_float=Decimal) if encoding == "json" else cbor2.loads(payload)
                assert pack[0][bn] == f"lamppost:{GATEWAY}/"
                for record in pack:
                    at = pack[0][bt] + record[t]
                    told.setdefault(record[n], []).append(
                        ((at if at >= 1 << 28 else count), next(record[name] for name in values if name in record))
                    )
    compare(told, known)


async def test_a_pack_that_the_broker_refuses_waits_and_breaks_no_link(
    tmp_path: Path, run_dir: Path, make_mosquitto: Callable[..., Mosquitto]
) -> None:
    """PUBACK with 0x87, not authorized (MQTT 5.0, 3.4.2.1): another pack may be taken, and this one later."""
    rules = tmp_path / "acl"
    rules.write_text(f"topic readwrite #\ntopic deny lamppost/v1/{SITE}/{GATEWAY}/senml\n")
    broker = make_mosquitto(f"acl_file {rules}")
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start(f'brokers = ["{broker.url}"]\nacknowledge = "broker"\nformat = "senml-json"', batch="200ms")
        status = await lone.until(
            lambda status: (
                status["uplink"]["refusal"]
                and status["uplink"]["in_flight"] >= 3
                and status["buffer"]["held"]["batches"] >= 3  # nothing of it is lost
            )
        )
        assert status["uplink"]["connections"] == 1
        assert (await lone.stop())[0] == 0


async def test_sparkplug(tmp_path: Path, run_dir: Path, mosquitto: Mosquitto) -> None:
    async with Lone(tmp_path, run_dir) as lone:
        with host(mosquitto, "spBv1.0/#") as other:
            uplink = f'brokers = ["{mosquitto.url}"]\nacknowledge = "broker"\nformat = "sparkplug-b"'
            await lone.start(uplink, batch="200ms")
            await lone.until(lambda status: status["uplink"]["acknowledged"] >= SETTLED)
            metric = decoder.CLASSES["Metric"](name="Node Control/Rebirth", datatype=11, boolean_value=True)
            command = decoder.CLASSES["Payload"](timestamp=1, metrics=[metric]).SerializeToString()
            births = len([topic for topic, _ in other.heard if "/NBIRTH/" in topic])
            other.client.publish(NODE % "NCMD", command, qos=1)
            await _until(lambda: len([t for t, _ in other.heard if "/NBIRTH/" in t]) > births, "a rebirth")
            await delivered(lone)
            known = await asyncio.to_thread(stored, lone.buffer)
            await _until(lambda: other.heard[-1][0] == NODE % "NDEATH", "the death is told")
            told, sessions = _listen(other.heard)
            assert sessions >= 2
            compare(told, known)

            await lone.start(uplink, batch="200ms")
            await lone.until(lambda status: status["uplink"]["acknowledged"] >= 2)
            last = [payload for topic, payload in other.heard if "/NBIRTH/" in topic][-1]
            await lone.children.kill("agent")
            await _until(lambda: other.heard[-1][0] == NODE % "NDEATH", "the broker tells of the death")
            assert _counter(other.heard[-1][1]) == _counter(last)


def _counter(payload: bytes) -> int:
    return next(int(decoder.value(m)) for m in decoder.read(payload).metrics if m.name == "bdSeq")


def _listen(heard: list[tuple[str, bytes]]) -> tuple[dict[str, list[tuple[Any, Any]]], int]:
    """What a host makes of it: samples by point and time, and how many births of the node there were.

    Fails for a number out of sequence, data of who is not born, and a metric that no birth named.
    """
    told: dict[str, list[tuple[Any, Any]]] = {}
    seq, sessions = -1, 0
    aliases: dict[str, dict[int, str]] = {}
    for topic, payload in heard:
        _, _, kind, _, *device = topic.split("/")
        found = decoder.read(payload)
        if kind in {"NDEATH", "NCMD"}:
            continue
        if kind == "NBIRTH":
            aliases, seq, sessions = {}, -1, sessions + 1
        assert found.seq == (seq + 1) % 256, "something was lost in between"
        seq = found.seq
        if kind == "DBIRTH":
            aliases[device[0]] = {m.alias: m.name for m in found.metrics}
        if kind == "DDEATH":
            del aliases[device[0]]
        if kind == "DDATA":
            for m in found.metrics:
                point = f"{device[0]}/{aliases[device[0]][m.alias]}"
                if not m.is_null:
                    told.setdefault(point, []).append((m.timestamp, decoder.value(m)))
    return told, sessions


async def _until(condition: Any, what: str) -> None:
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within 30 s: {what}")
