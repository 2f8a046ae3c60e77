"""The whole way, with a real broker: batch, row, acknowledgement; kill -9, a full disk, a broker that comes late."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from buffer.ack import read as read_ack
from collector.broker import Address
from collector.identity import registry
from collector.service import Service, Settings
from collector.tables.database import Database, Target
from config import Broker
from tests.collector.maker import Gateway
from tests.collector.running import Link, Process, until
from tests.mosquitto import Mosquitto

AMQTT = "amqtt.scripts.broker_script"
KILLS = int(os.environ.get("LAMPPOST_TEST_KILLS", "20"))


def rows(path: Target, sql: str) -> list[tuple[Any, ...]]:
    """Any select, beside the running collector."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchall()


def register(process: Process, *gateways: Gateway) -> None:
    """Make gateways known, as `gateways add` does."""
    database = Database.open(process.database)
    for gateway in gateways:
        gateway.add_to(database)
    database.close()


def fill(ballast: Path) -> None:
    """Write until the disk is full."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.fixture
def process(tmp_path: Path, mosquitto: Mosquitto, gateway: Gateway) -> Iterator[Process]:
    """A collector, not started yet, that knows the gateway."""
    with Process(tmp_path, mosquitto.url) as made:
        register(made, gateway)
        yield made


@pytest.fixture
def link(process: Process, mosquitto: Mosquitto, gateway: Gateway) -> Iterator[Link]:
    """The gateway's connection."""
    with closing(Link(gateway, process, mosquitto.port)) as made:
        yield made


def test_batch_to_row_to_acknowledgement(process: Process, link: Link, gateway: Gateway) -> None:
    process.start()
    link.add(*gateway.hello(5))
    link.deliver()
    assert link.acks[-1].cumulative == 6
    assert abs(link.acks[-1].time - time.time() * 1000) < 60_000
    assert rows(process.database, "SELECT count(*), count(DISTINCT value) FROM samples") == [(10, 10)]
    code, seconds = process.stop()
    assert code == 0
    assert seconds < 2.0


def test_a_gateway_added_while_it_runs_is_believed(process: Process, link: Link, mosquitto: Mosquitto) -> None:
    process.start()
    late = Gateway("gw-late", "sud")
    with closing(Link(late, process, mosquitto.port)) as second:
        second.add(late.describe())
        second.send_held()
        until(lambda: rows(process.database, "SELECT 1 FROM refused"), "the refusal of an unknown key")
        register(process, late)
        second.deliver()


def test_junk_does_not_stop_it(process: Process, link: Link, gateway: Gateway) -> None:
    process.start()
    link.add(*gateway.hello(2))
    whole = gateway.describe(gateway.lines(4)).payload
    rng = random.Random(7)
    for _ in range(300):
        at = rng.randrange(len(whole))
        link.publish(gateway.topic, whole[:at] + rng.randbytes(3) + whole[at + 3 :])
    link.publish(gateway.topic, b"")
    link.publish("lamppost/v1/x/y/batch", bytes(2_000_000))
    link.deliver()
    until(lambda: rows(process.database, "SELECT sum(count) FROM refusals")[0][0] == 302, "302 refusals")
    assert rows(process.database, "SELECT count(*) FROM batches") == [(3,)]


def test_starts_with_the_broker_down(process: Process, mosquitto: Mosquitto, gateway: Gateway) -> None:
    mosquitto.stop()
    process.start(connected=False)
    until(lambda: "no connection" in process.said(), "a word about the broker")
    mosquitto.start()
    until(lambda: "connected by MQTT 5" in process.said(), "a connection")
    with closing(Link(gateway, process, mosquitto.port)) as link:
        link.add(*gateway.hello(1))
        link.deliver()
    assert process.said().count("no connection") == 1


def test_comes_back_after_the_broker_was_killed(process: Process, mosquitto: Mosquitto, gateway: Gateway) -> None:
    process.start()
    mosquitto.kill()
    until(lambda: "no connection" in process.said(), "a word about the broker")
    mosquitto.start()
    with closing(Link(gateway, process, mosquitto.port)) as link:
        link.add(*gateway.hello(3))
        link.deliver()
    assert process.stop()[0] == 0


def test_stops_within_two_seconds_of_a_frozen_broker(process: Process, mosquitto: Mosquitto) -> None:
    process.start()
    mosquitto.pause()
    try:
        code, seconds = process.stop()
    finally:
        mosquitto.resume()
    assert code == 0
    assert seconds < 2.0


@pytest.mark.parametrize("options", [("--no-share",), ("--mqtt-version", "3.1.1"), ("--root", "a/b")])
def test_options(tmp_path: Path, mosquitto: Mosquitto, gateway: Gateway, options: tuple[str, ...]) -> None:
    with Process(tmp_path, mosquitto.url, *options) as process:
        register(process, gateway)
        process.start()
        assert (f"connected by MQTT {'3.1.1' if '3.1.1' in options else '5'}") in process.said()
        assert ("$share" in process.said()) == ("--no-share" not in options)


def test_falls_back_to_the_older_protocol(
    tmp_path: Path, free_port: int, gateway: Gateway, program: Callable[[str, str], str]
) -> None:
    """amqtt speaks MQTT 3.1.1 only and has no shared subscriptions."""
    pytest.importorskip("amqtt", reason="amqtt (extra `demo`) is not installed")
    config = tmp_path / "amqtt.yaml"
    config.write_text(
        f"listeners: {{default: {{type: tcp, bind: '127.0.0.1:{free_port}'}}}}\n"
        "plugins: {amqtt.plugins.authentication.AnonymousAuthPlugin: {allow_anonymous: true}}\n"
    )
    log = (tmp_path / "amqtt.log").open("wb")
    with log, subprocess.Popen([sys.executable, "-m", AMQTT, "-c", str(config)], stdout=log, stderr=log) as broker:
        try:
            with Process(tmp_path, f"mqtt://127.0.0.1:{free_port}", "--no-share") as process:
                register(process, gateway)
                process.start()
                assert "connected by MQTT 3.1.1" in process.said()
                with closing(Link(gateway, process, free_port)) as link:
                    link.add(*gateway.hello(2))
                    link.deliver()
        finally:
            broker.kill()


async def test_nothing_blocks_the_event_loop(process: Process, mosquitto: Mosquitto, gateway: Gateway) -> None:
    """In this process, under the watch of `event_loop_watch`."""
    address = Address(Broker.parse(mosquitto.url))
    running = asyncio.create_task(Service(Settings(process.database, process.key, address)).run())
    public = await asyncio.to_thread(lambda: process.public)
    received: list[bytes] = []
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
        await client.subscribe("lamppost/v1/nord/gw-0017/ack", qos=1)
        messages = gateway.hello(3)
        async with asyncio.timeout(20):
            while not received:
                for message in messages:
                    await client.publish(message.topic, message.payload, qos=1)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        received.append((await anext(aiter(client.messages))).payload)
    assert read_ack(received[0], public).gateway == "gw-0017"
    os.kill(os.getpid(), signal.SIGTERM)
    await running


def test_two_collectors_share_one_subscription(tmp_path: Path, mosquitto: Mosquitto, gateway: Gateway) -> None:
    (tmp_path / "second").mkdir()
    with Process(tmp_path, mosquitto.url) as one:
        register(one, gateway)
        one.start()
        with Process(tmp_path / "second", mosquitto.url, "--key", str(one.key), database=one.database) as two:
            two.start()
            with closing(Link(gateway, one, mosquitto.port)) as link:
                link.add(*gateway.hello(40))
                link.deliver()
            assert one.stop()[0] == two.stop()[0] == 0
        assert rows(one.database, "SELECT count(*) FROM samples") == [(80,)]


def test_the_watchdog_is_fed(process: Process) -> None:
    process.start(watchdog=0.2)


@pytest.mark.slow
def test_kill_9_loses_nothing_acknowledged_and_doubles_nothing(process: Process, link: Link, gateway: Gateway) -> None:
    rng = random.Random(11)
    link.add(*gateway.hello(0))
    interrupted = 0
    for _ in range(KILLS):
        process.start()
        link.add(
            *(gateway.send([(1 + n % 3, gateway.number * 1000 + n, n + 0.5, 0) for n in range(30)]) for _ in range(60))
        )
        link.send_held()
        end = time.monotonic() + rng.uniform(0.0, 0.15)
        while time.monotonic() < end:
            link.hear()
        process.kill()
        link.hear()
        stored = {number for (number,) in rows(process.database, "SELECT number FROM batches")}
        assert link.acked <= stored
        interrupted += bool(link.held)
    assert link.acked, "no kill came after an acknowledgement"
    assert interrupted, "no kill came before an acknowledgement"
    process.start()
    link.deliver()
    assert process.stop()[0] == 0
    batches = 60 * KILLS
    assert rows(process.database, "SELECT count(*), max(number) FROM batches") == [(batches + 1, batches + 1)]
    assert rows(process.database, "SELECT count(*) FROM samples") == [(30 * batches,)]
    doubled = "SELECT 1 FROM samples GROUP BY series, ts_ms HAVING count(*) > 1"
    assert rows(process.database, doubled) == []
    assert rows(process.database, "PRAGMA integrity_check") == [("ok",)]


def test_a_full_disk_stops_nothing(
    tmp_path: Path, mosquitto: Mosquitto, gateway: Gateway, tmpfs: Callable[[int], Path]
) -> None:
    disk = tmpfs(2_000_000)
    ballast = disk / "ballast"
    with Process(tmp_path, mosquitto.url, database=disk / "collector.db") as process:
        register(process, gateway)
        process.start()
        with closing(Link(gateway, process, mosquitto.port)) as link:
            link.add(*gateway.hello(3))
            link.deliver()
            fill(ballast)
            link.add(*(gateway.send([(1, gateway.number * 1000 + n, n / 7, 0) for n in range(500)]) for _ in range(40)))
            link.send_held()
            until(lambda: "nothing can be stored" in process.said(), "a word about the disk")
            link.hear()
            assert rows(process.database, "SELECT count(*) FROM batches")[0][0] >= len(link.acked)
            assert link.held, "the disk was not full"
            ballast.unlink()
            link.deliver()
            assert "storing goes on" in process.said()
        assert process.stop()[0] == 0
        assert process.said().count("nothing can be stored") == 1
        assert rows(process.database, "SELECT count(*) FROM samples") == [(6 + 20_000,)]


def test_a_revoked_gateway_is_believed_no_more(process: Process, link: Link, gateway: Gateway) -> None:
    process.start()
    link.add(*gateway.hello(1))
    link.deliver()
    database = Database.open(process.database)
    registry.revoke(database, gateway.gateway, 1)
    database.close()
    link.add(gateway.send([(1, 99, 1.5, 0)]))
    link.send_held()
    until(lambda: rows(process.database, "SELECT 1 FROM refused WHERE reason LIKE 'revoked-key%'"), "a refusal")
