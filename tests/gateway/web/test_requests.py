"""What the page's server does with requests, good, bad and slow: HTTP by hand, an agent that says what it is told."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from gateway.control.server import Args, ControlServer, Verb
from gateway.control.sockets import status_socket
from gateway.errors import BadRequest
from gateway.web import secret, server
from gateway.web.address import bound
from gateway.web.app import Page, _language
from gateway.web.asked import Asked
from gateway.web.door import TRIES, Door
from gateway.web.guard import BODY_MAX, Guard

STATUS = {"gateway": "gw-1", "stuck": []}
PASSWORD = "a lamp at the corner"  # noqa: S105 - of this test
ANYBODYS = {"/", "/app.css", "/app.js", "/words.js", "/icon.svg", "/healthz", "/metrics", "/api/session", "/api/login"}


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """scrypt that takes no time: what it costs is tried elsewhere."""
    monkeypatch.setattr(secret, "N", 16)


class Site:
    """A page on a port of its own, its agent, and what the agent was asked."""

    def __init__(self, run_dir: Path, folder: Path) -> None:
        self.asked: list[tuple[str, Args]] = []
        self.door = Door(time.monotonic)
        self.page = Page(Asked(run_dir), self.door, folder=folder)
        self.control = ControlServer(status_socket(run_dir), {n: self.verb(n) for n in ("status", "tick", "record")})
        self.listening = bound("127.0.0.1", 0)
        self.host = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self.app = self.page.app()

    def verb(self, name: str) -> Verb:
        async def answer(args: Args) -> Any:
            self.asked.append((name, args))
            if args.get("point") == "wrong":
                raise BadRequest("point: no such point")
            return {"status": STATUS, "record": {"message": "d284", "hash": "ab" * 32}}.get(name, args)

        return answer

    async def say(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes; the whole answer: status, headers, body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.host.rpartition(":")[2]))
        try:
            writer.write(raw)
            answer = await asyncio.wait_for(reader.read(), 10)
        finally:
            await gone(writer)
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body

    async def ask(
        self, path: str, body: Any = None, method: str = "", **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """One request as a browser of ours makes it; a header with the value "" is left out."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        post = {"content-type": "application/json", "origin": f"http://{self.host}", "content-length": str(len(data))}
        sent = {"host": self.host, "connection": "close", **({} if body is None else post)}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in sent.items() if value]
        words = method or ("GET" if body is None else "POST")
        status, found, answer = await self.say(
            f"{words} {path} HTTP/1.1\r\n".encode() + "\r\n".join(lines).encode() + b"\r\n\r\n" + data
        )
        form = found.get("content-type", "")
        return status, found, json.loads(answer) if form.startswith("application/json") else answer

    async def enter(self) -> dict[str, str]:
        """The headers of a session."""
        status, headers, told = await self.ask("/api/login", {"code": self.door.code()})
        assert status == 200
        return {"cookie": headers["set-cookie"].partition(";")[0], "x_lamppost_token": told["token"]}


async def gone(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whatever the other end did with it."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def a_site(run_dir: Path, folder: Path) -> AsyncIterator[Site]:
    site = await asyncio.to_thread(Site, run_dir, folder)
    await site.control.start()
    serving = await server.start(Guard(site.app, [f"http://{site.host}", "https://gw.example"]), site.listening, None)
    try:
        yield site
    finally:
        await serving.close()
        await site.control.stop()


async def test_nothing_is_told_to_who_has_no_session(run_dir: Path, tmp_path: Path) -> None:
    async with a_site(run_dir, tmp_path) as site:
        seen = set()
        for route in site.app.routes:
            assert isinstance(route, Route)
            assert route.methods
            for method in route.methods - {"HEAD"}:
                status, _, _ = await site.ask(route.path, {} if method == "POST" else None)
                seen.add(route.path)
                assert (status == 401) == (route.path not in ANYBODYS - {"/metrics", "/api/login"}), route.path
        assert seen > ANYBODYS
        assert [verb for verb, _ in site.asked] == ["status"]  # of /healthz


async def test_a_session_reads_and_its_token_changes(run_dir: Path, tmp_path: Path) -> None:
    async with a_site(run_dir, tmp_path) as site:
        me = await site.enter()
        assert (await site.ask("/api/now", cookie=me["cookie"]))[2] == STATUS
        tick = {"point": "d/p", "verdict": "ok", "note": "x", "more": 1}
        assert (await site.ask("/api/tick", tick, **me))[2] == {"point": "d/p", "verdict": "ok", "note": "x"}
        assert (await site.ask("/api/tick", {"point": "wrong"}, **me))[0::2] == (
            409, {"error": "point: no such point", "remedy": ""},
        )  # fmt: skip
        status, headers, body = await site.ask("/record.cose", cookie=me["cookie"])
        assert (status, headers["content-type"], body) == (200, "application/cose", b"\xd2\x84")
        asked = len(site.asked)
        assert (await site.ask("/api/tick", tick, cookie=me["cookie"]))[0] == 403
        assert (
            await site.ask("/api/tick", tick, **{**me, "x_lamppost_token": (await site.enter())["x_lamppost_token"]})
        )[0] == 403
        assert len(site.asked) == asked
        assert (await site.ask("/api/logout", {}, **me))[0] == 200
        assert (await site.ask("/api/now", cookie=me["cookie"]))[0] == 401


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": ""}, 400),
        ({"host": "gw.example", "origin": "https://gw.example"}, 401),
        ({"origin": ""}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_length": str(BODY_MAX + 1)}, 413),
        ({}, 401),
    ],
    ids=str,
)
async def test_a_request_is_for_us_from_us_and_small(
    run_dir: Path, tmp_path: Path, headers: dict[str, str], wanted: int
) -> None:
    async with a_site(run_dir, tmp_path) as site:
        status, found, _ = await site.ask("/api/login", {"code": "x"}, **headers)
        assert status == wanted
        assert wanted == 400 or "default-src 'none'" in found["content-security-policy"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 5000, b"\xff", b'"x"', b"null"])
async def test_a_body_that_is_no_object_is_refused(run_dir: Path, tmp_path: Path, body: bytes) -> None:
    async with a_site(run_dir, tmp_path) as site:
        assert (await site.ask("/api/login", body))[0] == 400


async def test_a_body_that_does_not_say_its_length_is_bounded(run_dir: Path, tmp_path: Path) -> None:
    async with a_site(run_dir, tmp_path) as site:
        chunks = b"400\r\n" + b" " * 0x400 + b"\r\n"
        status, _, _ = await site.ask(
            "/api/login",
            chunks * (BODY_MAX // 0x400 + 1) + b"0\r\n\r\n",
            content_length="",
            transfer_encoding="chunked",
        )
        assert status == 413


async def test_every_answer_carries_the_headers(run_dir: Path, tmp_path: Path) -> None:
    async with a_site(run_dir, tmp_path) as site:
        for path, method in [("/", "GET"), ("/app.js", "GET"), ("/nothing", "GET"), ("/api/now", "GET"), ("/", "PUT")]:
            _, headers, _ = await site.ask(path, method=method)
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            policy = headers["content-security-policy"]
            assert "unsafe" not in policy
            assert {"default-src 'none'", "frame-ancestors 'none'"} <= {part.strip() for part in policy.split(";")}
            assert "server" not in headers


async def test_the_cookie_is_for_this_site_and_no_script(run_dir: Path, tmp_path: Path) -> None:
    async with a_site(run_dir, tmp_path) as site:
        _, headers, _ = await site.ask("/api/login", {"code": site.door.code()})
        name, *flags = (part.strip().lower() for part in headers["set-cookie"].split(";"))
        assert name.startswith("lamppost=")
        assert {"httponly", "samesite=strict", "path=/"} <= set(flags)


async def test_guessing_is_slowed_down_and_the_password_lets_in(run_dir: Path, tmp_path: Path) -> None:
    await asyncio.to_thread(secret.set_password, tmp_path, PASSWORD)
    async with a_site(run_dir, tmp_path) as site:
        assert (await site.ask("/api/session"))[2] == {"token": None, "password": True}
        assert (await site.ask("/api/login", {"password": PASSWORD}))[0] == 200
        for _ in range(TRIES):
            assert (await site.ask("/api/login", {"password": PASSWORD + "!"}))[0] == 401
        status, headers, _ = await site.ask("/api/login", {"password": PASSWORD})
        assert status == 429
        assert 0 < int(headers["retry-after"]) <= 31
        assert (await site.ask("/api/login", {"code": "guess"}))[0] == 401
        assert (await site.ask("/api/login", {"code": site.door.code()}))[0] == 200


async def test_metrics_are_for_who_has_the_token(run_dir: Path, tmp_path: Path) -> None:
    token = await asyncio.to_thread(secret.new_token, tmp_path)
    async with a_site(run_dir, tmp_path) as site:
        for said in ("", "Bearer x", f"Basic {token}", "Bearer"):
            assert (await site.ask("/metrics", authorization=said))[0] == 401
        await site.control.stop()
        status, _, text = await site.ask("/metrics", authorization=f"Bearer {token}")
        assert status == 200
        assert "lamppost_up 0" in text.decode()


async def test_health_is_what_the_agent_says(run_dir: Path, tmp_path: Path) -> None:
    async with a_site(run_dir, tmp_path) as site:
        assert (await site.ask("/healthz"))[0::2] == (200, b"ok\n")
        await site.control.stop()
        site.page._asked._at = float("-inf")
        status, _, told = await site.ask("/healthz")
        assert (status, told["remedy"]) == (503, "sudo systemctl start lamppost")


@pytest.mark.parametrize(
    "drip",
    [
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 9,
        b"POST /api/login HTTP/1.1\r\nhost: {host}\r\ncontent-length: 99\r\n\r\n" + b"x" * 9,
        b"",
    ],
    ids=["head", "body", "nothing"],
)  # fmt: skip
async def test_a_request_that_drips_is_cut_off(
    run_dir: Path, tmp_path: Path, drip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READ_S", 0.3)
    async with a_site(run_dir, tmp_path) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(site.host.rpartition(":")[2]))
        loop, heard = asyncio.get_running_loop(), asyncio.ensure_future(reader.read())
        began = loop.time()
        for byte in drip.replace(b"{host}", site.host.encode()):
            if heard.done():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(heard, 5) == b""
        assert loop.time() - began < 3
        await gone(writer)
        assert (await site.ask("/healthz"))[0] == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nhost: {host}\r\nhost: {host}\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\n",
        b"GET /..%2f..%2fetc/passwd HTTP/1.1\r\nhost: {host}\r\n",
        b"GET //app.js HTTP/1.1\r\nhost: {host}\r\n",
        b"GET /%00%ff HTTP/1.1\r\nhost: {host}\r\n",
        b'GET /api/now HTTP/1.1\r\nhost: {host}\r\ncookie: lamppost=\xff\xfe; ;;="\\\r\n',
        b"GET /api/now HTTP/1.1\r\nhost: {host}\r\ncookie: " + b"lamppost=a; " * 900 + b"\r\n",
        b"GET /metrics HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer \xff\xff\r\n",
        b"POST /api/login HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"POST /api/login HTTP/1.1\r\nhost: {host}\r\ncontent-length: -1\r\n",
        b"POST /api/login HTTP/1.1\r\nhost: {host}\r\ncontent-length: 999999999999999999999\r\n",
        b"CONNECT {host} HTTP/1.1\r\nhost: {host}\r\n",
        b"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_no_browser_sends_is_refused_or_harmless(run_dir: Path, tmp_path: Path, raw: bytes) -> None:
    async with a_site(run_dir, tmp_path) as site:
        sent = raw.replace(b"{host}", site.host.encode()) + b"connection: close\r\n\r\n"
        status, _, body = await site.say(sent)
        upgrade = b"upgrade" in raw
        assert status in ({200} if upgrade else {400, 401, 403, 404, 405, 413, 421})
        assert upgrade or len(body) < 200
        assert (await site.ask("/healthz"))[0] == 200


@pytest.mark.parametrize("said", ["\ud800", "\x00", "x" * 5000, 7, None, ["x"], {"a": 1}])
async def test_a_login_with_anything_is_wrong(run_dir: Path, tmp_path: Path, said: Any) -> None:
    await asyncio.to_thread(secret.set_password, tmp_path, PASSWORD)
    async with a_site(run_dir, tmp_path) as site:
        for name in ("password", "code"):
            assert (await site.ask("/api/login", {name: said}))[0] == 401


async def test_an_endless_head_is_refused(run_dir: Path, tmp_path: Path) -> None:
    async with a_site(run_dir, tmp_path) as site:
        status, _, _ = await site.say(b"GET / HTTP/1.1\r\nx: " + b"y" * 2 * server.HEAD_MAX)
        assert status == 400


async def test_connections_are_bounded(run_dir: Path, tmp_path: Path) -> None:
    async with a_site(run_dir, tmp_path) as site:
        port = int(site.host.rpartition(":")[2])
        many = [await asyncio.open_connection("127.0.0.1", port) for _ in range(server.PEER_MAX + 4)]
        cut = [asyncio.ensure_future(reader.read()) for reader, _ in many]
        done, waiting = await asyncio.wait(cut, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 4:
            more, waiting = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            assert more
            done |= more
        assert len(waiting) == server.PEER_MAX
        for _, writer in many:
            await gone(writer)
        await asyncio.gather(*cut, return_exceptions=True)


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("", "en"), ("fr", "fr"), ("fr-CA,fr;q=0.9,en;q=0.8", "fr"), ("en-CA,fr-CA;q=0.9", "en"),
        ("de, fr;q=0.1", "fr"),
        ("fr;q=0, en;q=0.1", "en"), ("*", "en"), ("fr;q=x,en", "en"), ("," * 999 + "fr", "en"),
        ("en;q=0.5, fr;q=0.7", "fr"),
    ],
)  # fmt: skip
def test_the_language_is_the_first_of_ours(accepted: str, wanted: str) -> None:
    assert _language(accepted) == wanted


def test_both_languages_say_everything() -> None:
    text = (Path(server.__file__).parent / "static/words.js").read_text()
    halves = re.split(r"^  fr: \{", text, flags=re.MULTILINE)
    english, french = (set(re.findall(r"(?:^    |, )(\w+): [\"{]", half, re.MULTILINE)) for half in halves)
    assert len(english) > 60
    assert english <= french
    used = set(re.findall(r"\bw\(\"(\w+)\"", (Path(server.__file__).parent / "static/app.js").read_text()))
    used |= set(re.findall(r"data-w=\"(\w+)\"", (Path(server.__file__).parent / "static/index.html").read_text()))
    assert used <= english


def test_the_page_is_small_and_whole() -> None:
    static = Path(server.__file__).parent / "static"
    assert sum(file.stat().st_size for file in static.iterdir()) < 60_000
    for file in static.iterdir():
        outside = re.findall(
            r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", file.read_text().replace("http://www.w3.org/2000/svg", "")
        )
        assert not outside, (file.name, outside)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", file.read_text())
