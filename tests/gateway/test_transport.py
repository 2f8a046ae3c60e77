"""Which broker is next, by which protocol, and what of the real library counts as a broken link."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config import Broker, Tls, Uplink
from gateway.clock import AgentClock
from gateway.errors import LinkError
from gateway.uplink.transport import Connector, Will
from gateway.uplink.trust import tls_context
from tests.mosquitto import Mosquitto, free_port

CONNECT_S = 0.5  # a broker that hangs up before CONNACK is noticed only when this is over

WILL = Will("t/status", b"{}")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.uplink.transport.CONNECT_S", CONNECT_S)


def connector(*urls: str, version: str = "auto") -> Connector:
    """A connector to these brokers."""
    brokers = tuple(Broker.parse(url) for url in urls)
    return Connector(Uplink(brokers=brokers, acknowledge="broker", version=version), "test", AgentClock(bytes(16)))


async def fails(made: Connector) -> str:
    """Try once; the error."""
    with pytest.raises(LinkError) as error:
        async with made.link(WILL):
            pass
    return str(error.value)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A broker that answers each CONNECT with these bytes and closes; its URL, and what it was sent."""
    heard = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
    finally:
        server.close()


def level(connect: bytes) -> int:
    """The protocol level of a CONNECT packet (MQTT 3.1.1, 3.1.2.2; MQTT 5.0, 3.1.2.2)."""
    return connect[connect.index(b"MQTT") + 4]


async def test_brokers_that_are_down_take_turns_and_each_error_names_its_own() -> None:
    urls = [f"mqtt://127.0.0.1:{free_port()}" for _ in range(3)]
    made = connector(*urls)
    for url in urls * 2:
        assert url in await fails(made)
    assert made.broker.url == urls[0]


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"], ids=["3.1.1", "5"])
async def test_a_broker_that_refuses_the_protocol_is_asked_by_the_older_and_then_gives_way(answer: bytes) -> None:
    """CONNACK with return code 1 (MQTT 3.1.1, 3.2.2.3) or reason code 0x84 (MQTT 5.0, 3.2.2.2)."""
    async with answering(answer) as (url, heard):
        other = f"mqtt://127.0.0.1:{free_port()}"
        made = connector(url, other)
        await fails(made)
        assert made.broker.url == url
        await fails(made)
        assert made.broker.url == other
        assert [level(connect) for connect in heard] == [5, 4]
        await fails(made)
        await fails(made)
        assert level(heard[-1]) == 5


@pytest.mark.parametrize(("version", "spoken"), [("5", 5), ("3.1.1", 4)])
async def test_a_configured_protocol_is_the_only_one(version: str, spoken: int) -> None:
    async with answering(b"\x20\x02\x00\x01") as (url, heard):
        made = connector(url, version=version)
        for _ in range(3):
            await fails(made)
        assert [level(connect) for connect in heard] == [spoken] * 3


@pytest.mark.parametrize("answer", [b"", b"\x00" * 10, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 200])
async def test_what_is_no_broker_is_a_broken_link_and_no_more(answer: bytes) -> None:
    async with answering(answer) as (url, _):
        made = connector(url)
        for _ in range(2):
            assert url in await fails(made)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_what_is_published_arrives_and_a_dead_broker_breaks_the_link(
    mosquitto: Mosquitto, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with connector(mosquitto.url, version=version).link(WILL) as link:
        await link.subscribe("t/#")
        arriving = link.messages()
        await link.publish("t/a", b"\x00\xff", retain=True)
        message = await asyncio.wait_for(anext(arriving), 10)
        assert (message.topic, message.payload, message.retained) == ("t/a", b"\x00\xff", False)
        await asyncio.to_thread(mosquitto.kill)
        with pytest.raises(LinkError):
            await asyncio.wait_for(anext(arriving), 10)
        with pytest.raises(LinkError):
            await link.publish("t/a", b"x")
        with pytest.raises(LinkError):
            await link.subscribe("t/b")


def test_a_certificate_file_that_is_none_is_an_error_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(OSError):
        tls_context(Tls(ca=tmp_path / "ca.pem"))
    with pytest.raises(FileNotFoundError):
        tls_context(Tls(ca=tmp_path / "gone.pem"))
    assert tls_context(None).check_hostname
