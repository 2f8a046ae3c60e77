"""The service's broker (the one module that knows aiomqtt): a connection that comes back, messages in, answers out."""

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiomqtt

from collector.receiving.incoming import Message
from collector.receiving.receive import Reply
from config import Broker

logger = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 30
TIMEOUT_SECONDS = 5.0  # for each answer of the broker
FIRST_RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 30.0
MAX_PUBLISHES = 1000  # acknowledgements under way at once; MQTT packet identifiers end at 65,535
REFUSED = 0x80  # SUBACK reason codes from here on are refusals (MQTT 5, 3.9.3; MQTT 3.1.1, 3.9.3)
VERSIONS = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}

_library = logging.getLogger(f"{__name__}.aiomqtt")
_library.setLevel(logging.CRITICAL)  # what it has to say is raised as well, and said here once


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is and how to get in. `version` is "auto", "5" or "3.1.1"; `shared` asks for `$share`."""

    broker: Broker
    root: str = "lamppost"
    shared: bool = True
    identifier: str | None = None
    version: str = "auto"
    username: str | None = None
    password: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    cert_key: Path | None = None

    @property
    def subscription(self) -> str:
        """The topic filter of all batches."""
        batches = f"{self.root}/v1/+/+/batch"
        return f"$share/lamppost/{batches}" if self.shared else batches

    def tls_context(self) -> ssl.SSLContext:
        """Whom to trust and as whom to come; raises OSError for a file that cannot be used."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.cert_key)
        return context


class SubscriptionRefused(aiomqtt.MqttError):
    """The broker does not let the collector subscribe."""


class Connection:
    """Keeps a connection to the broker for as long as `run` runs."""

    def __init__(self, address: Address, receive: Callable[[Message], None]) -> None:
        self._address = address
        self._receive = receive
        self._client: aiomqtt.Client | None = None
        self._versions = ["5", "3.1.1"] if address.version == "auto" else [address.version]
        self._lost: str | None = ""  # why there is no connection; said once for each why

    @property
    def connected(self) -> bool:
        """Whether messages can come in."""
        return self._client is not None

    async def run(self) -> None:
        """Connect, subscribe and pass messages on, again and again; only cancelling ends it."""
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._session()
            except aiomqtt.MqttError as error:
                delay = FIRST_RETRY_SECONDS if self._lost is None else delay
                self._note(error)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, MAX_RETRY_SECONDS)

    async def publish(self, replies: Sequence[Reply]) -> None:
        """Send acknowledgements; one that does not get through is made again when its batch comes again."""
        for start in range(0, len(replies), MAX_PUBLISHES):
            await asyncio.gather(*(self._publish(reply) for reply in replies[start : start + MAX_PUBLISHES]))

    async def _publish(self, reply: Reply) -> None:
        if self._client is not None:
            with contextlib.suppress(aiomqtt.MqttError):
                await self._client.publish(reply.topic, reply.payload, qos=1, retain=reply.retain)

    async def _session(self) -> None:
        await self._reach()
        context = await asyncio.to_thread(self._address.tls_context) if self._address.broker.tls else None
        try:
            async with self._make(context) as client:
                await self._subscribe(client)
                self._note(None)
                self._client = client
                async for message in client.messages:
                    payload = message.payload if isinstance(message.payload, bytes) else b""
                    self._receive(Message(message.topic.value, payload))
        except aiomqtt.MqttError as error:
            if self._client is None and not isinstance(error, SubscriptionRefused):
                self._versions = self._versions[::-1]  # a broker of 3.1.1 refuses 5 in many ways, or says nothing
            raise
        finally:
            self._client = None

    async def _reach(self) -> None:
        """See that something listens, in a way that can be cancelled; aiomqtt connects in a thread, which cannot."""
        broker = self._address.broker
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                _, writer = await asyncio.open_connection(broker.host, broker.port)
        except OSError as error:
            raise aiomqtt.MqttError(str(error) or "no answer") from error
        writer.close()

    def _make(self, context: ssl.SSLContext | None) -> aiomqtt.Client:
        address = self._address
        client = aiomqtt.Client(
            address.broker.host,
            address.broker.port,
            identifier=address.identifier,
            protocol=VERSIONS[self._versions[0]],
            username=address.username,
            password=address.password,
            keepalive=KEEPALIVE_SECONDS,
            timeout=TIMEOUT_SECONDS,
            max_inflight_messages=MAX_PUBLISHES,
            tls_context=context,
            logger=_library,
        )
        client.pending_calls_threshold = MAX_PUBLISHES
        return client

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        granted = await client.subscribe(self._address.subscription, qos=1)
        code = getattr(granted[0], "value", granted[0])
        if code >= REFUSED:
            hint = " (no shared subscriptions there? then --no-share)" if self._address.shared else ""
            raise SubscriptionRefused(f"subscribing to {self._address.subscription} is refused: code {code}{hint}")

    def _note(self, error: aiomqtt.MqttError | None) -> None:
        """Say once that there is a connection, and once for each reason that there is none."""
        url, why = self._address.broker.url, None if error is None else str(error)
        if why == self._lost:
            return
        self._lost = why
        if why is None:
            logger.info(
                "%s: connected by MQTT %s, subscribed to %s", url, self._versions[0], self._address.subscription
            )
        else:
            logger.warning("%s: no connection: %s", url, why)
