"""The one place that knows aiomqtt: a link to a broker over MQTT 5 or 3.1.1."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from config import Broker, Tls, Uplink
from gateway.errors import LinkError

KEEPALIVE_S = 30
CONNECT_S = 10.0
LEAVE_S = 1.0
PUBLISH_S = 20.0
"""A broker that has not sent PUBACK by then is asked again over a new connection."""
INCOMING_MAX = 256
"""Messages that may wait unread: acknowledgements are small, and unions make up for a lost one."""
MESSAGE_MAX = 1024 * 1024
"""Maximum Packet Size that we ask an MQTT 5 broker to keep to (MQTT 5.0, 3.1.2.11.4)."""
PUBLISH_HEAD = 5 + 2 + 2 + 1
"""A PUBLISH beside topic and payload: fixed header, length of the topic, packet id, properties (MQTT 5.0, 3.3)."""
FAILURE = 0x80
"""SUBACK return codes from here on are refusals (MQTT 3.1.1, 3.9.3; MQTT 5.0, 3.9.3)."""
UNSUPPORTED_PROTOCOL = frozenset({1, 0x84})
"""CONNACK return code 1 (MQTT 3.1.1, 3.2.2.3) and reason code 0x84 (MQTT 5.0, 3.2.2.2)."""


@dataclass(frozen=True, slots=True)
class Message:
    """What arrived on a topic."""

    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says of us when we are gone without a word."""

    topic: str
    payload: bytes
    retain: bool = True


class Link(Protocol):
    """A connection to a broker."""

    def room(self, topic: str) -> int | None:
        """The bytes that a message on `topic` may have, as far as the broker says."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand a message to the broker by QoS 1; returns at PUBACK, raises `LinkError`."""

    async def subscribe(self, topic: str) -> None:
        """Ask for a topic by QoS 1; raises `LinkError`."""

    def messages(self) -> AsyncIterator[Message]:
        """What arrives; raises `LinkError` when the link is gone."""


class _Client(aiomqtt.Client):
    """Keeps what the broker's CONNACK says of sizes: Maximum Packet Size (MQTT 5.0, 3.2.2.3.6)."""

    max_packet: int | None = None
    refusal: str = ""
    """Why the broker did not take the last message, by its PUBACK; only MQTT 5 has such words (5.0, 3.4.2.1)."""

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None,  # noqa: ANN401 - as the library has it
    ) -> None:  # fmt: skip
        self.max_packet = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any,  # noqa: ANN401 - as above
    ) -> None:  # fmt: skip
        self.refusal = str(reason_code) if reason_code.is_failure else ""
        super()._on_publish(client, userdata, mid, reason_code, properties)


class MqttLink:
    """A `Link` by aiomqtt."""

    def __init__(self, client: "_Client") -> None:
        self._client = client

    def room(self, topic: str) -> int | None:
        most = self._client.max_packet
        return None if most is None else most - PUBLISH_HEAD - len(topic.encode())

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        try:
            await self._client.publish(topic, payload, qos=1, retain=retain, timeout=PUBLISH_S)
        except (aiomqtt.MqttError, ValueError) as error:  # ValueError: larger than the broker takes
            raise LinkError(f"publish: {error}") from error

    async def subscribe(self, topic: str) -> None:
        try:
            codes = await self._client.subscribe(topic, qos=1)
        except aiomqtt.MqttError as error:
            raise LinkError(f"subscribe: {error}") from error
        for code in codes:
            if getattr(code, "value", code) >= FAILURE:
                raise LinkError(f"subscribe: the broker refuses {topic}: {code}")

    async def messages(self) -> AsyncIterator[Message]:
        try:
            async for message in self._client.messages:
                if isinstance(message.payload, bytes):
                    yield Message(str(message.topic), message.payload, bool(message.retain))
        except aiomqtt.MqttError as error:
            raise LinkError(str(error)) from error


class Connector:
    """Makes links to one of the configured brokers, in their order, speaking the newest protocol that each accepts."""

    def __init__(self, uplink: Uplink, client_id: str) -> None:
        self._uplink = uplink
        self._client_id = client_id
        self._turn = 0
        self._older: set[str] = set()
        self._last: _Client | None = None

    @property
    def broker(self) -> Broker:
        """The broker whose turn it is."""
        return self._uplink.brokers[self._turn % len(self._uplink.brokers)]

    @property
    def refusal(self) -> str:
        """Why the broker did not take what was published last; "" when it did, or says nothing of it."""
        return "" if self._last is None else self._last.refusal

    @asynccontextmanager
    async def link(self, will: Will) -> AsyncIterator[MqttLink]:
        """A link that is up; raises `LinkError`, and the next try takes the next broker."""
        broker = self.broker
        try:
            secrets = await asyncio.to_thread(self._secrets, broker)
            client = self._client(broker, will, secrets)
            await client.__aenter__()
            self._last = client
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            self._failed(broker, error)
            raise LinkError(f"{broker.url}: {error}") from error
        try:
            yield MqttLink(client)
        finally:
            await self._leave(client)

    def _failed(self, broker: Broker, error: Exception) -> None:
        """Next time the older protocol, if the broker was reached and did not take the newer; else the next broker."""
        code = getattr(error, "rc", None)
        refused = getattr(code, "value", code) in UNSUPPORTED_PROTOCOL
        unreachable = isinstance(error.__context__, OSError) and not isinstance(error.__context__, TimeoutError)
        reached = isinstance(error, aiomqtt.MqttError) and not unreachable  # some never answer a newer CONNECT
        if self._uplink.version == "auto" and (refused or reached) and broker.url not in self._older:
            self._older.add(broker.url)
        else:
            self._turn += 1
            self._older.discard(broker.url)

    async def _leave(self, client: aiomqtt.Client) -> None:
        with suppress(aiomqtt.MqttError, TimeoutError):  # the link is gone anyway; the broker tells our last will
            async with asyncio.timeout(LEAVE_S):
                await client.__aexit__(None, None, None)

    def _secrets(self, broker: Broker) -> tuple[str | None, ssl.SSLContext | None]:
        """What the files say: password and TLS; raises `OSError` (`ssl.SSLError` is one) or `ValueError`."""
        uplink = self._uplink
        password = None if uplink.password_file is None else uplink.password_file.read_text().strip()
        return password, tls_context(uplink.tls) if broker.tls else None

    def _client(self, broker: Broker, will: Will, secrets: tuple[str | None, ssl.SSLContext | None]) -> _Client:
        password, tls = secrets
        five = self._uplink.version == "5" or (self._uplink.version == "auto" and broker.url not in self._older)
        properties = None
        if five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MESSAGE_MAX
        return _Client(
            broker.host,
            broker.port,
            identifier=self._client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
            clean_session=None if five else True,
            clean_start=True if five else MQTT_CLEAN_START_FIRST_ONLY,  # 3.1.1 knows no other
            properties=properties,
            will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=will.retain),
            timeout=CONNECT_S,
            keepalive=KEEPALIVE_S,
            max_queued_incoming_messages=INCOMING_MAX,
            username=self._uplink.username,
            password=password,
            tls_context=tls,
        )


def tls_context(tls: Tls | None) -> ssl.SSLContext:
    """TLS 1.2 or later, the broker's certificate checked against `ca` or the system's, ours shown when there is one."""
    context = ssl.create_default_context(cafile=str(tls.ca) if tls and tls.ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls and tls.cert:
        context.load_cert_chain(str(tls.cert), str(tls.key) if tls.key else None)
    return context
