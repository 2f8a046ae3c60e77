"""Sending signed load to a broker, and counting what the platform acknowledges."""

import threading
import time
from collections.abc import Iterable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from buffer import cbor, cose
from buffer.errors import BufferFault
from config import Broker
from gateway.errors import LinkError
from gateway.simulate.lives import Signed

WINDOW = 1000  # messages that the broker has not taken yet
PATIENCE_SECONDS = 30.0


class Sender:
    """One connection for all gateways: the load is the platform's, not the broker's."""

    def __init__(self, broker: Broker, root: str, site: str) -> None:
        self.sent = self.samples = self.acknowledged = 0
        self._site = f"{root}/v1/{site}/+/ack"
        self._room = threading.Semaphore(WINDOW)
        self._ready = threading.Event()
        self._cumulative: dict[str, int] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(WINDOW)
        self._client.on_connect = lambda client, *_: client.subscribe(self._site, qos=0)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_publish = lambda *_: self._room.release()
        self._client.on_message = self._on_message
        try:
            self._client.connect(broker.host, broker.port)
        except OSError as error:
            raise LinkError(f"{broker.url}: {error}") from error
        self._client.loop_start()
        if not self._ready.wait(PATIENCE_SECONDS):
            raise LinkError(f"{broker.url}: no answer")

    def send(self, message: Signed) -> None:
        """Send one; waits while the broker takes no more. Raises LinkError."""
        if not self._room.acquire(timeout=PATIENCE_SECONDS):
            raise LinkError("the broker takes nothing any more")
        self._client.publish(message.topic, message.payload, qos=1)
        self.sent += 1
        self.samples += message.samples

    def wait(self, seconds: float) -> None:
        """Until as many are acknowledged as were sent, or so long."""
        deadline = time.monotonic() + seconds
        while self.acknowledged < self.sent and time.monotonic() < deadline:
            time.sleep(0.05)

    def close(self) -> None:
        """Take leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: paho.Client, _data: object, message: Any) -> None:  # noqa: ANN401 - paho's signature
        try:
            said = cbor.loads(cose.read(message.payload).payload, "an acknowledgement")
            gateway, cumulative = str(said[2]), int(said[4])
        except (BufferFault, LookupError, TypeError, ValueError):
            return
        before = self._cumulative.get(gateway, 0)
        if cumulative > before:
            self._cumulative[gateway] = cumulative
            self.acknowledged += cumulative - before


def paced(messages: Iterable[Signed], per_second: float) -> Iterable[Signed]:
    """The messages, no faster than so many a second; 0 is as fast as they come."""
    if not per_second:
        yield from messages
        return
    begin = time.monotonic()
    for place, message in enumerate(messages):
        ahead = begin + place / per_second - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        yield message
