"""A collector as a process of its own, and a gateway that resends until it has its acknowledgements."""

import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from buffer.ack import Ack
from buffer.ack import read as read_ack
from buffer.batch import batch_hash
from buffer.keys import SigningKey
from collector.receiving.incoming import Message
from collector.tables.database import Target
from tests.collector.maker import Gateway
from tests.conftest import ROOT

PATIENCE_SECONDS = 30.0  # a loaded machine; an idle one needs less than one


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait for a condition and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return found


class Process:
    """`lamppost-collector run` on a folder of its own."""

    def __init__(self, folder: Path, url: str, *options: str, database: Target | None = None) -> None:
        self.database = database or folder / "collector.db"
        self.log = folder / "collector.log"
        self.key = folder / "ack.key"
        if not self.key.exists():
            SigningKey.create(self.key)
        self._notify = folder / "notify"
        self._arguments = ["--broker", url, "--key", str(self.key), *options]
        self._running: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def public(self) -> Any:
        """The key of its acknowledgements."""
        return SigningKey.load(self.key).public(role="acknowledge")

    def start(self, *, connected: bool = True, watchdog: float | None = None) -> None:
        """Start it and wait until it is ready, and connected."""
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, self.log.open("ab") as log:
            channel.bind(str(self._notify))
            channel.settimeout(PATIENCE_SECONDS)
            environment = {**os.environ, "NOTIFY_SOCKET": str(self._notify)}
            if watchdog is not None:
                environment["WATCHDOG_USEC"] = str(int(watchdog * 1_000_000))
            arguments = [sys.executable, "-m", "collector", "run", "--database", str(self.database), *self._arguments]
            self._running = subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=log, stderr=log)
            assert channel.recv(100) == b"READY=1"
            if watchdog is not None:
                assert [channel.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        if connected:
            until(lambda: "connected by" in self.said(), "a connection to the broker")

    def said(self) -> str:
        """Its log since the last start."""
        return self.log.read_text()[self._log_start :]

    def kill(self) -> None:
        """SIGKILL."""
        assert self._running is not None
        self._running.kill()
        self._running.wait(10)
        self._running = None

    def stop(self) -> tuple[int, float]:
        """SIGTERM; return its exit code and the seconds it took."""
        assert self._running is not None
        start = time.monotonic()
        self._running.send_signal(signal.SIGTERM)
        code = self._running.wait(20)
        self._running = None
        return code, time.monotonic() - start

    def __enter__(self) -> Self:
        """Use it, started or not."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""
        if self._running is not None:
            self.kill()


class Link:
    """A gateway's connection; what is not acknowledged is sent again."""

    def __init__(self, gateway: Gateway, process: Process, port: int) -> None:
        self.gateway = gateway
        self.held: dict[int, Message] = {}
        self.hashes: dict[int, bytes] = {}
        self.acked: set[int] = set()
        self.acks: list[Ack] = []
        self._public = process.public
        self._incoming: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _data, message: self._incoming.put(bytes(message.payload))
        subscribed: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._client.on_subscribe = lambda *_: subscribed.put(True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(f"lamppost/v1/{gateway.site}/{gateway.gateway}/ack", qos=1)
        subscribed.get(timeout=PATIENCE_SECONDS)

    def add(self, *messages: Message) -> None:
        """Take batches of the gateway in hand, in the order of their numbers."""
        for message in messages:
            number = len(self.hashes) + 1
            self.held[number] = message
            self.hashes[number] = batch_hash(message.payload)

    def send_held(self) -> None:
        """Send everything that is not acknowledged."""
        for message in list(self.held.values()):
            self._client.publish(message.topic, message.payload, qos=1)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send anything."""
        self._client.publish(topic, payload, qos=1)

    def hear(self) -> None:
        """Take in the acknowledgements that came."""
        while not self._incoming.empty():
            ack = read_ack(self._incoming.get(), self._public)
            self.acks.append(ack)
            named = [(1, ack.cumulative, ack.hash)] if ack.cumulative else []
            for first, last, digest in [*named, *ack.ranges]:
                assert self.hashes[last] == digest
                self.acked.update(range(first, last + 1))
            for number in self.acked & set(self.held):
                del self.held[number]

    def deliver(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Resend until everything is acknowledged."""
        deadline = time.monotonic() + seconds
        while self.held:
            assert time.monotonic() < deadline, f"not acknowledged: {sorted(self.held)}"
            self.send_held()
            again = time.monotonic() + 1.0
            while self.held and time.monotonic() < again:
                self.hear()
                time.sleep(0.005)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
