"""The enrolment server's door: what a hostile address, or a house full of them, costs the others."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("uvicorn")
from collector.identity import doors, enrol_server
from collector.identity.ca import CertificateAuthority, private_key
from collector.identity.doors import Limits, place

Open = Callable[..., Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Line:
    """A connection that is there or was ended."""

    ended = False

    def abort(self) -> None:
        self.ended = True


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
    ],
)
def test_a_guest_is_known_by_the_part_of_its_address_that_it_cannot_choose(address: str, wanted: str) -> None:
    assert place(address) == wanted


def test_a_whole_network_of_one_guest_asks_as_often_as_one_address() -> None:
    limits = Limits(clock=lambda: 1000.0)
    heard = [limits.admit(f"2001:db8::{n:x}") for n in range(100)]
    assert sum(heard) == doors.PER_MINUTE
    assert limits.admit("2001:db8:0:1::1")


def test_a_full_house_has_room_for_the_next_and_one_guest_never_fills_it() -> None:
    limits = Limits(clock=lambda: 1000.0)
    first = Line()
    assert limits.enter(first, "192.0.2.1")
    others = [Line() for _ in range(doors.MAX_CLIENTS)]
    assert all(limits.enter(line, f"198.51.100.{n}") for n, line in enumerate(others))
    assert [first.ended, *(line.ended for line in others)] == [True] + [False] * len(others)
    again = [limits.enter(Line(), "203.0.113.1") for _ in range(20)]
    assert sum(again) == doors.MAX_EACH
    assert not limits.leave(first)
    assert limits.leave(others[-1])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doors")
    ca = CertificateAuthority.create(folder / "ca", "test")
    (folder / "server.pem").write_text(ca.server(private_key(folder / "server.key"), ("localhost",)).pem)
    return folder


def made(files: Path) -> tuple[Any, ssl.SSLContext]:
    """A server that has an authority and no database, and whom its clients trust."""
    enrolment: Any = SimpleNamespace(ca=CertificateAuthority.load(files / "ca"))
    server = enrol_server.server(enrolment, "127.0.0.1", 0, files / "server.pem", files / "server.key")
    return server, ssl.create_default_context(cafile=str(files / "ca" / "ca.pem"))


@asynccontextmanager
async def serving(files: Path) -> AsyncIterator[tuple[int, Open]]:
    """Its port, and what opens a connection to it."""
    server, trusting = await asyncio.to_thread(made, files)
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(30), AsyncExitStack() as stack:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]

        async def opened(source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=trusting, server_hostname="localhost", local_addr=(source, 0)
            )
            stack.callback(writer.close)
            return reader, writer

        try:
            yield port, opened
        finally:
            server.should_exit = True
            await stack.aclose()
            await running


async def heard(opened: Open, request: bytes, source: str = "127.0.0.1") -> bytes:
    """All that is answered until the server ends the connection."""
    reader, writer = await opened(source)
    writer.write(request)
    return await reader.read()


def is_open(line: socket.socket) -> bool:
    """Whether the other side has not ended it."""
    line.setblocking(False)
    try:
        return line.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


ASKED = b"GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_hundreds_that_never_begin_a_handshake_keep_nobody_out(files: Path) -> None:
    async with serving(files) as (port, opened):
        silent = [socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) for _ in range(300)]
        for last in range(3, 15):  # and a house full from other places
            silent += [
                socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.0.{last}", 0)) for _ in range(8)
            ]
        try:
            assert b"BEGIN CERTIFICATE" in await heard(opened, ASKED)
            assert sum(map(is_open, silent)) <= doors.MAX_CLIENTS
        finally:
            for one in silent:
                one.close()


async def test_a_connection_is_ended_in_time_whatever_it_says(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "CONNECTION_S", 0.3)
    async with serving(files) as (port, opened):
        assert await heard(opened, b"GET / HTTP/1.1\r\nHost") == b""
        assert await heard(opened, b"") == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a handshake
        assert await reader.read() == b""
        writer.close()


async def test_one_connection_has_one_answer(files: Path) -> None:
    async with serving(files) as (_, opened):
        answer = await heard(opened, ASKED * 50)
        assert answer.count(b"HTTP/1.1 200") == 1


POST = b"POST /enroll HTTP/1.1\r\nHost: x\r\n"
CHUNK = b"1000\r\n" + bytes(4096) + b"\r\n"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", id="two lengths"),
        pytest.param(
            POST + b"Content-Length: 4\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="two framings"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 100_000, id="headers without end"),
        pytest.param(b"GET /" + b"a" * 1_000_000, id="a path without end"),
        pytest.param(POST + b"Content-Length: 9999999\r\n\r\n" + bytes(20_000), id="a large body"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK * 3, id="chunks without end"),
        pytest.param(bytes(1000), id="no HTTP"),
    ],
)
async def test_what_is_too_much_or_says_two_things_is_refused_and_ended(files: Path, said: bytes) -> None:
    async with serving(files) as (_, opened):
        reader, writer = await opened()
        answer = b""
        with suppress(ConnectionError):
            writer.write(said)
            answer = await reader.read()
        assert answer[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 413"), answer[:100]


async def test_tls_older_than_1_2_is_not_spoken(files: Path) -> None:
    async with serving(files) as (port, _):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port, ssl=old, server_hostname="localhost")
