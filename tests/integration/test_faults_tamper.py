"""Batches altered, signed by another or sent as another: refused, reported, and nothing is changed by them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import cose
from buffer.block import Block
from buffer.catalogue import SeriesDefinition
from buffer.cose import Kind
from buffer.header import Clock, ClockState, Priority
from buffer.keys import SigningKey
from buffer.store import Store
from collector.receiving.incoming import Message
from ext import Packer, Series
from tests.collector.maker import BOOT, OFFSET_MS, Bench, Gateway
from tests.collector.running import Link, Process, until

SERIES = [SeriesDefinition("meter1", "voltage", "V", "float32"), SeriesDefinition("meter1", "state", "", "text")]
FLIPS = (0x01, 0x80)


def real_batches(folder: Path, gateway: Gateway) -> list[Message]:
    """A catalogue and two batches of samples as the agent's store makes them."""
    store = Store.open(folder / "buffer.db", gateway.gateway, gateway.key, BOOT, size_limit=8_000_000)
    with closing(store):
        numbers = store.assign(SERIES)
        voltage, state = (Series(number) for number in numbers)
        for part in range(2):
            packer = Packer()
            for second in range(3):
                packer.append(voltage, 1_000 * (3 * part + second), 229.5 + second)
                packer.append(state, 1_000 * (3 * part + second), "on")
            clock = Clock(BOOT, OFFSET_MS, ClockState.SYNCHRONIZED)
            times = (3_000 * part, 3_000 * part + 2_000)
            store.commit(
                [Block(Priority.NORMAL, clock, packer.pending, *times, packer.commit(), fresh=True)], seal=True
            )
        return [Message(gateway.topic, store.message(number)) for number in range(1, store.last_number + 1)]


@pytest.fixture
def gateway() -> Gateway:
    """A gateway with a key of its own."""
    return Gateway()


@pytest.fixture
def open_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """`open_bench(*gateways)`: a collector's core with an empty database."""
    with ExitStack() as stack:

        def make(*gateways: Gateway) -> Bench:
            bench = Bench(tmp_path / "collector.db", *gateways)
            stack.callback(bench.close)
            return bench

        yield make


def refused(bench: Bench) -> list[str]:
    """The reasons in the table `refused`, in order."""
    return [row[0] for row in bench.rows("SELECT reason FROM refused ORDER BY id")]


@pytest.mark.parametrize("number", [1, 2], ids=["catalogue", "samples"])
def test_one_altered_byte_anywhere_is_refused_and_reported(
    tmp_path: Path, gateway: Gateway, open_bench: Callable[..., Bench], number: int
) -> None:
    made = real_batches(tmp_path, gateway)
    bench = open_bench(gateway)
    before, message = made[: number - 1], made[number - 1]
    if before:
        bench.take(*before)
    tables = bench.tables()
    for position in range(len(message.payload)):
        altered = bytearray(message.payload)
        altered[position] ^= FLIPS[position % len(FLIPS)]
        replies = bench.receiver.take([Message(message.topic, bytes(altered))])
        assert replies == [], f"byte {position} altered: answered"
        assert len(refused(bench)) == position + 1, f"byte {position} altered: not reported"
    assert bench.tables() == tables
    kinds = {reason.partition(":")[0] for reason in refused(bench)}
    assert "signature" in kinds
    assert kinds <= {"signature", "format", "unknown-key"}
    assert bench.ack(message).cumulative == number


@pytest.mark.parametrize("length", [0, 1, 17, -1], ids=["empty", "one byte", "a few", "all but one"])
def test_a_part_of_a_batch_is_refused_and_so_is_one_with_something_behind(
    tmp_path: Path, gateway: Gateway, open_bench: Callable[..., Bench], length: int
) -> None:
    message = real_batches(tmp_path, gateway)[1]
    bench = open_bench(gateway)
    tables = bench.tables()
    for payload in (message.payload[:length], message.payload + b"\0"):
        assert bench.take(Message(message.topic, payload)) == []
    assert len(refused(bench)) == 2
    assert bench.tables() == tables


def test_a_batch_signed_by_another_key_is_refused(
    tmp_path: Path, gateway: Gateway, open_bench: Callable[..., Bench]
) -> None:
    other = Gateway("gw-0099")
    bench = open_bench(gateway, other)
    tables = bench.tables()
    original = real_batches(tmp_path, gateway)[0].payload
    signed = cose.read(original).payload
    for key, reason in ((other.key, "content"), (SigningKey(Ed25519PrivateKey.generate()), "unknown-key")):
        forged = cose.sign(signed, Kind.CATALOGUE, key)
        assert bench.take(Message(gateway.topic, forged)) == []
        assert refused(bench)[-1].startswith(reason)
    assert bench.tables() == tables


def test_a_batch_whose_key_id_is_anothers_is_refused(
    tmp_path: Path, gateway: Gateway, open_bench: Callable[..., Bench]
) -> None:
    """The signature is another gateway's, the key id this one's."""
    bench = open_bench(gateway)
    tables = bench.tables()
    original = real_batches(tmp_path, gateway)[0].payload
    stranger = SigningKey(Ed25519PrivateKey.generate())
    signed = cose.read(original).payload
    forged = cose.assemble(gateway.key.kid, signed, cose.signature_of(signed, Kind.CATALOGUE, stranger))
    assert bench.take(Message(gateway.topic, forged)) == []
    assert refused(bench)[-1].startswith("signature")
    assert bench.tables() == tables


@pytest.mark.parametrize(
    "topic",
    [
        "lamppost/v1/nord/gw-0099/batch", "lamppost/v1/nord/batch", "lamppost/v1/nord/gw-0017/batch/more",
        "other/v1/nord/gw-0017/batch", "lamppost/v1/nord/gw-0017/ack", "",
    ],
)  # fmt: skip
def test_a_batch_on_another_topic_is_refused(
    tmp_path: Path, gateway: Gateway, open_bench: Callable[..., Bench], topic: str
) -> None:
    bench = open_bench(gateway, Gateway("gw-0099"))
    tables = bench.tables()
    assert bench.take(Message(topic, real_batches(tmp_path, gateway)[0].payload)) == []
    assert [reason.partition(":")[0] for reason in refused(bench)] == ["topic"]
    assert bench.tables() == tables


def test_over_a_broker_an_altered_batch_is_refused_shown_and_the_right_one_is_stored(
    tmp_path: Path, mosquitto: object, gateway: Gateway
) -> None:
    made = real_batches(tmp_path, gateway)
    port: int = mosquitto.port  # type: ignore[attr-defined]
    with Process(tmp_path, f"mqtt://127.0.0.1:{port}") as process:
        known = tmp_path / "gateway.json"
        known.write_text(gateway.public_json())
        _collector("gateways", "add", str(known), "--database", str(process.database))
        process.start()
        link = Link(gateway, process, port)
        try:
            link.add(*made)
            for position in range(0, len(made[1].payload), 16):
                altered = bytearray(made[1].payload)
                altered[position] ^= 0x10
                link.publish(made[1].topic, bytes(altered))
            count = len(range(0, len(made[1].payload), 16))
            shown = until(lambda: _shown(process, count), "what was refused is shown")
            assert {row["reason"].partition(":")[0] for row in shown} <= {"signature", "format", "unknown-key"}
            link.hear()
            assert link.acked == set()
            link.deliver()
            assert link.acked == {1, 2, 3}
        finally:
            link.close()


def _shown(process: Process, count: int) -> list[dict[str, str]]:
    rows = [json.loads(line) for line in _collector("refused", "--database", str(process.database), "--json")]
    return rows if len(rows) >= count else []


def _collector(*words: str) -> list[str]:
    done = subprocess.run([sys.executable, "-m", "collector", *words], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
