"""`lamppost web` as a technician starts it: TLS, the fingerprint, one login, and an end."""

import asyncio
import hashlib
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from gateway.cli.web import command
from gateway.errors import SetupFailed
from gateway.web import address


async def started(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "web", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def post(port: int, body: dict[str, Any], context: ssl.SSLContext) -> tuple[bytes, bytes]:
    """The certificate that the other end shows (DER), and the head of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    data, host = json.dumps(body).encode(), f"127.0.0.1:{port}"
    writer.write(
        f"POST /api/login HTTP/1.1\r\nhost: {host}\r\norigin: https://{host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode()
        + data
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.close()
    return shown, head.lower()


def trusting() -> ssl.SSLContext:
    """Takes any certificate: the fingerprint is what is compared."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_open_shows_its_fingerprint_lets_in_once_and_closes(run_dir: Path) -> None:
    words = ("--address", "127.0.0.1", "--tls", "--port", "0", "--for", "6s", "--json", "--run-dir", str(run_dir))
    process = await started("open", *words)
    assert process.stdout is not None
    told = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    where, _, code = told["url"].partition("/#")
    port, context = int(where.rpartition(":")[2]), await asyncio.to_thread(trusting)
    assert where.startswith("https://127.0.0.1:")
    shown, head = await post(port, {"code": code}, context)
    assert hashlib.sha256(shown).digest().hex(":").upper() == told["fingerprint"]
    assert head.startswith(b"http/1.1 200")
    cookie = next(line for line in head.split(b"\r\n") if line.startswith(b"set-cookie:"))
    assert b"__host-lamppost=" in cookie
    assert {b"secure", b"httponly", b"samesite=strict"} <= {part.strip() for part in cookie.split(b";")}
    assert (await post(port, {"code": code}, context))[1].startswith(b"http/1.1 401")
    assert await asyncio.wait_for(process.wait(), 20) == 0
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
    await process.communicate()


async def test_run_listens_on_loopback_until_it_is_ended(run_dir: Path, tmp_path: Path) -> None:
    process = await started("run", "--port", "0", "--run-dir", str(run_dir), "--folder", str(tmp_path))
    assert process.stderr is not None
    assert (await asyncio.wait_for(process.stderr.readline(), 20)).startswith(b"listening on http://127.0.0.1:")
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0
    await process.communicate()


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["open"], SetupFailed, "say where to listen"),
        (["open", "--address", "8.8.8.8"], SetupFailed, "not an address of a private network"),
        (["open", "--address", "0.0.0.0"], SetupFailed, "not an address of a private network"),  # noqa: S104 - refused
        (["open", "--address", "lamp"], SetupFailed, "not an IP address"),
        (["open", "--interface", "none7"], SetupFailed, "interface none7 has no IPv4 address"),
        (["open", "--address", "127.0.0.1", "--for", "25h"], click.UsageError, "at most 24h"),
        (["run", "--origin", "http://gw.example"], click.UsageError, "https://NAME"),
        (["run", "--origin", "https://u@gw.example"], click.UsageError, "https://NAME"),
    ],
)
def test_where_and_how_long_must_be_right(words: list[str], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        command.main(words, standalone_mode=False)


def test_the_interfaces_of_this_box_are_known() -> None:
    assert address.interfaces()["lo"] == "127.0.0.1"
    assert address.choose(None, "lo") == "127.0.0.1"
    for neighbour in ("10.42.0.1", "169.254.7.7", "192.168.4.1", "fe80::1", "fd00::1"):
        assert address.choose(neighbour, None) == neighbour
    with pytest.raises(SetupFailed):
        address.choose("2001:4860:4860::8888", None)
    assert address.netloc("fd00::1", 8437) == "[fd00::1]:8437"
