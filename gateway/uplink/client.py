"""The client of aiomqtt with bounds: what comes in is limited, what goes out is counted and answered one by one."""

import asyncio
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from typing import Any

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, MQTT_ERR_SUCCESS
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from config import Broker
from gateway.uplink.dial import Via, dial

INCOMING_MAX = 256
"""Messages that may wait unread: acknowledgements are small, and unions make up for a lost one."""
INCOMING_BYTES = 4 * 1024 * 1024
"""... and what they may take together."""
MESSAGE_MAX = 1024 * 1024
"""The largest packet that is read. An MQTT 5 broker is asked to keep to it (Maximum Packet Size, MQTT 5.0,
3.1.2.11.4); one that does not, or cannot know, loses the link before a byte of it has a place in memory."""
DIAL_S = 5.0
_TCP_BYTES = struct.Struct("=QQII")
_TCP_BYTES_AT = 120  # tcpi_bytes_acked, _bytes_received, _segs_out, _segs_in: linux/tcp.h, since Linux 4.2
_SEGMENT_HEAD = 20 + 32
"""Bytes of the headers of IPv4 and TCP with time stamps, which an operator counts too (RFC 791; RFC 7323)."""


@dataclass(frozen=True, slots=True)
class Wire:
    """Bytes that a connection has carried: TCP payload out and in, and all with the headers of the segments."""

    sent: int = 0
    received: int = 0
    metered: int = 0

    def __sub__(self, other: "Wire") -> "Wire":
        return Wire(self.sent - other.sent, self.received - other.received, self.metered - other.metered)

    def __add__(self, other: "Wire") -> "Wire":
        return Wire(self.sent + other.sent, self.received + other.received, self.metered + other.metered)


class _BoundedQueue(asyncio.Queue[aiomqtt.Message]):
    """As long as it may be, and no heavier."""

    _bytes = 0

    def put_nowait(self, item: aiomqtt.Message) -> None:
        size = len(item.payload) if isinstance(item.payload, bytes) else 0
        if self._bytes + size > INCOMING_BYTES:
            raise asyncio.QueueFull
        super().put_nowait(item)
        self._bytes += size

    def get_nowait(self) -> aiomqtt.Message:
        item = super().get_nowait()
        self._bytes -= len(item.payload) if isinstance(item.payload, bytes) else 0
        return item


class BoundedClient(aiomqtt.Client):
    """A client for one connection. It knows three private names of paho, which no public one stands for:

    `_sock_recv`, where paho asks for as many bytes as a packet says it has; `_create_socket_connection`, which knows
    proxies by a further library alone; `_sock_close`.
    """

    def __init__(
        self, broker: Broker, identifier: str, *, five: bool, will: aiomqtt.Will, timeout_s: float, keepalive_s: int,
        username: str | None, password: str | None, tls: ssl.SSLContext | None, via: Via | None,
    ) -> None:  # fmt: skip
        properties = None
        if five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MESSAGE_MAX
        super().__init__(
            broker.host,
            broker.port,
            identifier=identifier,
            protocol=aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
            clean_session=None if five else True,
            clean_start=True if five else MQTT_CLEAN_START_FIRST_ONLY,  # 3.1.1 knows no other
            properties=properties,
            will=will,
            transport="websockets" if broker.path else "tcp",
            websocket_path=broker.path or None,
            websocket_headers=_headers(broker),
            timeout=timeout_s,
            keepalive=keepalive_s,
            queue_type=_BoundedQueue,
            max_queued_incoming_messages=INCOMING_MAX,
            username=username,
            password=password,
            tls_context=tls,
        )
        self.max_packet: int | None = None
        """What the broker's CONNACK says: Maximum Packet Size (MQTT 5.0, 3.2.2.3.6)."""
        self.heard_at = time.monotonic()
        self._answers: dict[int, asyncio.Future[str]] = {}
        self._wire = Wire()
        self._receive = self._client._sock_recv  # noqa: SLF001 - see the class
        self._client._sock_recv = self._bounded  # type: ignore[method-assign, assignment]  # noqa: SLF001
        self._client._create_socket_connection = lambda: self._dial(broker, via)  # type: ignore[method-assign]  # noqa: SLF001

    async def hand_over(self, topic: str, payload: bytes, timeout_s: float, *, retain: bool) -> str:
        """Publish by QoS 1 and wait for PUBACK; why the broker refuses it, "" when it does not.

        Only MQTT 5 has such words (5.0, 3.4.2.1). Raises `aiomqtt.MqttError`, `ValueError`.
        """
        info = self._client.publish(topic, payload, 1, retain)
        if info.rc != MQTT_ERR_SUCCESS:
            raise aiomqtt.MqttCodeError(info.rc, "not published")
        answer = self._answers[info.mid] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                refusal: str = await answer
        except TimeoutError as error:
            raise aiomqtt.MqttError("no PUBACK") from error
        finally:
            self._answers.pop(info.mid, None)
        return refusal

    def wire(self) -> Wire:
        """What the connection has carried; what it last had, once it is closed."""
        found = self._client.socket()
        inner = getattr(found, "_socket", found)  # a WebSocket is paho's own wrapper
        if isinstance(inner, socket.socket):
            self._wire = tcp_bytes(inner) or self._wire
        return self._wire

    def hang_up(self) -> None:
        """Close the socket, whatever is still to be sent."""
        self.wire()
        self._client._sock_close()  # noqa: SLF001 - see the class

    def _bounded(self, size: int) -> bytes:
        if size > MESSAGE_MAX:
            raise OSError(f"a packet of {size} bytes: larger than any of ours")  # paho takes it for a lost connection
        data = self._receive(size)
        self.heard_at = time.monotonic()
        return data

    def _dial(self, broker: Broker, via: Via | None) -> socket.socket:
        return dial(broker.host, broker.port, via, DIAL_S)

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None,  # noqa: ANN401 - as the library has it
    ) -> None:  # fmt: skip
        self.max_packet = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any,  # noqa: ANN401, ARG002 - as above
    ) -> None:  # fmt: skip
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(str(reason_code) if reason_code.is_failure else "")

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None,  # noqa: ANN401 - as above
    ) -> None:  # fmt: skip
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(aiomqtt.MqttCodeError(reason_code, "the connection is lost"))


def tcp_bytes(link: socket.socket) -> Wire | None:
    """What the kernel counts of a connection; None where it does not."""
    try:
        info = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_BYTES_AT + _TCP_BYTES.size)
    except OSError:
        return None
    if len(info) < _TCP_BYTES_AT + _TCP_BYTES.size:
        return None
    sent, received, segments_out, segments_in = _TCP_BYTES.unpack_from(info, _TCP_BYTES_AT)
    metered = sent + received + _SEGMENT_HEAD * (segments_out + segments_in)
    return Wire(max(sent - 1, 0), received, metered)  # the SYN counts as a byte


def _headers(broker: Broker) -> dict[str, str] | None:
    """paho writes an IPv6 address without its brackets (RFC 3986, 3.2.2)."""
    return {"Host": f"[{broker.host}]:{broker.port}"} if ":" in broker.host else None
