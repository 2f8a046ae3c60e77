"""The one place that knows aiomqtt: a link to a broker over MQTT 5 or 3.1.1."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import aiomqtt

from config import Broker, Uplink
from gateway.clock import AgentClock
from gateway.errors import LinkError, PublishRefused
from gateway.uplink.choice import Choice
from gateway.uplink.client import BoundedClient, Wire
from gateway.uplink.dial import Via, dial
from gateway.uplink.trust import Dates, Times, Trust

CONNECT_S = 10.0
LEAVE_S = 1.0
PUBLISH_S = 20.0
"""A broker that has not sent PUBACK by then is asked again over a new connection."""
PROBE_S = 5.0
SILENT_PART = 1.5
"""So many keepalives of silence are a half-open link: PINGREQ goes out after one (MQTT 5.0, 3.1.2.10)."""
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

    def wire(self) -> Wire:
        """What it has carried so far."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand a message to the broker by QoS 1; returns at PUBACK, raises `LinkError` or `PublishRefused`."""

    async def subscribe(self, topic: str) -> None:
        """Ask for a topic by QoS 1; raises `LinkError`."""

    def messages(self) -> AsyncIterator[Message]:
        """What arrives; raises `LinkError` when the link is gone."""

    def silent(self) -> bool:
        """Whether nothing was heard for so long that nobody can be there."""


class MqttLink:
    """A `Link` by aiomqtt."""

    def __init__(self, client: BoundedClient, keepalive_s: float) -> None:
        self._client = client
        self._silent_s = SILENT_PART * keepalive_s

    def room(self, topic: str) -> int | None:
        most = self._client.max_packet
        return None if most is None else most - PUBLISH_HEAD - len(topic.encode())

    def wire(self) -> Wire:
        return self._client.wire()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        try:
            refusal = await self._client.hand_over(topic, payload, PUBLISH_S, retain=retain)
        except (aiomqtt.MqttError, ValueError) as error:  # ValueError: larger than the broker takes
            raise LinkError(f"publish: {error}") from error
        if refusal:
            raise PublishRefused(refusal)

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

    def silent(self) -> bool:
        return time.monotonic() - self._client.heard_at > self._silent_s


class Connector:
    """Makes links to one of the configured brokers, in their order, speaking the newest protocol that each accepts."""

    def __init__(self, uplink: Uplink, client_id: str, clock: AgentClock) -> None:
        self._uplink = uplink
        self._client_id = client_id
        self._clock = clock
        self._choice = Choice(uplink.brokers, uplink.version)
        self._trust: Trust | None = None

    @property
    def broker(self) -> Broker:
        """The broker whose turn it is."""
        return self._choice.broker

    @property
    def keepalive_s(self) -> float:
        """After so long a silent link is asked."""
        return self._uplink.keepalive / 1000

    @property
    def certificates(self) -> list[Dates]:
        """Those of the last connection by TLS: the broker's, ours, the authority's."""
        return [] if self._trust is None else self._trust.certificates

    @property
    def dates_by(self) -> str | None:
        """What judged their dates: "clock", or "floor" where the time is not known; None without TLS."""
        return None if self._trust is None else self._trust.by

    @asynccontextmanager
    async def link(self, will: Will) -> AsyncIterator[MqttLink]:
        """A link that is up; raises `LinkError`, and the next try takes the next broker."""
        broker = self.broker
        try:
            trust, password, via = await asyncio.to_thread(self._secrets, broker)
            self._trust = trust
            client = self._client(broker, will, trust, password, via)
            try:
                await client.__aenter__()
            except BaseException:  # also a cancellation: no socket is left open behind a connection that was never made
                client.hang_up()
                raise
        except (
            aiomqtt.MqttError,
            OSError,
            ValueError,
            LookupError,
        ) as error:  # LookupError: by a WebSocket's head
            self._failed(error)
            raise LinkError(f"{broker.url}: {error}") from error
        self._choice.up(self._clock.now())
        try:
            yield MqttLink(client, self.keepalive_s)
        finally:
            await self._leave(client)

    async def better(self) -> bool:
        """Whether the link is to be given up now for a better one: the first broker, or the newer protocol."""
        now = self._clock.now()
        wanted = self._choice.due(now)
        if wanted is None:
            return False
        if await asyncio.to_thread(self._reaches, wanted):
            self._choice.go_back(now)
            return True
        self._choice.stay(now)
        return False

    def _failed(self, error: Exception) -> None:
        code = getattr(error, "rc", None)
        refused = getattr(code, "value", code) in UNSUPPORTED_PROTOCOL
        unreachable = isinstance(error.__context__, OSError) and not isinstance(error.__context__, TimeoutError)
        reached = isinstance(error, aiomqtt.MqttError) and not unreachable  # some never answer a newer CONNECT
        self._choice.failed(refused=refused, reached=reached)

    async def _leave(self, client: BoundedClient) -> None:
        with suppress(aiomqtt.MqttError, TimeoutError):  # the link is gone anyway; the broker tells our last will
            async with asyncio.timeout(LEAVE_S):
                await client.__aexit__(None, None, None)
        client.hang_up()

    def _reaches(self, broker: Broker) -> bool:
        try:
            dial(broker.host, broker.port, self._via(), PROBE_S).close()
        except (OSError, ValueError):
            return False
        return True

    def _via(self) -> Via | None:
        """The proxy; raises `OSError` or `ValueError` for its password's file."""
        uplink, proxy = self._uplink, self._uplink.proxy
        if proxy is None:
            return None
        file = uplink.proxy_password_file
        password = None if file is None else file.read_text().strip()
        return Via(proxy.kind, proxy.host, proxy.port, uplink.proxy_username, password)

    def _secrets(self, broker: Broker) -> tuple[Trust | None, str | None, Via | None]:
        """What the files say: TLS, password, proxy; raises `OSError` (`ssl.SSLError` is one) or `ValueError`."""
        uplink = self._uplink
        password = None if uplink.password_file is None else uplink.password_file.read_text().strip()
        return Trust(uplink.tls, self._times()) if broker.tls else None, password, self._via()

    def _times(self) -> Times:
        clock = self._clock
        return Times(time.time_ns() // 1_000_000, clock.known_ms(), clock.floor_ms)

    def _client(
        self, broker: Broker, will: Will, trust: Trust | None, password: str | None, via: Via | None
    ) -> BoundedClient:
        return BoundedClient(
            broker,
            self._client_id,
            five=self._choice.five,
            will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=will.retain),
            timeout_s=CONNECT_S,
            keepalive_s=round(self.keepalive_s),
            username=self._uplink.username,
            password=password,
            tls=None if trust is None else trust.context,
            via=via,
        )
