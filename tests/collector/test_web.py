"""The platform's page: who is let in, what each may have, and what is told, on both databases; HTTP by hand."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from buffer.catalogue import SeriesEntry
from collector.alarms.rules import Rules
from collector.alarms.watch import Watch
from collector.broker import Address
from collector.errors import FileFault, SetupFault, UsageError
from collector.tables import rollups
from collector.web import chart, guard, server, users
from collector.web.app import Page, Settings, _language
from collector.web.door import IDLE_S, LIFE_S, SESSIONS_MAX, TRIES, TRY_S, Door
from collector.web.guard import BODY_MAX, Guard
from collector.web.proxy import Proxy
from collector.web.users import Role, User, Users, with_password
from config import Broker
from tests.collector.commanding import Person, answer, call, data, describe_results, person
from tests.collector.maker import OFFSET_MS, SQLITE, UTC_MS, Bench, Gateway
from tests.mosquitto import Mosquitto

PASSWORD = "a lamp at the corner"  # noqa: S105 - of this test
SECRET = b"a secret of thirty-two bytes or more"
ANYBODYS = {"/", "/healthz", "/api/session", "/api/login"}
HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """scrypt that takes no time, but in the test of what it costs."""
    if "dear" not in request.node.name:
        monkeypatch.setattr(users, "COST", 16)


class Site:
    """A page on a port of its own."""

    def __init__(self, target: Any, folder: Path, proxy: Proxy | None = None, broker: Address | None = None) -> None:
        self.users = Users(folder / "users.json")
        self.users.put("anna", with_password(Role.OPERATOR, PASSWORD))
        self.users.put("vera", with_password(Role.VIEWER, PASSWORD))
        self.users.put("paul", User(Role.VIEWER))
        self.page = Page(Settings(target, folder / "users.json", 60_000, broker, proxy))
        self.app = self.page.app()
        self.listening = server.bound("127.0.0.1", 0)
        self.port = self.listening.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"

    async def say(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes; the whole answer: status, headers, body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(raw)
        async with asyncio.timeout(10):
            told = await reader.read()
        writer.close()
        head, _, body = told.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body

    async def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """One request as a browser of ours makes it; a header with the value "" is left out."""
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        form = "application/cose" if isinstance(body, bytes) else "application/json"
        post = {"content-type": form, "origin": f"http://{self.host}", "content-length": str(len(sent))}
        all_ = {"host": self.host, "connection": "close", **({} if body is None else post)}
        all_ |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in all_.items() if value)
        verb = "GET" if body is None else "POST"
        status, found, told = await self.say(f"{verb} {path} HTTP/1.1\r\n{head}\r\n".encode() + sent)
        if found.get("transfer-encoding") == "chunked":
            told = joined(told)
        return status, found, json.loads(told) if "json" in found.get("content-type", "x-ndjson")[:20] else told

    async def enter(self, name: str = "anna") -> dict[str, str]:
        """The headers of a session."""
        status, headers, told = await self.ask("/api/login", {"name": name, "password": PASSWORD})
        assert status == 200, told
        return {"cookie": headers["set-cookie"].partition(";")[0], "x_lamppost_token": told["token"]}


def joined(chunks: bytes) -> bytes:
    """A body in chunks (RFC 9112, 7.1)."""
    found = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        found, chunks = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return found


async def until(true: Callable[[], Any]) -> None:
    """Return when it is."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def a_site(target: Any, folder: Path, **more: Any) -> AsyncIterator[Site]:
    site = await asyncio.to_thread(Site, target, folder, **more)
    serving = server.server(Guard(site.app, [f"http://{site.host}"]))
    task = asyncio.create_task(serving.serve(sockets=[site.listening]))
    await until(lambda: serving.started)
    try:
        yield site
    finally:
        serving.should_exit = True
        await task
        await asyncio.to_thread(site.page.close)


PLACE = ("pump-7", (46.8, -71.2), (("street", "<b>"),))
LINES = [
    SeriesEntry(1, "pump", "power", "kW", "float64", *PLACE, public=True),
    SeriesEntry(2, "pump", "says", "", "text", *PLACE),
    SeriesEntry(3, "pump", "wild", "", "float64", *PLACE),
]


@pytest.fixture
def filled(open_bench: Callable[..., Bench], gateway: Gateway) -> Bench:
    """A gateway with four batches, of which the third has not arrived: 100 samples each, a second apart; an alarm."""
    bench = open_bench(gateway)
    messages = [gateway.describe(LINES)]
    for batch in range(4):
        times = [1000 * (100 * batch + n) for n in range(100)]
        messages.append(gateway.send([*((1, at, float(at // 1000), 0) for at in times), (2, times[-1], "<script>", 2)]))
    bench.take(*messages[:3], *messages[4:])
    Watch(bench.database, Rules(gap=1000), lambda: UTC_MS).look()
    rollups.renew(bench.database)
    return bench


async def told(bench: Bench, folder: Path, *paths: str, name: str = "vera") -> list[Any]:
    """What the page answers."""
    async with a_site(bench.database.path, folder) as site:
        entered = await site.enter(name)
        answers = [await site.ask(path, **entered) for path in paths]
    assert [status for status, _, _ in answers] == [200] * len(paths), answers
    return [body for _, _, body in answers]


# ---- what is told ----------------------------------------------------------------------------------------------


async def test_the_tables_on_both_databases(filled: Bench, tmp_path: Path) -> None:
    since = f"&from={OFFSET_MS}&to="
    where = "/api/chart?gateway=gw-0017&device=pump&point="
    all_, one, raw, week, texts, alarms, public, csv_, places = await told(
        filled, tmp_path, "/api/gateways", "/api/gateway?gateway=gw-0017", f"{where}power{since}{OFFSET_MS + HOUR_MS}",
        f"{where}power{since}{OFFSET_MS + 30 * 24 * HOUR_MS}", f"{where}says{since}{OFFSET_MS + HOUR_MS}",
        "/api/alarms", "/api/public", "/samples.csv?from=0&to=9000000000000", "/places.geojson",
    )  # fmt: skip
    (row,) = all_["gateways"]
    assert (row["gateway"], row["site"], row["last_at"], row["gaps"], row["forked"]) == (
        "gw-0017",
        "nord",
        UTC_MS,
        1,
        0,
    )
    assert row["newest_ms"] == OFFSET_MS + 399_000
    assert (row["alarms"], row["unknown_alarms"]) == (len(alarms["alarms"]),) * 2
    assert {"gap"} <= {alarm["kind"] for alarm in alarms["alarms"]}
    (device,) = one["devices"]
    power, says, wild = device["points"]
    assert (device["device"], device["latitude"], device["labels"]) == ("pump", 46.8, {"street": "<b>"})
    assert (power["value"], power["unit"], power["public"], power["class"]) == (399.0, "kW", True, 0)
    assert (says["value"], says["quality"], says["public"]) == ("<script>", "bad", False)
    assert wild["utc_ms"] is None
    (gap,) = one["gaps"]
    assert (gap["state"], gap["first"], gap["last"], gap["from_ms"]) == ("pending", 4, 4, OFFSET_MS + 199_000)
    assert (raw["known"], raw["unit"], raw["step_ms"], raw["low"]) == (True, "kW", 0, [])
    assert raw["mean"] == [*map(float, range(200)), None, *map(float, range(300, 400))]
    assert [(g["state"], g["first"]) for g in raw["gaps"]] == [("pending", 4)]
    assert (week["step_ms"], week["low"], week["high"]) == (HOUR_MS, [0.0], [399.0])
    assert week["mean"] == [pytest.approx((sum(range(200)) + sum(range(300, 400))) / 300)]
    assert (texts["mean"][0], texts["newest"][0]["value"], texts["newest"][0]["class"]) == (None, "<script>", 2)
    assert [p["point"] for p in public["points"]] == ["power"]
    assert {r["point"] for r in csv.DictReader(io.StringIO(csv_.decode()))} == {"power"}
    assert places["features"][0]["geometry"]["coordinates"] == [-71.2, 46.8]


@SQLITE
def test_many_samples_are_summed_and_silence_breaks_the_line(
    open_bench: Callable[..., Bench], gateway: Gateway
) -> None:
    bench = open_bench(gateway)
    times = [*range(0, 2_000_000, 1000), *range(3_000_000, 4_000_000, 1000)]
    bad = [(1, 1500, 1e9, 2), (3, 0, float("nan"), 0), (3, 1000, float("inf"), 0), (3, 2000, 7.0, 0)]
    bench.take(gateway.describe(LINES), gateway.send([(1, at, at % 7000 / 1000, 0) for at in times]), gateway.send(bad))
    found = chart.chart(bench.database, "gw-0017", ("pump", "power"), OFFSET_MS, OFFSET_MS + 4_000_000)
    assert found["step_ms"] == -(-4_000_000 // chart.PLACES)
    known = [value for value in found["mean"] if value is not None]
    assert len(found["mean"]) == len(known) + 1, "the silence breaks the line once"
    assert 300 < len(known) <= chart.PLACES
    assert min(v for v in found["low"] if v is not None) == 0
    assert max(v for v in found["high"] if v is not None) == 6, "bad samples are no part of it"
    wild = chart.chart(bench.database, "gw-0017", ("pump", "wild"), OFFSET_MS, OFFSET_MS + 10_000)
    assert wild["mean"] == [None, None, 7.0]
    assert json.dumps(wild, allow_nan=False)
    nothing = chart.chart(bench.database, "gw-0017", ("pump", "other"), OFFSET_MS, OFFSET_MS + 10_000)
    assert (nothing["known"], nothing["utc_ms"]) == (False, [])


# ---- who may have it -------------------------------------------------------------------------------------------


@SQLITE
async def test_nothing_is_told_without_a_session_and_no_act_without_its_token(bench: Bench, tmp_path: Path) -> None:
    async with a_site(bench.database.path, tmp_path) as site:
        entered, viewer = await site.enter(), await site.enter("vera")
        for route in site.app.routes:
            assert isinstance(route, Route)
            post = "POST" in (route.methods or ())
            status, headers, _ = await site.ask(route.path, {} if post else None)
            anybodys = route.path in ANYBODYS - {"/api/login"} or route.path.endswith((".js", ".css", ".svg", ".txt"))
            assert (status == 401) is not anybodys, route.path
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"
            if post and route.path != "/api/login":
                status, _, _ = await site.ask(route.path, {}, cookie=entered["cookie"])
                assert status == 403, route.path
            if post and route.path not in ("/api/login", "/api/logout"):
                status, _, _ = await site.ask(route.path, {}, **viewer)
                assert status == 403, route.path
        assert (await site.ask("/samples.csv?from=0&to=1&all=1", **viewer))[0] == 403
        assert (await site.ask("/samples.csv?from=0&to=1&all=1", **entered))[0] == 200
        assert (await site.ask("/api/logout", {}, **entered))[0] == 200
        assert (await site.ask("/api/gateways", **entered))[0] == 401


@SQLITE
async def test_requests_of_others_are_refused(bench: Bench, tmp_path: Path) -> None:
    async with a_site(bench.database.path, tmp_path) as site:
        login = {"name": "anna", "password": PASSWORD}
        assert (await site.ask("/", host="evil.example"))[0] == 421
        assert (await site.ask("/api/login", login, origin="https://evil.example"))[0] == 403
        assert (await site.ask("/api/login", login, origin=""))[0] == 403
        assert (await site.ask("/api/login", login, sec_fetch_site="cross-site"))[0] == 403
        assert (await site.ask("/api/login", login, content_type="text/plain"))[0] == 415
        assert (await site.ask("/api/login", login, content_length=str(BODY_MAX + 1)))[0] == 413
        assert (await site.say(f"PUT / HTTP/1.1\r\nhost: {site.host}\r\nconnection: close\r\n\r\n".encode()))[0] == 405
        chunk = b"%x\r\n%b\r\n" % (BODY_MAX, b" " * BODY_MAX)
        head = f"POST /api/login HTTP/1.1\r\nhost: {site.host}\r\norigin: http://{site.host}\r\nconnection: close\r\n"
        chunked = head.encode() + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" + 2 * chunk
        assert (await site.say(chunked + b"0\r\n\r\n"))[0] == 413
        for body in (b"[" * 5000, b"[]", b"{"):
            assert (await site.ask("/api/login", body, content_type="application/json"))[0] == 400
        for query in ("", "&from=1&to=1", "&from=-1&to=5", "&from=1&to=99999999999999999", "&from=1&to=5&gateway="):
            entered = await site.enter()
            status, _, _ = await site.ask(f"/api/chart?gateway=g&device=d&point={'p' * 300}{query}", **entered)
            assert status == 400, query
        assert (await site.ask("/api/gateway?gateway=nobody", **entered))[0] == 404
        assert (await site.ask("/api/acknowledge", {"id": True}, **entered))[0] == 400
        assert (await site.ask("/api/acknowledge", {"id": 7}, **entered))[0] == 409
        assert (await site.ask("/api/relay", b"nonsense", **entered))[0] == 409
        assert (await site.ask("/api/check", b"nonsense", **entered))[0] == 409


@SQLITE
async def test_a_head_and_a_body_that_drip_are_cut_off(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.05)
    monkeypatch.setattr(guard, "BODY_S", 0.05)
    async with a_site(bench.database.path, tmp_path) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET / HTTP/1.1\r\n")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        head = f"POST /api/login HTTP/1.1\r\nhost: {site.host}\r\norigin: http://{site.host}\r\nconnection: close\r\n"
        status, _, _ = await site.say(head.encode() + b"content-type: application/json\r\ncontent-length: 9\r\n\r\n{")
        assert status == 408


@SQLITE
async def test_a_download_that_nobody_takes_ends(
    filled: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "TAKE_S", 0.05)
    began: list[int] = []

    async def stuck(told: Any) -> None:
        if told["type"] == "http.response.body":
            began.append(site.page._downloads)
            await asyncio.Event().wait()

    async def receive() -> Any:
        if asked.is_set():
            await asyncio.Event().wait()
        asked.set()
        return {"type": "http.request", "body": b"", "more_body": False}

    async with a_site(filled.database.path, tmp_path) as site:
        asked, entered = asyncio.Event(), await site.enter()
        headers = [(b"host", site.host.encode()), (b"cookie", entered["cookie"].encode())]
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": "/samples.csv",
            "query_string": b"from=0&to=9000000000000",
        }
        scope |= {"headers": headers, "client": ("127.0.0.1", 1), "asgi": {"spec_version": "2.3"}}  # as uvicorn has it
        async with asyncio.timeout(5):
            await Guard(site.app, [f"http://{site.host}"])(scope, receive, stuck)
        await until(lambda: not site.page._downloads)
    assert began == [1]
    assert not caplog.records


@SQLITE
async def test_guesses_are_slowed_down_and_a_name_tells_nothing(bench: Bench, tmp_path: Path) -> None:
    async with a_site(bench.database.path, tmp_path) as site:
        for name in ("anna", "nobody", "paul"):
            found = [await site.ask("/api/login", {"name": name, "password": "wrong"}) for _ in range(TRIES + 1)]
            assert [status for status, _, _ in found] == [401] * TRIES + [429], name
            assert 0 < int(found[-1][1]["retry-after"]) <= TRY_S
        assert (await site.ask("/api/login", {"name": "anna", "password": PASSWORD}))[0] == 429
        await site.enter("vera")


@SQLITE
async def test_a_session_ends_with_its_users_rights(bench: Bench, tmp_path: Path) -> None:
    async with a_site(bench.database.path, tmp_path) as site:
        entered = await site.enter()
        assert (await site.ask("/api/gateways", **entered))[0] == 200
        await asyncio.to_thread(site.users.put, "anna", with_password(Role.VIEWER, PASSWORD))
        assert (await site.ask("/api/gateways", **entered))[0] == 401
        entered = await site.enter("vera")
        await asyncio.to_thread(site.users.put, "vera", None)
        assert (await site.ask("/api/gateways", **entered))[0] == 401


@SQLITE
async def test_a_proxy_vouches_only_with_its_secret_and_for_known_names(bench: Bench, tmp_path: Path) -> None:
    proxy, far = (Proxy("x-forwarded-user", SECRET, ip_address(at)) for at in ("127.0.0.1", "127.0.0.2"))
    async with a_site(bench.database.path, tmp_path, proxy=proxy) as site:
        named = {"x_forwarded_user": "paul", "x_lamppost_proxy": SECRET.decode()}
        assert (await site.ask("/api/session", **named))[2]["vouched"] is True
        assert (await site.ask("/api/login", {}, **{**named, "x_lamppost_proxy": "x" * 40}))[0] == 401
        assert (await site.ask("/api/login", {}, **{**named, "x_lamppost_proxy": ""}))[0] == 401
        assert (await site.ask("/api/login", {}, **{**named, "x_forwarded_user": "nobody"}))[0] == 403
        status, headers, told_ = await site.ask("/api/login", {}, **named)
        assert (status, told_["role"]) == (200, "viewer")
        cookie = headers["set-cookie"].partition(";")[0]
        assert (await site.ask("/api/gateways", cookie=cookie, **named))[0] == 200
        other = {**named, "x_forwarded_user": "vera"}
        assert (await site.ask("/api/gateways", cookie=cookie, **other))[0] == 401, "somebody else's now"
    async with a_site(bench.database.path, tmp_path, proxy=far) as site:
        assert (await site.ask("/api/login", {}, **named))[0] == 401, "from another address"


def test_a_proxys_secret_is_long(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET + b"\n")
    assert Proxy.load("X-Forwarded-User", secret, "127.0.0.1") == Proxy(
        "x-forwarded-user", SECRET, ip_address("127.0.0.1")
    )
    with pytest.raises(SetupFault):
        Proxy.load("X-Forwarded-User", secret, "localhost")
    secret.write_bytes(b"short")
    with pytest.raises(SetupFault):
        Proxy.load("X-Forwarded-User", secret, "127.0.0.1")


# ---- what operators do -----------------------------------------------------------------------------------------


async def test_an_operator_acknowledges_and_proves(filled: Bench, tmp_path: Path) -> None:
    async with a_site(filled.database.path, tmp_path) as site:
        entered = await site.enter()
        found = next(a for a in (await site.ask("/api/alarms", **entered))[2]["alarms"] if a["kind"] == "gap")
        status, _, body = await site.ask("/api/acknowledge", {"id": found["id"], "note": "soon"}, **entered)
        assert (status, body["acknowledged_by"]) == (200, "anna")
        assert (await site.ask("/api/acknowledge", {"id": found["id"]}, **entered))[0] == 409
        (known,) = [a for a in (await site.ask("/api/alarms", **entered))[2]["alarms"] if a["id"] == found["id"]]
        assert (known["acknowledged_by"], known["note"], known["cleared_at"]) == ("anna", "soon", None)
        assert (await site.ask("/api/prove", {"gateway": "nobody"}, **entered))[0] == 404
        assert (await site.ask("/api/prove", {"gateway": "gw-0017"}, **entered))[0] == 200
        await until(lambda: site.page._proofs.last)
        proofs = (await site.ask("/api/gateways", **entered))[2]["proofs"]
        assert proofs["gw-0017"]["state"] == "incomplete"
        (stream,) = (await site.ask("/api/gateway?gateway=gw-0017", **entered))[2]["proof"]["streams"]
        assert (stream["state"], stream["missing"], stream["batches"]) == ("incomplete", [[4, 4]], 4)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Person]:
    """An authority and an operator."""
    folder = tmp_path_factory.mktemp("people")
    return {name: person(folder, name, role) for name, role in (("authority", "authority"), ("anna", "command"))}


@pytest.fixture
def signed(
    bench: Bench, gateway: Gateway, mosquitto: Mosquitto, people: dict[str, Person], tmp_path: Path
) -> tuple[bytes, int]:
    """A command for a gateway that was sent the keyring: its message, and its number."""
    bench.take(describe_results(gateway))
    ring, source, made = tmp_path / "ring.cose", tmp_path / "ring.toml", tmp_path / "dim.cose"
    call("keyring", "new", source)
    scope = ("--name", "anna", "--scope", "nord/gw-0017/lamp7", "--until", "never")
    call("keyring", "add", source, people["anna"].public, *scope)
    call("keyring", "sign", source, "--key", people["authority"].private, "--number", 1, "-o", ring, "--yes")
    places = ("--database", bench.database.path, "--broker", mosquitto.url)
    call("keyring", "relay", ring, "--authority", people["authority"].public, *places, "--yes")
    wish = ("--gateway", "gw-0017", "--write", "lamp7/level=40", "--why", "a test", "--who", "Anna")
    (row,) = data("command", "sign", "--key", people["anna"].private, *wish, *places[:2], "-o", made, "--yes")
    return made.read_bytes(), row["number"]


@SQLITE
async def test_a_command_signed_elsewhere_is_relayed(
    bench: Bench, gateway: Gateway, mosquitto: Mosquitto, signed: tuple[bytes, int], tmp_path: Path
) -> None:
    message, number = signed
    broken = message[:-1] + bytes([message[-1] ^ 1])
    address = Address(Broker.parse(mosquitto.url), "lamppost")
    async with a_site(bench.database.path, tmp_path, broker=address) as site:
        entered = await site.enter()
        assert (await site.ask("/api/check", broken, **entered))[0] == 409
        assert (await site.ask("/api/relay", broken, **entered))[0] == 409
        status, _, checked = await site.ask("/api/check", message, **entered)
        assert (status, checked["number"], checked["name"]) == (200, str(number), "anna")
        assert checked["sentence"] == "gw-0017: write lamp7/level = 40; Anna: a test"
        assert (await site.ask("/api/commands", **entered))[2]["commands"] == [], "looked at, not done"
        assert (await site.ask("/api/relay", message, **entered))[0] == 200
        (waits,) = (await site.ask("/api/commands", **entered))[2]["commands"]
        assert (waits["number"], waits["result"]) == (str(number), None)
        assert waits["relayed_at"] is not None
        late = waits["issued_ms"] - OFFSET_MS
        await asyncio.to_thread(bench.take, answer(gateway, number, at_ms=late))
        (done,) = (await site.ask("/api/commands", **entered))[2]["commands"]
        assert (done["result"]["status"], done["result"]["writes"][0]["read_back"]) == ("verified", 40)
        assert "message" not in done


# ---- the parts -------------------------------------------------------------------------------------------------


def test_sessions_end_and_do_not_pile_up() -> None:
    now = 0.0
    door = Door(lambda: now)
    user = User(Role.VIEWER)
    cookie, session = door.enter("vera", user)
    assert door.find(cookie) is session
    assert door.find("other") is None
    now = IDLE_S
    assert door.find(cookie) is None
    cookie, _ = door.enter("vera", user)
    while now < LIFE_S + IDLE_S - 1:
        assert door.find(cookie) is not None
        now += IDLE_S - 1
    assert door.find(cookie) is None
    first, _ = door.enter("vera", user)
    for _ in range(SESSIONS_MAX):
        last, _ = door.enter("anna", user)
    assert door.find(first) is None
    assert door.find(last) is not None


def test_tries_come_back_one_by_one() -> None:
    now = 0.0
    door = Door(lambda: now)
    assert [door.knock("a", "anna") for _ in range(TRIES)] == [0.0] * TRIES
    assert door.knock("a", "anna") == pytest.approx(TRY_S)
    assert door.knock("b", "anna") == 0, "another address is not kept out"
    now = TRY_S
    assert door.knock("a", "anna") == 0
    assert door.knock("a", "anna") > 0
    door.right("a", "anna")
    assert door.knock("a", "anna") == 0


def test_users_are_kept_and_a_password_is_dear(tmp_path: Path) -> None:
    known = Users(tmp_path / "users.json")
    assert known.all() == {}
    assert known.fits("anna", PASSWORD) is False
    known.put("anna", with_password(Role.OPERATOR, PASSWORD))
    other = Users(tmp_path / "users.json")
    assert (other.fits("anna", PASSWORD), other.fits("anna", PASSWORD + "."), other.fits("anna", "")) == (
        True,
        False,
        False,
    )
    assert ((tmp_path / "users.json").stat().st_mode & 0o777, users.COST * users.BLOCK * 128) == (0o640, 32 << 20)
    assert PASSWORD not in (tmp_path / "users.json").read_text()
    for name in ("", "a b", "../x", "x" * 65, "<script>"):
        with pytest.raises(UsageError):
            known.put(name, User(Role.VIEWER))
    for short in ("", "eleven char", "x" * 129):
        with pytest.raises(UsageError):
            with_password(Role.VIEWER, short)
    for text in ("[", "[]", '{"a": 1}', '{"a": {"role": "king", "salt": "", "hash": ""}}', '{"a": {"role": "viewer"}}'):
        (tmp_path / "users.json").write_text(text)
        with pytest.raises(FileFault):
            other.all()


def test_users_by_the_command_line(tmp_path: Path) -> None:
    at = ("--users", tmp_path / "users.json")
    call("web", "user", "add", "anna", "--role", "operator", *at, text=f"{PASSWORD}\n")
    call("web", "user", "add", "paul", "--role", "viewer", "--vouched", *at)
    assert data("web", "user", "list", *at) == [
        {"name": "anna", "role": "operator", "vouched": False}, {"name": "paul", "role": "viewer", "vouched": True},
    ]  # fmt: skip
    call("web", "user", "remove", "anna", *at)
    call("web", "user", "remove", "anna", *at, code=64)
    assert [row["name"] for row in data("web", "user", "list", *at)] == ["paul"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--listen", "0.0.0.0:8438"), 78),  # no TLS
        (("--listen", "127.0.0.1:0", "--tls-cert", "x.pem"), 78),
        (("--listen", "localhost:1"), 64),
        (("--listen", "127.0.0.1:99999"), 64),
        (("--origin", "http://a.example"), 64),
        (("--silent", "0s"), 64),
    ],
)
def test_a_page_that_is_not_safe_is_not_served(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    call("web", "run", "--database", tmp_path / "none.db", *words, code=code)


@pytest.mark.parametrize(
    ("accepted", "language"), [("fr-CA,fr;q=0.9,en;q=0.8", "fr"), ("de, en-GB;q=0.7", "en"), ("", "en"), ("xx", "en")]
)
def test_language(accepted: str, language: str) -> None:
    assert _language(accepted) == language
