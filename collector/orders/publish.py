"""Handing single messages to the broker and hearing what it says of each; used by verbs, not by the service.

paho itself, since aiomqtt keeps the reason codes of a PUBACK to itself: a refusal would look like success.
"""

import queue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from collector.broker import TIMEOUT_SECONDS, Address
from collector.errors import BrokerError

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

NOBODY = 0x10  # no matching subscribers (MQTT 5, 3.4.2.1); a broker may say success instead
REFUSED = 0x80  # reason codes from here on are errors (MQTT 5, 2.4)
VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class Publisher:
    """A connection for as long as the context lasts; raises BrokerError for whatever does not work."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._heard: queue.SimpleQueue[ReasonCode] = queue.SimpleQueue()
        self._client: paho.Client | None = None

    def __enter__(self) -> Self:
        """Connect; with the version `auto`, by MQTT 5 and then by 3.1.1."""
        wanted = ["5", "3.1.1"] if self._address.version == "auto" else [self._address.version]
        for version in wanted[:-1]:
            try:
                return self._connect(version)
            except BrokerError:
                continue  # a broker of 3.1.1 refuses 5 in many ways, or says nothing
        return self._connect(wanted[-1])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take leave of the broker."""
        self._end()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Return when the broker has taken the message; say whether somebody listens, as far as it tells."""
        if self._client is None:
            raise BrokerError(f"{self._address.broker.url}: not connected")
        self._client.publish(topic, payload, qos=1, retain=retain)
        code = self._next(f"no answer to {topic}")
        if code.value >= REFUSED:
            raise BrokerError(f"{self._address.broker.url}: {topic} is refused: {code}")
        return code.value != NOBODY

    def _connect(self, version: str) -> Self:
        address = self._address
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=address.identifier or "",
            protocol=VERSIONS[version],
            reconnect_on_failure=False,  # the answer to a second CONNECT would pass for that to a PUBLISH
        )
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        self._heard = queue.SimpleQueue()
        try:
            if address.broker.tls:
                client.tls_set_context(address.tls_context())
            client.connect_timeout = TIMEOUT_SECONDS
            client.connect(address.broker.host, address.broker.port)
        except OSError as error:
            raise BrokerError(f"{address.broker.url}: no connection: {error}") from error
        self._client = client
        client.loop_start()
        try:
            code = self._next("no answer to CONNECT")
            if code.is_failure:
                raise BrokerError(f"{address.broker.url}: no connection: {code}")
        except BrokerError:
            self._end()
            raise
        return self

    def _next(self, fault: str) -> "ReasonCode":
        try:
            return self._heard.get(timeout=TIMEOUT_SECONDS)
        except queue.Empty:
            raise BrokerError(f"{self._address.broker.url}: {fault} within {TIMEOUT_SECONDS:g} s") from None

    def _on_connect(self, _client: paho.Client, _data: object, _flags: object, code: "ReasonCode", _: object) -> None:
        self._heard.put(code)

    def _on_publish(self, _client: paho.Client, _data: Any, _mid: int, code: "ReasonCode", _: object) -> None:  # noqa: ANN401 - paho's signature
        self._heard.put(code)

    def _end(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None
