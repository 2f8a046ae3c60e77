"""The agent's link: both protocols, TLS, what counts as delivered, and answers that prove nothing."""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer.ack import Ack
from buffer.batch import Batch, batch_hash, decode
from buffer.cose import Kind
from buffer.keys import PublicKey, SigningKey
from gateway.demo.link import Link
from gateway.demo.processes import wait_for_port
from tests.authority import Authority
from tests.gateway.conftest import run_dir as _run_dir
from tests.gateway.process import GATEWAY, SITE, Lone
from tests.mosquitto import Mosquitto, free_port

run_dir = _run_dir
Make = Callable[..., Mosquitto]

PREFIX = f"lamppost/v1/{SITE}/{GATEWAY}"
BROKERS_WORD = 'acknowledge = "broker"\n'


def brokers(*urls: str) -> str:
    """The line of the configuration."""
    return f"brokers = {json.dumps(urls)}\n"


async def read(path: Path) -> str:
    """A file's text."""
    return await asyncio.to_thread(path.read_text)


def acknowledged(count: int) -> Callable[[dict[str, Any]], bool]:
    """Whether so many batches were."""
    return lambda status: status["uplink"]["acknowledged"] >= count


# Protocols ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "spoken"), [("auto", "p5"), ("5", "p5"), ("3.1.1", "p2")])
async def test_it_speaks_both_protocols(
    tmp_path: Path, run_dir: Path, mosquitto: Mosquitto, version: str, spoken: str
) -> None:
    """mosquitto logs the protocol of each client: p2 is 3.1.1, p5 is 5 (mosquitto 2.0, handle__connect)."""
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start(brokers(mosquitto.url) + BROKERS_WORD + f'version = "{version}"')
        status = await lone.until(acknowledged(3))
        assert status["uplink"]["broker"] == mosquitto.url
        assert status["uplink"]["connections"] == 1
        connected = [line for line in (await read(mosquitto.log)).splitlines() if f"as lamppost-{GATEWAY} (" in line]
        assert [f"({spoken}," in line for line in connected] == [True]


@asynccontextmanager
async def amqtt(lone: Lone) -> AsyncIterator[str]:
    """A broker that speaks MQTT 3.1.1 only; its URL."""
    port = free_port()
    await lone.children.start("amqtt", [sys.executable, "-m", "gateway.demo.broker", str(port)])
    await wait_for_port(port, 30)
    yield f"mqtt://127.0.0.1:{port}"


@pytest.mark.slow
async def test_it_falls_back_to_the_older_protocol_by_itself(tmp_path: Path, run_dir: Path) -> None:
    pytest.importorskip("amqtt")
    async with Lone(tmp_path, run_dir) as lone, amqtt(lone) as url:
        await lone.start(brokers(url) + BROKERS_WORD)
        await lone.until(acknowledged(3))


@pytest.mark.slow
async def test_it_does_not_when_told_which_to_speak(tmp_path: Path, run_dir: Path) -> None:
    pytest.importorskip("amqtt")
    async with Lone(tmp_path, run_dir) as lone, amqtt(lone) as url:
        await lone.start(brokers(url) + BROKERS_WORD + 'version = "5"')
        status = await lone.until(lambda s: s["uplink"]["error"] and s["buffer"]["held"]["batches"] > 3)
        assert status["uplink"]["connections"] == 0


async def test_a_broker_that_is_down_makes_way_for_the_next(
    tmp_path: Path, run_dir: Path, mosquitto: Mosquitto
) -> None:
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start(brokers(f"mqtt://127.0.0.1:{free_port()}", mosquitto.url) + BROKERS_WORD)
        status = await lone.until(acknowledged(1))
        assert status["uplink"]["broker"] == mosquitto.url


async def test_the_password_is_read_from_its_file(
    tmp_path: Path, run_dir: Path, make_mosquitto: Make, program: Callable[[str, str], str]
) -> None:
    users = tmp_path / "users"
    make = await asyncio.create_subprocess_exec(
        program("mosquitto_passwd", "mosquitto"), "-b", "-c", str(users), "gw", "secret"
    )
    assert await make.wait() == 0
    broker = await asyncio.to_thread(make_mosquitto, f"password_file {users}")
    await asyncio.to_thread((tmp_path / "password").write_text, "wrong\n")
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start(brokers(broker.url) + BROKERS_WORD + 'username = "gw"\npassword_file = "password"')
        status = await lone.until(lambda s: s["uplink"]["error"])
        assert "secret" not in json.dumps(status)
        await asyncio.to_thread((tmp_path / "password").write_text, "secret\n")
        await lone.until(acknowledged(1))


async def test_what_the_access_list_refuses_is_not_taken_for_delivered(
    tmp_path: Path, run_dir: Path, make_mosquitto: Make
) -> None:
    """MQTT 5.0, 3.4.2.1: the broker's PUBACK says that it is not authorized."""
    acl = tmp_path / "acl"
    acl.write_text(f"topic read #\ntopic write {PREFIX}/status\n")
    broker = await asyncio.to_thread(make_mosquitto, f"acl_file {acl}")
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start(brokers(broker.url) + BROKERS_WORD)
        status = await lone.until(lambda s: s["uplink"]["refusal"] and s["buffer"]["held"]["batches"] > 4)
        assert status["uplink"]["acknowledged"] == status["uplink"]["sent"] == 0
        assert (status["uplink"]["up"], status["uplink"]["connections"]) == (True, 1)
        assert "Not authorized" in status["uplink"]["refusal"]
        assert (await asyncio.to_thread(lone.log)).count("does not take batches") == 1


async def test_a_budget_that_is_spent_keeps_all_but_what_is_critical(
    tmp_path: Path, run_dir: Path, mosquitto: Mosquitto
) -> None:
    """A twentieth of 2 MB in a month may be spent early: after about 100 kB nothing goes but by its share."""
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start(brokers(mosquitto.url) + BROKERS_WORD + 'budget = { day = "100kB" }', batch="100ms")
        status = await lone.until(lambda s: s["uplink"]["meter"]["day"] > 5_000)
        assert status["uplink"]["wire"]["bytes_per_sample"] > 0
        assert status["uplink"]["meter"]["day"] >= status["uplink"]["wire"]["sent"] > 0
        await lone.stop()
        await lone.start(brokers(mosquitto.url) + BROKERS_WORD + 'budget = { day = "100kB" }')
        kept = await asyncio.to_thread(lone.status)
        assert kept["uplink"]["meter"]["day"] >= status["uplink"]["meter"]["day"], "remembered"


async def test_after_an_outage_the_newest_is_there_within_five_seconds_and_the_rest_behind_it(
    tmp_path: Path, run_dir: Path, mosquitto: Mosquitto
) -> None:
    link = Link()
    link.target = mosquitto.port
    await link.start()
    async with Lone(tmp_path, run_dir) as lone, platform(lone, mosquitto) as there:
        try:
            uplink = brokers(f"mqtt://127.0.0.1:{link.port}") + BROKERS_WORD
            await lone.start(uplink, batch="100ms", commit="100ms")
            await there.until(lambda p: p.batches)
            await link.cut()
            await lone.until(lambda s: s["buffer"]["held"]["batches"] > 30)
            seen = len(there.received)
            held = (await asyncio.to_thread(lone.status))["buffer"]["held"]["batches"]
            await link.start()
            await lone.until(lambda s: s["uplink"]["connections"] == 2)
            began = asyncio.get_running_loop().time()
            await there.until(lambda p: max(batch.header.number for batch in p.received[seen:] or p.received) > held)
            assert asyncio.get_running_loop().time() - began < 5
            await there.until(lambda p: set(p.batches) >= set(range(1, held)))
            fresh = [batch.header.number for batch in there.received[seen:] if batch.header.kind is Kind.BATCH]
            assert fresh[0] > held, "the newest goes first"
        finally:
            await link.cut()


# TLS ------------------------------------------------------------------------------------------------------------------


@dataclass
class Secured:
    """A broker that wants client certificates, and those of a gateway."""

    broker: Mosquitto
    authority: Authority
    stranger: Authority
    cert: Path
    key: Path

    def uplink(self, *, ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> str:
        """The lines of the configuration; without `cert` no certificate is shown."""
        words = [f'ca = "{ca or self.authority.file}"']
        words += [f'cert = "{cert}"', f'key = "{key}"'] if cert else []
        url = self.broker.url.replace("mqtt:", "mqtts:")
        return brokers(url) + BROKERS_WORD + f"tls = {{ {', '.join(words)} }}"


@pytest.fixture
def secured(tmp_path: Path, make_mosquitto: Make) -> Secured:
    """The broker, started."""
    authority, stranger = Authority(tmp_path, "authority"), Authority(tmp_path, "stranger")
    cert, key = authority.issue("broker")
    lines = [f"cafile {authority.file}", f"certfile {cert}", f"keyfile {key}", "require_certificate true"]
    return Secured(make_mosquitto(*lines), authority, stranger, *authority.issue("gateway"))


async def test_tls_with_a_client_certificate(tmp_path: Path, run_dir: Path, secured: Secured) -> None:
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start(secured.uplink(cert=secured.cert, key=secured.key))
        await lone.until(acknowledged(2))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("no certificate", marks=pytest.mark.slow),  # a refusal looks like silence until the time is over
        pytest.param("a stranger's certificate", marks=pytest.mark.slow),
        "another authority",
        "no such file",
    ],
)
async def test_tls_that_does_not_hold_carries_nothing_and_says_why(
    tmp_path: Path, run_dir: Path, secured: Secured, case: str
) -> None:
    cert, key = secured.stranger.issue("intruder")
    uplink = {
        "no certificate": secured.uplink(),
        "a stranger's certificate": secured.uplink(cert=cert, key=key),
        "another authority": secured.uplink(ca=secured.stranger.file, cert=secured.cert, key=secured.key),
        "no such file": secured.uplink(cert=tmp_path / "gone.pem", key=secured.key),
    }[case]
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start(uplink)
        status = await lone.until(lambda s: s["uplink"]["error"] and s["buffer"]["held"]["batches"] > 2)
        assert (status["uplink"]["connections"], status["uplink"]["acknowledged"]) == (0, 0)
        if case == "another authority":
            assert "certificate verify failed" in status["uplink"]["error"]
        code, _, _ = await lone.stop()
        assert code == 0


# The platform's word --------------------------------------------------------------------------------------------------


class Platform:
    """A platform by hand: takes what comes, and answers what the test says."""

    def __init__(self, client: aiomqtt.Client, public: PublicKey, key: SigningKey) -> None:
        self._client = client
        self._public = public
        self.key = key
        self.received: list[Batch] = []
        self.raw: list[bytes] = []
        self.states: list[dict[str, Any]] = []

    async def listen(self) -> None:
        """Take messages until cancelled."""
        async for message in self._client.messages:
            assert isinstance(message.payload, bytes)
            if message.topic.value.endswith("/status"):
                self.states.append(json.loads(message.payload) | {"retained": message.retain})
            else:
                self.raw.append(message.payload)
                self.received.append(decode(message.payload, self._public))

    @property
    def batches(self) -> dict[int, Batch]:
        """What came, by number."""
        return {batch.header.number: batch for batch in self.received}

    def ack(self, cumulative: int, **changes: Any) -> Ack:
        """The right answer up to a number."""
        last = self.batches[cumulative]
        made = Ack(GATEWAY, last.header.stream, cumulative, last.hash, time=utc_ms(), answers=cumulative)
        return replace(made, **changes)

    async def say(self, message: bytes, *, retain: bool = False) -> None:
        """Publish on the gateway's topic of acknowledgements."""
        await self._client.publish(f"{PREFIX}/ack", message, qos=1, retain=retain)

    async def until(self, condition: Callable[["Platform"], object]) -> None:
        """Wait until it holds."""
        async with asyncio.timeout(30):
            while not condition(self):  # noqa: ASYNC110 - messages set no event
                await asyncio.sleep(0.02)


def utc_ms() -> int:
    """The platform's clock."""
    return int(datetime.now(UTC).timestamp() * 1000)


@asynccontextmanager
async def platform(lone: Lone, mosquitto: Mosquitto) -> AsyncIterator[Platform]:
    """A platform that listens to the gateway."""
    public = await asyncio.to_thread(lambda: lone.public)
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
        made = Platform(client, public, lone.platform)
        for name in ("batch", "status"):
            await client.subscribe(f"{PREFIX}/{name}", qos=1)
        listening = asyncio.ensure_future(made.listen())
        try:
            yield made
        finally:
            listening.cancel()
            await asyncio.wait([listening])


async def test_an_answer_that_proves_nothing_frees_nothing(tmp_path: Path, run_dir: Path, mosquitto: Mosquitto) -> None:
    async with Lone(tmp_path, run_dir) as lone, platform(lone, mosquitto) as there:
        await lone.start(brokers(mosquitto.url))
        await there.until(lambda p: set(p.batches) >= {1, 2, 3, 4})
        right = there.ack(3)
        stranger = SigningKey(Ed25519PrivateKey.generate())
        signed = right.sign(there.key)
        wrong_signature = [
            right.sign(stranger), signed[:-1] + bytes([signed[-1] ^ 1]), b"", b"\xff" * 100, bytes(100_000),
            replace(right, gateway="gw-other").sign(there.key), there.raw[0],
        ]  # fmt: skip
        other_content = [
            replace(right, hash=bytes([1]) * 32), replace(right, stream=bytes(16)),
            replace(right, ranges=((4, 4, bytes([2]) * 32),)),
            replace(right, cumulative=10_000), replace(right, hash=there.batches[2].hash),
        ]  # fmt: skip
        for message in wrong_signature:
            await there.say(message)
        await there.say(signed, retain=True)
        for ack in other_content:
            await there.say(ack.sign(there.key))
        status = await lone.until(lambda s: s["uplink"]["bad_acks"] >= len(wrong_signature))
        await there.until(lambda p: len(p.batches) >= 6)
        status = await asyncio.to_thread(lone.status)
        assert status["uplink"]["up"]
        freed = status["uplink"]["acknowledged"]
        assert freed in {0, 3}, "a retained answer reaches who was there when it was said"
        if freed == 0:
            await there.say(signed)
            await lone.until(acknowledged(3))
        assert (await asyncio.to_thread(lone.log)).count("an acknowledgement does not verify") == 1


async def test_wrong_answers_alone_free_nothing(tmp_path: Path, run_dir: Path, mosquitto: Mosquitto) -> None:
    async with Lone(tmp_path, run_dir) as lone, platform(lone, mosquitto) as there:
        await lone.start(brokers(mosquitto.url))
        await there.until(lambda p: set(p.batches) >= {1, 2, 3})
        stranger = SigningKey(Ed25519PrivateKey.generate())
        right = there.ack(3)
        for ack, key in (
            (right, stranger), (replace(right, gateway="gw-other"), there.key),
            (replace(right, hash=there.batches[2].hash), there.key), (replace(right, stream=bytes(16)), there.key),
        ):  # fmt: skip
            await there.say(ack.sign(key))
        seen = len(there.batches)
        await lone.until(lambda s: s["uplink"]["bad_acks"] == 2)
        await there.until(lambda p: len(p.batches) >= seen + 2)
        status = await asyncio.to_thread(lone.status)
        assert status["uplink"]["acknowledged"] == 0
        assert status["buffer"]["held"]["batches"] >= seen
        await there.say(right.sign(there.key))
        await lone.until(acknowledged(3))


async def test_a_batch_without_an_answer_is_sent_again_the_same_to_the_byte(
    tmp_path: Path, run_dir: Path, mosquitto: Mosquitto
) -> None:
    async with Lone(tmp_path, run_dir) as lone, platform(lone, mosquitto) as there:
        await lone.start(brokers(mosquitto.url))
        await there.until(lambda p: len(p.batches) >= 4)
        await lone.stop()
        first = {number: batch.hash for number, batch in there.batches.items()}
        there.received.clear()
        await lone.start(brokers(mosquitto.url))
        await there.until(lambda p: set(p.batches) >= set(first))
        assert {number: there.batches[number].hash for number in first} == first
        assert {batch_hash(raw) for raw in there.raw} == {batch.hash for batch in there.batches.values()}


async def test_a_catalogue_that_the_platform_wants_is_sent_again(
    tmp_path: Path, run_dir: Path, mosquitto: Mosquitto
) -> None:
    async with Lone(tmp_path, run_dir) as lone, platform(lone, mosquitto) as there:
        await lone.start(brokers(mosquitto.url))
        await there.until(lambda p: len(p.batches) >= 3)
        catalogue = there.batches[1]
        assert catalogue.header.kind is Kind.CATALOGUE
        assert there.received[0].hash == catalogue.hash
        await there.say(there.ack(2).sign(there.key))
        await lone.until(acknowledged(2))
        there.received.clear()
        await there.until(lambda p: p.batches)
        await there.say(there.ack(max(there.batches), want=(catalogue.hash, bytes(32))).sign(there.key))
        await there.until(lambda p: 1 in p.batches)
        assert there.batches[1].hash == catalogue.hash


async def test_a_batch_that_the_platform_refuses_is_set_aside_and_the_others_go_on(
    tmp_path: Path, run_dir: Path, mosquitto: Mosquitto
) -> None:
    async with Lone(tmp_path, run_dir) as lone, platform(lone, mosquitto) as there:
        await lone.start(brokers(mosquitto.url))
        await there.until(lambda p: len(p.batches) >= 3)
        await there.say(there.ack(1, refused=((2, "samples: not for me"),)).sign(there.key))
        status = await lone.until(lambda s: s["buffer"]["held"]["refused"] == 1 and acknowledged(1)(s))
        assert status["uplink"]["up"]
        seen = len(there.batches)
        await there.until(lambda p: len(p.batches) > seen)
        shown = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "queue", "--run-dir", str(run_dir), "--json",
            stdout=asyncio.subprocess.PIPE, env=dict(os.environ),
        )  # fmt: skip
        rows = json.loads((await shown.communicate())[0])
        assert [row["refused"] for row in rows if row["number"] == 2] == ["samples: not for me"]
        assert (await asyncio.to_thread(lone.log)).count("is set aside") == 1


async def test_a_batch_that_is_damaged_on_the_disk_does_not_hold_up_the_others(
    tmp_path: Path, run_dir: Path, mosquitto: Mosquitto
) -> None:
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start(brokers(f"mqtt://127.0.0.1:{free_port()}") + BROKERS_WORD)
        await lone.until(lambda s: s["buffer"]["held"]["batches"] >= 4)
        await lone.stop()
        await asyncio.to_thread(_damage, lone.buffer, 3)
        await lone.start(brokers(mosquitto.url) + BROKERS_WORD)
        status = await lone.until(acknowledged(6))
        assert status["uplink"]["connections"] == 1
        held = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "queue", "--buffer", str(lone.buffer), "--json",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        rows = json.loads((await held.communicate())[0])
        assert [row for row in rows if row["number"] == 3 or row["refused"]] == [], "an account has taken its place"
        assert "batch 3 is damaged" in await asyncio.to_thread(lone.log)


def _damage(buffer: Path, number: int) -> None:
    """Alter one byte of the batch's first block."""
    with closing(sqlite3.connect(buffer)) as db, db:
        db.create_function("altered", 1, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
        block = "(SELECT first_block FROM batches WHERE number = ?)"
        assert db.execute(f"UPDATE blocks SET data = altered(data) WHERE id = {block}", (number,)).rowcount == 1  # noqa: S608


async def test_the_retained_status_says_whether_the_gateway_is_there(
    tmp_path: Path, run_dir: Path, mosquitto: Mosquitto
) -> None:
    async with Lone(tmp_path, run_dir) as lone, platform(lone, mosquitto) as there:
        await lone.start(brokers(mosquitto.url))
        await there.until(lambda p: p.states)
        assert there.states[-1]["online"] is True
        assert set(there.states[-1]) == {"online", "version", "boot", "time", "configuration", "retained"}
        await lone.stop()
        await there.until(lambda p: not p.states[-1]["online"])
        await lone.start(brokers(mosquitto.url))
        await there.until(lambda p: p.states[-1]["online"])
        await lone.children.kill("agent")
        await there.until(lambda p: not p.states[-1]["online"])
    async with Lone(_made(tmp_path / "late"), run_dir) as late, platform(late, mosquitto) as there:
        await there.until(lambda p: p.states)
        assert (there.states[-1]["online"], there.states[-1]["retained"]) == (False, True)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
