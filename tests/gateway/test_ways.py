"""Other ways to a broker: WebSockets, proxies, IPv6; and brokers that refuse, fall silent or say too much."""

import asyncio
import logging
import socket
import ssl
import struct
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import Broker, Proxy, Tls, Uplink
from gateway.clock import AgentClock
from gateway.demo.processes import wait_for_port
from gateway.doctor.net import Target, attempt
from gateway.errors import LinkError, PublishRefused
from gateway.uplink.client import MESSAGE_MAX
from gateway.uplink.transport import Connector, MqttLink, Will
from tests.authority import Authority
from tests.mosquitto import Mosquitto, free_port

WILL = Will("t/status", b"{}")
Make = Callable[..., Mosquitto]


def connector(url: str, **more: Any) -> Connector:
    """A connector to one broker; further fields of `Uplink` as they are, also out of their bounds."""
    uplink = Uplink(brokers=(Broker.parse(url),), acknowledge="broker").model_copy(update=more)
    return Connector(uplink, "test", AgentClock(bytes(16)))


async def echoes(link: MqttLink, payload: bytes = b"\x00\xff") -> bool:
    """Whether what is published arrives."""
    await link.subscribe("t/#")
    arriving = link.messages()
    await link.publish("t/a", payload)
    async with asyncio.timeout(10):
        return (await anext(arriving)).payload == payload


# Ways -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_over_a_websocket(make_mosquitto: Make, version: str) -> None:
    port = free_port()
    await asyncio.to_thread(make_mosquitto, f"listener {port} 127.0.0.1", "protocol websockets")
    await wait_for_port(port, 10)
    async with connector(f"ws://127.0.0.1:{port}", version=version).link(WILL) as link:
        assert await echoes(link)
        assert await echoes(link, bytes(range(256)) * 800)  # a frame with 64 bits of length: RFC 6455, 5.2
        assert link.wire().sent > 200_000


async def test_over_a_websocket_with_tls_and_a_client_certificate(tmp_path: Path, make_mosquitto: Make) -> None:
    authority = Authority(tmp_path, "authority")
    (cert, key), (ours, our_key) = authority.issue("broker"), authority.issue("gateway")
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", "protocol websockets", f"cafile {authority.file}", f"certfile {cert}"]
    await asyncio.to_thread(make_mosquitto, *lines, f"keyfile {key}", "require_certificate true")
    await wait_for_port(port, 10)
    made = connector(f"wss://127.0.0.1:{port}/mqtt", tls=Tls(ca=authority.file, cert=ours, key=our_key))
    async with made.link(WILL) as link:
        assert await echoes(link, bytes(70_000))
        assert {one.what for one in made.certificates} == {"broker", "gateway", "authority"}
        assert made.dates_by == "clock"


async def test_over_ipv6(make_mosquitto: Make) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    port, web = free_port(), free_port()
    lines = [f"listener {port} ::1", f"listener {web} ::1", "protocol websockets"]
    await asyncio.to_thread(make_mosquitto, *lines)
    await wait_for_port(web, 10, "::1")
    for url in (f"mqtt://[::1]:{port}", f"ws://[::1]:{web}"):
        async with connector(url).link(WILL) as link:
            assert await echoes(link)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes, until it ends."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


@asynccontextmanager
async def proxy(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """A proxy; `answer` gives the host and port to go to, or None once it has refused. Its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = await answer(reader, writer)
        if target is None:
            writer.close()
            return
        far_reader, far = await asyncio.open_connection(*target)
        await asyncio.gather(pump(reader, far), pump(far_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int] | None:
    """CONNECT by RFC 9110, 9.3.6, with the login of RFC 7617's own example."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    host, _, port = head[0].removeprefix("CONNECT ").removesuffix(" HTTP/1.1").rpartition(":")
    if "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" not in head:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
        return None
    writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
    return host, int(port)


async def socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int] | None:
    """RFC 1928 with the login of RFC 1929."""
    _, count = await reader.readexactly(2)
    if 2 not in await reader.readexactly(count):
        writer.write(b"\x05\xff")
        return None
    writer.write(b"\x05\x02")
    await reader.readexactly(1)
    texts = [await reader.readexactly((await reader.readexactly(1))[0]) for _ in range(2)]
    writer.write(b"\x01\x00" if texts == [b"Aladdin", b"open sesame"] else b"\x01\x01")
    assert await reader.readexactly(4) == b"\x05\x01\x00\x03"
    host = await reader.readexactly((await reader.readexactly(1))[0])
    (port,) = struct.unpack(">H", await reader.readexactly(2))
    writer.write(b"\x05\x00\x00\x04" + bytes(16) + b"\x00\x00")
    return host.decode(), port


@pytest.mark.parametrize(("kind", "answer"), [("http", http), ("socks5", socks)])
async def test_through_a_proxy(tmp_path: Path, mosquitto: Mosquitto, kind: str, answer: Any) -> None:
    word = tmp_path / "word"
    word.write_text("open sesame\n")
    async with proxy(answer) as port:
        found = Proxy(kind=kind, host="127.0.0.1", port=port)
        way = {"proxy": found, "proxy_username": "Aladdin", "proxy_password_file": word}
        async with connector(mosquitto.url, **way).link(WILL) as link:
            assert await echoes(link)
        with pytest.raises(LinkError, match=r"proxy 127\.0\.0\.1"):
            async with connector(mosquitto.url, proxy=found).link(WILL):
                pass


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("http", b"x" * 10_000), ("http", b"HTTP/1.1 500 no\r\n\r\n"), ("http", b"\r\n\r\n"), ("http", b""),
        ("socks5", b"\x04\x00"), ("socks5", b"\x05\x02"), ("socks5", b"\x05\x00\x05\x05\x00\x01"), ("socks5", b"\x05"),
    ],
)  # fmt: skip
async def test_a_proxy_that_is_none_is_a_broken_link_and_no_more(kind: str, answer: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()

    async with proxy(say) as port:
        with pytest.raises(LinkError):
            async with connector("mqtt://b", proxy=Proxy(kind=kind, host="127.0.0.1", port=port)).link(WILL):
                pass


@pytest.mark.parametrize(
    ("way", "fault"),
    [("web", ""), ("no web", "mqtt"), ("proxy", ""), ("no proxy", "proxy"), ("no login", "proxy")],
)
async def test_the_doctor_goes_the_same_way(tmp_path: Path, make_mosquitto: Make, way: str, fault: str) -> None:
    port = free_port()
    broker = await asyncio.to_thread(make_mosquitto, f"listener {port} 127.0.0.1", "protocol websockets")
    await wait_for_port(port, 10)
    word = tmp_path / "word"
    word.write_text("open sesame")
    async with proxy(http) as through:
        ends = {"web": port, "no web": broker.port}
        target = Target(
            f"ws://127.0.0.1:{ends.get(way, port)}", "127.0.0.1", ends.get(way, port), False, "d", path="/mqtt"
        )
        if way not in ends:
            target = replace(target, proxy=("http", "127.0.0.1", free_port() if way == "no proxy" else through))
        if way == "proxy":
            target = replace(target, proxy_username="Aladdin", proxy_password_file=str(word))
        assert (await asyncio.to_thread(attempt, target))["fault"] == fault


# Brokers --------------------------------------------------------------------------------------------------------------


async def test_a_refusal_by_the_access_list_is_heard(tmp_path: Path, make_mosquitto: Make) -> None:
    """MQTT 5.0, 3.4.2.1: reason code 135 of PUBACK. mosquitto 2.0 sends it; over 3.1.1 nobody can know."""
    acl = tmp_path / "acl"
    acl.write_text("topic read #\ntopic write t/#\n")
    broker = await asyncio.to_thread(make_mosquitto, f"acl_file {acl}")
    async with connector(broker.url).link(WILL) as link:
        with pytest.raises(PublishRefused, match="Not authorized"):
            await link.publish("forbidden", b"x")
        await link.publish("t/allowed", b"x")


async def test_a_broker_that_falls_silent_is_noticed_in_one_and_a_half_keepalives(mosquitto: Mosquitto) -> None:
    keepalive_s = 2.0
    async with connector(mosquitto.url, keepalive=int(1000 * keepalive_s)).link(WILL) as link:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(1.4 * keepalive_s)
        assert not link.silent(), "it answers PINGREQ"
        mosquitto.pause()
        began = clock()
        try:
            async with asyncio.timeout(10):
                while not link.silent():  # noqa: ASYNC110 - what is measured
                    await asyncio.sleep(0.02)
        finally:
            mosquitto.resume()
        assert clock() - began <= 1.5 * keepalive_s + 0.5


CONNACK = {"5": b"\x20\x03\x00\x00\x00", "3.1.1": b"\x20\x02\x00\x00"}
HUGE = b"\x30\xff\xff\xff\x7f\x00\x03t/a"  # PUBLISH of 268,435,455 bytes, the most there is (MQTT 5.0, 1.5.5)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_message_without_bounds_ends_the_link_before_it_takes_memory(
    version: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK[version])
        await writer.drain()
        await reader.read(1000)
        writer.write(HUGE + bytes(500_000))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made = connector(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", version=version)
    try:
        tracemalloc.start()
        async with made.link(WILL) as link:
            publishing = asyncio.ensure_future(link.publish("t", b"x"))
            with pytest.raises(LinkError):
                async with asyncio.timeout(10):
                    await anext(link.messages())
            with pytest.raises(LinkError):
                await publishing
        assert tracemalloc.get_traced_memory()[1] < 4 * MESSAGE_MAX
    finally:
        tracemalloc.stop()
        server.close()


def test_tls_is_1_2_at_least(tmp_path: Path) -> None:
    from gateway.uplink.trust import tls_context

    assert tls_context(None).minimum_version is ssl.TLSVersion.TLSv1_2
