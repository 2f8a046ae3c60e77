"""From a box without keys to one that a broker with client certificates knows: by a token, and by hand."""

import asyncio
import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from paho.mqtt.enums import CallbackAPIVersion

from buffer.enrolment import Request, Token
from buffer.errors import BatchFormatError
from buffer.keys import SigningKey
from gateway.errors import EnrolmentFailed
from gateway.identity import enrol
from gateway.identity.enrol import Places
from tests.conftest import ROOT
from tests.mosquitto import Mosquitto, free_port

pytest.importorskip("uvicorn")
from collector.identity import doors, enrol_server


def call(module: str, *arguments: object, text: str = "", wanted: int = 0) -> tuple[str, str]:
    """Standard output and standard error of a verb that ends with the exit code `wanted`."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT, input=text, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == wanted, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


@dataclass
class Platform:
    """A certificate authority, a database and a running enrolment server."""

    folder: Path
    url: str
    log: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca"

    @property
    def database(self) -> Path:
        return self.folder / "c.db"

    def token(self, gateway: str = "gw-1", *more: object) -> str:
        return call(
            "collector", "token", "add", gateway, "--site", "nord", "--url", self.url, "--ca", self.ca,
            "--database", self.database, *more,
        )[0]  # fmt: skip

    def known(self) -> list[dict[str, object]]:
        out, _ = call("collector", "gateways", "list", "--json", "--database", self.database)
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    port = free_port()
    made = Platform(folder, f"https://127.0.0.1:{port}", folder / "log")
    call("collector", "ca", "init", made.ca)
    cert, key = folder / "server.pem", folder / "server.key"
    call("collector", "ca", "server", made.ca, "127.0.0.1", "localhost", "--cert", cert, "--key", key)
    (folder / "authority.json").write_text(
        SigningKey.create(folder / "authority.key").public(role="authority").to_json()
    )
    with made.log.open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "collector", "enroll-server", "--listen", f"127.0.0.1:{port}",
                "--cert", str(cert),
                "--cert-key", str(key), "--ca", str(made.ca), "--authority", str(folder / "authority.json"),
                "--tell-broker", "mqtts://broker.example:8883", "--database", str(made.database),
            ],
            cwd=ROOT, stderr=log,
        )  # fmt: skip
    deadline = time.monotonic() + 30
    trusting = ssl.create_default_context(cafile=str(made.ca / "ca.pem"))
    while True:
        try:
            urllib.request.urlopen(f"{made.url}/ca.pem", context=trusting, timeout=5).close()  # noqa: S310 - https, ours
            break
        except OSError:
            assert server.poll() is None, made.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield made
    server.send_signal(signal.SIGTERM)
    assert server.wait(10) == -signal.SIGTERM, made.log.read_text()  # as uvicorn ends, and systemd expects


def enrolled(platform: Platform, folder: Path, gateway: str) -> Places:
    """A box that became known by a token."""
    folder.mkdir()
    call("gateway", "enroll", "--keys", folder, "-", text=platform.token(gateway))
    return Places(folder)


def test_a_token_makes_a_box_known_and_gives_it_what_it_needs(platform: Platform, tmp_path: Path) -> None:
    out, error = call("gateway", "enroll", "--keys", tmp_path, "-", text=platform.token())
    places = Places(tmp_path)
    kid = SigningKey.load(places.batch).kid.hex()
    (known,) = [row for row in platform.known() if row["gateway"] == "gw-1"]
    assert (known["kid"], known["site"], known["revoked_at"]) == (kid, "nord", None)
    certificate = x509.load_pem_x509_certificate(places.certificate.read_bytes())
    assert certificate.subject.rfc4514_string() == "O=nord,CN=gw-1"
    assert [path.stat().st_mode & 0o777 for path in (places.batch, places.tls)] == [0o600, 0o600]
    assert 'brokers = ["mqtts://broker.example:8883"]' in out
    assert "gw-1 of site nord is known" in error
    checked = ["openssl", "verify", "-CAfile", str(places.ca), "-purpose", "sslclient", str(places.certificate)]
    assert subprocess.run(checked, capture_output=True, check=False).returncode == 0


def test_a_token_is_good_once_and_a_second_use_is_told_of(platform: Platform, tmp_path: Path) -> None:
    token = platform.token("gw-2")
    for box in ("ours", "theirs"):
        (tmp_path / box).mkdir()
    call("gateway", "enroll", "--keys", tmp_path / "ours", "-", text=token)
    call("gateway", "enroll", "--keys", tmp_path / "ours", "-", text=token)  # the answer was lost: the same box again
    _, error = call("gateway", "enroll", "--keys", tmp_path / "theirs", "-", text=token, wanted=77)
    assert "was used before, by another key" in error
    out, _ = call("collector", "token", "list", "--json", "--database", platform.database)
    (row,) = [row for row in map(json.loads, out.splitlines()) if row["gateway"] == "gw-2"]
    assert (row["kid"], row["misuses"]) == (SigningKey.load(tmp_path / "ours/batch.key").kid.hex(), 1)
    assert "refused (misuse)" in platform.log.read_text()
    secret = Token.parse(token).secret.hex()
    assert secret not in platform.log.read_text()
    assert token.strip() not in platform.log.read_text()


def test_what_is_no_token_of_this_platform_is_refused(platform: Platform, tmp_path: Path) -> None:
    token = Token.parse(platform.token("gw-3"))
    foreign = Token.make(token.url, token.ca, "gw-3", "nord")
    with pytest.raises(EnrolmentFailed, match="no such token"):
        enrol.redeem(Places(tmp_path), foreign)
    other_name = Token(token.url, token.ca, "gw-4", "nord", token.secret)
    with pytest.raises(EnrolmentFailed, match="no such token"):
        enrol.redeem(Places(tmp_path), other_name)
    other_authority = Token(token.url, bytes(32), "gw-3", "nord", token.secret)
    with pytest.raises(EnrolmentFailed, match="not the server of the token"):
        enrol.redeem(Places(tmp_path), other_authority)
    assert not Places(tmp_path).certificate.exists()
    assert enrol.redeem(Places(tmp_path), token).gateway == "gw-3"  # a wrong try costs the right one nothing


def test_a_line_that_lost_a_letter_is_told_from_a_refusal(platform: Platform) -> None:
    text = platform.token("gw-5").strip()
    with pytest.raises(BatchFormatError, match="not copied as a whole"):
        Token.parse(text[:40] + text[41:])


def test_renewal_needs_no_token_but_a_key_that_counts(platform: Platform, tmp_path: Path) -> None:
    places = enrolled(platform, tmp_path / "box", "gw-6")
    before = places.certificate.read_bytes()
    _, error = call("gateway", "enroll", "--renew", "--keys", places.folder)
    assert "nothing to do" in error
    call("gateway", "enroll", "--renew", "--now", "--keys", places.folder)
    assert places.certificate.read_bytes() != before
    call("collector", "gateways", "revoke", "gw-6", "--database", platform.database)
    _, error = call("gateway", "enroll", "--renew", "--now", "--keys", places.folder, wanted=77)
    assert "was revoked" in error
    listed = x509.load_pem_x509_crl(
        call("collector", "ca", "crl", platform.ca, "--database", platform.database)[0].encode()
    )
    serials = [x509.load_pem_x509_certificate(pem).serial_number for pem in (before, places.certificate.read_bytes())]
    assert all(listed.get_revoked_certificate_by_serial_number(serial) for serial in serials)


def test_a_revoked_gateway_loses_its_live_session_and_does_not_come_back(
    platform: Platform, tmp_path: Path, make_mosquitto: Callable[..., Mosquitto]
) -> None:
    places = enrolled(platform, tmp_path / "box", "gw-10")
    port, crl = free_port(), tmp_path / "crl.pem"
    crl.write_text(call("collector", "ca", "crl", platform.ca, "--database", platform.database)[0])
    broker = make_mosquitto(
        f"listener {port} 127.0.0.1", f"cafile {platform.ca}/ca.pem", f"certfile {platform.folder}/server.pem",
        f"keyfile {platform.folder}/server.key", "require_certificate true", "use_identity_as_username true",
        "use_username_as_clientid true", f"crlfile {crl}",
    )  # fmt: skip
    context = ssl.create_default_context(cafile=str(places.ca))
    context.load_cert_chain(places.certificate, places.tls)
    session = _session(port, context)
    ends: queue.Queue[bool] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2, "lamppost-gw-10", protocol=paho.MQTTv311)
    client.tls_set(str(places.ca), str(places.certificate), str(places.tls))
    client.on_connect = lambda *_: ends.put(False)
    client.on_disconnect = lambda *_: ends.put(True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ends.get(timeout=10) is False
        call("collector", "gateways", "revoke", "gw-10", "--database", platform.database)
        crl.write_text(call("collector", "ca", "crl", platform.ca, "--database", platform.database)[0])
        os.kill(broker.pid, signal.SIGHUP)
        call("collector", "gateways", "cut", "gw-10", "--broker", broker.url)
        assert ends.get(timeout=10) is True
    finally:
        client.disconnect()
        client.loop_stop()
    with pytest.raises(ssl.SSLError, match=r"revoked|EOF"):  # the alert, or the end where that came first
        _connack(port, context)
    with pytest.raises(OSError):  # what it kept of a handshake before is no way around the list
        _connack(port, context, session)


def _connack(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> tuple[Any, bool | None]:
    """Connect as an MQTT 3.1.1 client and read the answer: TLS 1.3 tells of a refused certificate that late.

    The session to resume later, and whether one was resumed.
    """
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secure,
    ):
        secure.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x")
        if secure.recv(4) != b"\x20\x02\x00\x00":
            raise ConnectionError("refused")
        return secure.session, secure.session_reused


def _session(port: int, context: ssl.SSLContext) -> ssl.SSLSession:
    found: ssl.SSLSession = _connack(port, context)[0]
    assert _connack(port, context, found)[1]  # the broker does resume sessions
    return found


def test_the_old_key_vouches_for_the_new_one(platform: Platform, tmp_path: Path) -> None:
    places = enrolled(platform, tmp_path / "box", "gw-7")
    old = SigningKey.load(places.batch).kid.hex()
    call("gateway", "enroll", "--new-key", "--keys", places.folder)
    new = SigningKey.load(places.batch).kid.hex()
    known = {row["kid"]: row["revoked_at"] for row in platform.known() if row["gateway"] == "gw-7"}
    assert known == {old: None, new: None}
    assert not places.next_batch.exists()
    stranger = Places(tmp_path / "stranger")
    stranger.folder.mkdir()
    SigningKey.create(stranger.batch)
    stranger.enrolment.write_text(places.enrolment.read_text())
    with pytest.raises(EnrolmentFailed, match="should vouch"):
        enrol.roll(stranger)


def test_another_box_takes_the_place_of_one_that_broke(platform: Platform, tmp_path: Path) -> None:
    first = enrolled(platform, tmp_path / "first", "gw-8")
    token, _ = call(
        "collector", "gateways", "replace", "gw-8", "--url", platform.url, "--ca", platform.ca,
        "--database", platform.database,
    )  # fmt: skip
    second = Places(tmp_path / "second")
    second.folder.mkdir()
    call("gateway", "enroll", "--keys", second.folder, "-", text=token)
    known = {row["kid"]: row["revoked_at"] is None for row in platform.known() if row["gateway"] == "gw-8"}
    assert known == {SigningKey.load(first.batch).kid.hex(): False, SigningKey.load(second.batch).kid.hex(): True}
    call("collector", "gateways", "revoke", "gw-8", "--database", platform.database)  # stolen: revoked at once
    replace = ("gateways", "replace", "gw-8", "--url", platform.url, "--ca", platform.ca)
    token, _ = call("collector", *replace, "--database", platform.database)
    assert (Token.parse(token).gateway, Token.parse(token).site) == ("gw-8", "nord")


def test_by_hand_the_key_id_is_what_an_operator_compares(platform: Platform, tmp_path: Path) -> None:
    box, request, answer = tmp_path / "box", tmp_path / "request", tmp_path / "answer.json"
    box.mkdir()
    call("gateway", "enroll", "--request", request, "--gateway", "gw-9", "--site", "nord", "--keys", box)
    kid = SigningKey.load(box / "batch.key").kid.hex()
    platform_side = (
        "collector", "enroll", request, "--ca", platform.ca, "--authority", platform.folder / "authority.json",
        "--database", platform.database, "--out", answer,
    )  # fmt: skip
    call(*platform_side, wanted=77)  # nobody says yes
    call(*platform_side, "--kid", "0" * 16, wanted=77)
    _, shown = call(*platform_side, "--kid", kid)
    read_out = shown.split()[-1]
    _, error = call("gateway", "enroll", "--answer", answer, "--keys", box, "--check", "0" * 16, wanted=77)
    assert "it was exchanged" in error
    _, error = call("gateway", "enroll", "--answer", answer, "--keys", box, wanted=77)  # nobody says yes
    assert "nothing was changed" in error
    assert not Places(box).certificate.exists()
    _, error = call("gateway", "enroll", "--answer", answer, "--keys", box, "--check", read_out)
    assert f"answer {read_out}" in error
    assert Places(box).certificate.exists()
    other = tmp_path / "other"
    other.mkdir()
    _, error = call("gateway", "enroll", "--answer", answer, "--keys", other, "--check", read_out, wanted=77)
    assert "for another key" in error
    assert not Places(other).certificate.exists()


def test_every_changed_bit_of_a_request_is_refused(tmp_path: Path) -> None:
    message = enrol.request(Places(tmp_path), "gw-1", "nord", secret=bytes(16))
    assert Request.read(message).secret == bytes(16)
    for at in range(len(message)):
        with pytest.raises(ValueError):
            Request.read(message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :])


def test_an_address_that_opens_connections_and_says_nothing_keeps_nobody_out(platform: Platform) -> None:
    trusting = ssl.create_default_context(cafile=str(platform.ca / "ca.pem"))
    port = int(platform.url.rpartition(":")[2])
    with ExitStack() as stack:
        for _ in range(80):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)))
            with suppress(OSError):
                stack.enter_context(trusting.wrap_socket(plain, server_hostname="127.0.0.1")).sendall(b"GET /ca")
        with urllib.request.urlopen(f"{platform.url}/ca.pem", context=trusting, timeout=5) as answer:  # noqa: S310 - https, ours
            assert answer.status == 200


async def test_a_connection_that_says_nothing_more_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doors, "CONNECTION_S", 0.3)
    call("collector", "ca", "init", tmp_path / "ca")
    cert, key = tmp_path / "server.pem", tmp_path / "server.key"
    call("collector", "ca", "server", tmp_path / "ca", "localhost", "--cert", cert, "--key", key)
    enrolment: Any = None  # nobody gets as far
    server = enrol_server.server(enrolment, "127.0.0.1", port := free_port(), cert, key)
    running = asyncio.create_task(server.serve())
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca" / "ca.pem"))
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET")  # answered, and then half of another
        with suppress(ConnectionError):
            while await reader.read(1000):
                pass
        writer.close()
        server.should_exit = True
        await running


def test_an_address_that_asks_too_often_is_not_heard(platform: Platform) -> None:
    trusting = ssl.create_default_context(cafile=str(platform.ca / "ca.pem"))
    codes = []
    for _ in range(60):
        asked = urllib.request.Request(f"{platform.url}/enroll", b"x", method="POST")  # noqa: S310 - https, ours
        try:
            urllib.request.urlopen(asked, context=trusting, timeout=10)  # noqa: S310
        except urllib.error.HTTPError as error:
            codes.append(error.code)
    assert set(codes) == {403, 429}
    assert codes[-1] == 429
