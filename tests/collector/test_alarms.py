"""What is an alarm, how one is raised, known and cleared, and that a webhook hears of it, whatever it does."""

import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from collector.alarms import webhook as webhooks
from collector.alarms.book import Book
from collector.alarms.rules import Limit, Rules, Silence, Webhook, load
from collector.alarms.watch import Watch
from collector.alarms.webhook import Hook, Undelivered
from collector.errors import RulesFault, UsageError
from collector.identity import registry
from ext import NO_ANSWER
from tests.authority import Authority
from tests.collector.maker import OFFSET_MS, SQLITE, Bench, Gateway
from tests.collector.test_cli import call, data

MINUTE = 60_000


class Clock:
    """A platform's clock that stands until it is moved."""

    def __init__(self, bench: Bench, at: int) -> None:
        self._bench = bench
        self.move(at)

    def move(self, boot_ms: int) -> None:
        """To a moment of the gateway's boot clock."""
        self.now = self._bench.now_ms = OFFSET_MS + boot_ms

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(bench: Bench) -> Clock:
    bench.database.connection.execute("UPDATE gateways SET added_at = ?", (OFFSET_MS,))
    return Clock(bench, 1000)


def look(bench: Bench, clock: Clock, rules: Rules | None = None) -> list[tuple[str, str, str]]:
    """Event, kind and subject of each change."""
    return [(c.event, c.key[1], c.key[2]) for c in Watch(bench.database, rules or Rules(), clock).look()]


def test_a_silent_gateway(bench: Bench, gateway: Gateway, clock: Clock) -> None:
    assert look(bench, clock) == []
    clock.move(16 * MINUTE)
    assert look(bench, clock) == [("raised", "silent-gateway", "")]
    assert look(bench, clock) == [], "an alarm is raised once"
    bench.take(gateway.describe(), gateway.send([(1, 16 * MINUTE, 1.5, 0)]))
    assert look(bench, clock) == [("cleared", "silent-gateway", "")]
    clock.move(40 * MINUTE)
    assert look(bench, clock) == [("raised", "silent-gateway", "")]
    registry.revoke(bench.database, "gw-0017", 0)
    assert look(bench, clock) == [("cleared", "silent-gateway", "")]
    assert len(list(Book(bench.database, tell=False).listed(past=True))) == 2


def test_a_silent_device_unless_its_gateway_is(bench: Bench, gateway: Gateway, clock: Clock) -> None:
    bench.take(gateway.describe(), gateway.send([(1, 1000, 1.5, 0)]))
    clock.move(61 * MINUTE)
    bench.take(gateway.send([(1, 61 * MINUTE, None, NO_ANSWER)]))
    rules = Rules(silence=(Silence(device="other", after=0),))
    assert look(bench, clock, rules) == [("raised", "silent-device", "meter1")]
    clock.move(80 * MINUTE)
    assert look(bench, clock, rules) == [("raised", "silent-gateway", "")], "of the device nobody knows any more"
    bench.take(gateway.send([(1, 80 * MINUTE, 1.5, 0)]))
    assert sorted(look(bench, clock, rules)) == [
        ("cleared", "silent-device", "meter1"),
        ("cleared", "silent-gateway", ""),
    ]
    clock.move(200 * MINUTE)
    bench.take(gateway.send([(2, 199 * MINUTE, None, NO_ANSWER)]))
    assert look(bench, clock, Rules(silence=(Silence(device="gw-0017/meter*", after=0),))) == []
    taken_out = [entry for entry in gateway.lines() if entry.device != "meter1"]
    taken_out += [type(gateway.lines()[0])(9, "meter2", "p", "V", "float64")]
    bench.take(gateway.describe(taken_out), gateway.send([(9, 200 * MINUTE, 1.0, 0)]))
    assert look(bench, clock) == [], "a device that was taken out is not silent"


def test_limits_with_a_margin(bench: Bench, gateway: Gateway, clock: Clock) -> None:
    rules = Rules(limit=(Limit(point="meter1/p1", min=207, max=253, margin=3),))
    bench.take(gateway.describe())
    seen = []
    for n, (value, quality) in enumerate(
        [(230.0, 0), (254.0, 0), (251.0, 0), (None, NO_ANSWER), (249.0, 0), (206.0, 0), (209.0, 0), (210.0, 0)], 1
    ):
        clock.move(n * 1000)
        bench.take(gateway.send([(1, n * 1000, value, quality), (2, n * 1000, 999.0, 0)]))
        seen.append([event for event, _, _ in look(bench, clock, rules)])
    assert seen == [[], ["raised"], [], [], ["cleared"], ["raised"], [], ["cleared"]]


def test_gaps_forks_and_broken_joints(bench: Bench, gateway: Gateway, clock: Clock) -> None:
    messages = gateway.hello(4)
    bench.take(*messages[:2], *messages[3:])
    assert look(bench, clock) == [], "it may still come"
    clock.move(20 * MINUTE)
    assert look(bench, clock, Rules(silent_gateway=0)) == [("raised", "gap", gateway.stream.hex())]
    bench.take(messages[2])
    assert look(bench, clock) == [("cleared", "gap", gateway.stream.hex())]
    clone = Gateway(key=gateway.key)
    clone.describe()
    bench.take(clone.send([(1, 77, 77.5, 0)]))
    assert look(bench, clock) == [("raised", "fork", gateway.stream.hex())]
    registry.confirm(bench.database, "gw-0017")
    gateway.previous = bytes(31) + b"\x01"
    bench.take(gateway.send([(1, 9000, 1.5, 0)]))
    assert sorted(look(bench, clock)) == [
        ("cleared", "fork", gateway.stream.hex()),
        ("raised", "broken", f"{gateway.stream.hex()}:6"),
    ]


@SQLITE
def test_the_verbs(bench: Bench, clock: Clock, tmp_path: Path) -> None:
    clock.move(20 * MINUTE)
    path = bench.database.path
    (change,) = data("alarms", "check", "--database", path)
    assert (change["event"], change["kind"]) == ("raised", "silent-gateway")
    number = change["id"]
    (row,) = data("alarms", "ack", number, "--who", "ana", "--note", "on my way", "--database", path)
    assert (row["acknowledged_by"], row["note"]) == ("ana", "on my way")
    assert call("alarms", "ack", number, "--who", "bo", "--database", path)[0] == UsageError.exit_code
    assert "known to ana" in call("alarms", "list", "--database", path)[1]
    assert data("alarms", "list", "--database", path)[0]["cleared_at"] is None
    bench.database.connection.execute("UPDATE gateways SET revoked_at = 1")
    assert data("alarms", "check", "--database", path)[0]["event"] == "cleared"
    assert data("alarms", "list", "--database", path) == []
    assert data("alarms", "list", "--past", "--database", path)[0]["note"] == "on my way"
    file = tmp_path / "rules.toml"
    file.write_text('[webhook]\nurl = "http://example.org"\nsecret = "s"\n')
    code, _, error = call("alarms", "check", "--rules", file, "--database", path)
    assert (code, "https://" in error) == (78, True)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "[[limit]]\npoint = 'a/b'",
        "[[limit]]\npoint = 'a/b'\nmin = 5\nmax = 6\nmargin = 1",
        "gap = 'soon'",
        "[webhook]\nurl = 'https://me:pw@host/'\nsecret = 's'",
        "[webhook]\nurl = 'file:///etc/passwd'\nsecret = 's'",
        "[",
    ],
)
def test_rules_that_are_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(text)
    with pytest.raises(RulesFault):
        load(file)


class Receiver:
    """An HTTPS server that answers as it is told, and remembers."""

    def __init__(self, folder: Path) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        authority = Authority(folder, "webhook-ca")
        self.ca = authority.file
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((dict(self.headers), body))
                self.send_response(outer.answers.pop(0) if outer.answers else 204)
                self.send_header("Location", "https://127.0.0.1:1/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("webhook"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_port}/alarms?x=1"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    made = Receiver(tmp_path)
    yield made
    made.close()


SECRET = b"0123456789abcdef"


@pytest.fixture
def hooked(receiver: Receiver, tmp_path: Path) -> Callable[..., Rules]:
    """Rules with a webhook at the receiver."""
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET + b"\n")
    secret.chmod(0o600)

    def made(**changed: object) -> Rules:
        fields = {"url": receiver.url, "secret": secret, "ca": receiver.ca, "private": True, **changed}
        return Rules(webhook=Webhook.model_validate(fields))

    return made


def test_a_webhook_is_told_in_order_signed_and_again_until_it_takes_it(
    bench: Bench, gateway: Gateway, clock: Clock, receiver: Receiver, hooked: Callable[..., Rules]
) -> None:
    receiver.answers = [500, 302]
    clock.move(20 * MINUTE)
    assert look(bench, clock, hooked()) == [("raised", "silent-gateway", "")]
    Book(bench.database, tell=False).acknowledge(1, "ana", None, clock())
    assert look(bench, clock, hooked()) == []
    assert len(receiver.got) == 1, "not again at once"
    for _ in range(2):
        clock.now += 15_000
        look(bench, clock, hooked())
    bench.take(gateway.describe())
    assert look(bench, clock, hooked()) == [("cleared", "silent-gateway", "")]
    told = [json.loads(body) for _, body in receiver.got]
    assert [(one["event"], one["alarm"]["gateway"]) for one in told] == [
        ("raised", "gw-0017"), ("raised", "gw-0017"), ("raised", "gw-0017"), ("acknowledged", "gw-0017"),
        ("cleared", "gw-0017"),
    ]  # fmt: skip
    assert len({one["event_id"] for one in told[:3]}) == 1, "a receiver can tell a repetition"
    for headers, body in receiver.got:
        at, _, given = headers["Lamppost-Signature"].removeprefix("t=").partition(",v1=")
        assert given == hmac.new(SECRET, at.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert bench.rows("SELECT count(*) FROM alarm_events WHERE told_at IS NULL") == [(0,)]


def test_a_webhook_that_never_answers_well_is_given_up(
    bench: Bench, clock: Clock, hooked: Callable[..., Rules]
) -> None:
    clock.move(20 * MINUTE)
    rules = hooked(url="https://127.0.0.1:1/")
    waits = []
    for _ in range(webhooks.MAX_TRIES + 2):
        before = clock.now
        look(bench, clock, rules)
        (due,) = bench.rows("SELECT next_at FROM alarm_events")[0]
        waits.append(due - before)
        clock.now = due + 1
    assert bench.rows("SELECT tries, given_up, told_at FROM alarm_events") == [(webhooks.MAX_TRIES, 1, None)]
    assert 4000 <= waits[0] <= 6000
    assert max(waits) <= webhooks.MAX_RETRY_MS * 1.2


def test_a_webhook_reaches_nothing_private_and_nobody_unproved(
    bench: Bench, receiver: Receiver, hooked: Callable[..., Rules], tmp_path: Path
) -> None:
    for rules, why in (
        (hooked(private=False), "not public"),
        (hooked(ca=None), "CERTIFICATE_VERIFY_FAILED"),
        (hooked(url="https://169.254.169.254/latest", private=False), "not public"),
        (hooked(url="https://[::1]:9/", private=False), "not public"),
    ):
        assert rules.webhook is not None
        with pytest.raises(Undelivered, match=why):
            Hook(bench.database, rules.webhook, lambda: 0)._send(1, b"{}")
    assert receiver.got == []


def test_a_secret_that_is_none(bench: Bench, hooked: Callable[..., Rules], tmp_path: Path) -> None:
    open_, short = tmp_path / "open", tmp_path / "short"
    open_.write_bytes(SECRET)
    open_.chmod(0o644)
    short.write_bytes(b"password")
    short.chmod(0o600)
    for file in (open_, short):
        rules = hooked(secret=file)
        assert rules.webhook is not None
        with pytest.raises(RulesFault):
            Hook(bench.database, rules.webhook, lambda: 0)


@SQLITE
def test_a_server_that_says_nothing_is_left(
    bench: Bench, hooked: Callable[..., Rules], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TOTAL_S", 0.2)
    monkeypatch.setattr(webhooks, "CONNECT_S", 30.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        rules = hooked(url=f"https://127.0.0.1:{server.getsockname()[1]}/")
        assert rules.webhook is not None
        with pytest.raises(Undelivered):
            Hook(bench.database, rules.webhook, lambda: 0)._send(1, b"{}")
