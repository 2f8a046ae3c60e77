"""Commands from the operator's key to the broker and back: real files, a real broker, and bytes read independently."""

import json
import queue
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import cbor2
import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from buffer import cose
from buffer.command import Command, Write
from buffer.cose import Kind
from buffer.errors import BufferFault
from buffer.keys import SigningKey
from collector.errors import CollectorError
from collector.identity import registry
from collector.orders.commands import check, parse_write
from collector.tables.database import Database
from tests.buffer.test_cose import plain_sig_structure
from tests.collector.commanding import Person, answer, call, data, describe_results, person
from tests.collector.maker import SQLITE, UTC_MS, Bench, Gateway, age
from tests.mosquitto import Mosquitto

STREAM = bytes([1]) * 16


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Person]:
    """An authority, two operators and a collector."""
    folder = tmp_path_factory.mktemp("people")
    roles = {"authority": "authority", "anna": "command", "otto": "command", "collector": "acknowledge"}
    return {name: person(folder, name, role) for name, role in roles.items()}


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory, people: dict[str, Person]) -> Path:
    """Keyring 3: Anna may command the lamps of gw-0017, Otto's time is over."""
    folder = tmp_path_factory.mktemp("keyring")
    source, target = folder / "keyring.toml", folder / "keyring.cose"
    call("keyring", "new", source)
    for name, scope, until in (
        ("anna", "nord/gw-0017/lamp7", "never"),
        ("otto", "*", "2020-01-01"),
        ("collector", "*", "never"),
    ):
        call("keyring", "add", source, people[name].public, "--name", name, "--scope", scope, "--until", until)
    call("keyring", "sign", source, "--key", people["authority"].private, "--number", 3, "-o", target, "--yes")
    return target


class Listener:
    """Hears what arrives on the topics of commands."""

    def __init__(self, port: int) -> None:
        self.heard: queue.SimpleQueue[paho.MQTTMessage] = queue.SimpleQueue()
        ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _data, message: self.heard.put(message)
        self._client.on_subscribe = lambda *_: ready.put(True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe("lamppost/v1/+/+/command", qos=1)
        ready.get(timeout=10)

    def next(self) -> paho.MQTTMessage:
        """The next message."""
        return self.heard.get(timeout=10)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listener(mosquitto: Mosquitto) -> Iterator[Listener]:
    """Somebody who listens as gateways do."""
    made = Listener(mosquitto.port)
    yield made
    made.close()


@pytest.fixture
def desk(
    bench: Bench, gateway: Gateway, mosquitto: Mosquitto, keyring: Path, people: dict[str, Person]
) -> Callable[..., list[dict[str, Any]]]:
    """`desk(verb, ...)`: a verb of `command` with broker and database, for a gateway that was sent the keyring."""
    bench.take(describe_results(gateway))
    places = ("--database", bench.database.path, "--broker", mosquitto.url)
    call("keyring", "relay", keyring, "--authority", people["authority"].public, *places, "--yes")

    def verb(name: str, *arguments: object, code: int = 0) -> list[dict[str, Any]]:
        out, error = call("command", name, *arguments, *places, "--yes", "--json", code=code)
        return [json.loads(line) for line in out.splitlines()] or [{"error": error}]

    return verb


def wish(people: dict[str, Person], who: str = "anna", write: str = "lamp7/level=40") -> tuple[object, ...]:
    key = people[who].private
    return ("--key", key, "--gateway", "gw-0017", "--write", write, "--why", "a test", "--who", who.title())


def test_signed_anywhere_and_readable_by_others(tmp_path: Path, people: dict[str, Person]) -> None:
    """The envelope by RFC 9052 and the payload by docs/format.md, with cbor2 and cryptography alone."""
    file = tmp_path / "dim.cose"
    more = ("--write", "lamp7/on=true", "--write", 'lamp7/name="40"', "--expires", "90s", "--dry-run", "--yes")
    (row,) = data("command", "sign", *wish(people), "--stream", STREAM.hex(), *more, "-o", file)
    tag = cbor2.loads(file.read_bytes())
    protected, unprotected, payload, signature = tag.value
    assert (tag.tag, unprotected, cbor2.loads(protected)) == (18, {}, {1: -8, 4: people["anna"].key.kid})
    signed = plain_sig_structure(protected, b"lamppost/1/command", payload)
    Ed25519PublicKey.from_public_bytes(people["anna"].key.raw).verify(signature, signed)
    items = cbor2.loads(payload)
    assert (items[1], items[2], items[3], items[4]) == (1, "gw-0017", STREAM, row["number"])
    assert items[6] - items[5] == 90_000
    assert items[7] == [["lamp7/level", Decimal(40)], ["lamp7/on", True], ["lamp7/name", "40"]]
    assert (items[8], items[9], items[10]) == ("Anna", "a test", True)


def test_it_is_shown_and_asked_before_it_is_signed(tmp_path: Path, people: dict[str, Person]) -> None:
    file = tmp_path / "dim.cose"
    place = ("--stream", STREAM.hex(), "-o", file)
    long = [word for n in range(30) for word in ("--write", f"lamp7/level-{n}=1")]
    for answered in ("n\n", ""):
        _, said = call("command", "sign", *wish(people), *long, *place, text=answered, code=77)
        assert "gw-0017: write lamp7/level = 40, lamp7/level-0 = 1" in said
        assert "lamp7/level-29 = 1; Anna: a test; until 20" in said
    assert not file.exists()
    call("command", "sign", *wish(people), *place, text="y\n")
    assert file.exists()


def test_nothing_an_operator_wrote_acts_on_the_terminal(tmp_path: Path, people: dict[str, Person]) -> None:
    _, said = call(
        "command", "sign", *wish(people), "--why", "\x1b[2Jquiet\u202e", "--stream", STREAM.hex(), "-o", tmp_path / "x",
        text="y\n",
    )  # fmt: skip
    assert all(character.isprintable() or character == "\n" for character in said)
    assert "\\x1b[2Jquiet\\u202e" in said


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        (("--expires", "2h"), 65, "expires is not between"),
        (("--expires", "soon"), 64, "duration"),
        (("--write", "lamp7/level"), 65, "DEVICE/POINT=VALUE"),
        (("--write", "level=1"), 65, "point of a write"),
        (("--write", "lamp7/level=0.1234567890123456789"), 65, "18 digits"),
        (("--stream", "0102"), 65, "stream"),
        (("--stream", "no"), 64, "--stream"),
        (("--gateway", "GW"), 65, "gateway"),
        (("--who", ""), 65, "who"),
        (("--who", "\udcff"), 64, "not UTF-8"),
    ],
)
def test_what_is_not_signed(
    tmp_path: Path, people: dict[str, Person], changed: tuple[str, ...], code: int, message: str
) -> None:
    place = ("--stream", STREAM.hex(), "-o", tmp_path / "x", "--yes")
    assert message in call("command", "sign", *wish(people), *place, *changed, code=code)[1]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [("a/b=1", Decimal(1)), ("a/b = -2.50 ", Decimal("-2.50")), ("a/b=1e3", Decimal("1e3")), ("a/b=false", False),
     ("a/b=auto", "auto"), ('a/b="true"', "true"), ("a/b=", ""), ("a/b=x=y", "x=y"), ("a/b=nan", "nan")],
)  # fmt: skip
def test_values(text: str, value: object) -> None:
    assert parse_write(text) == Write("a/b", value)  # type: ignore[arg-type]


def test_keyring_is_retained_and_a_command_is_not(
    desk: Callable[..., list[dict[str, Any]]], listener: Listener, mosquitto: Mosquitto, keyring: Path,
    people: dict[str, Person],
) -> None:  # fmt: skip
    kept = listener.next()
    assert (kept.topic, kept.retain, kept.qos) == ("lamppost/v1/nord/gw-0017/command", True, 1)
    assert kept.payload == keyring.read_bytes()
    (row,) = desk("send", *wish(people))
    assert (row["listening"], row["name"]) == (True, "anna")
    sent = listener.next()
    assert (sent.topic, sent.retain, sent.qos) == (kept.topic, False, 1)
    late = Listener(mosquitto.port)
    try:
        assert late.next().payload == kept.payload
        assert late.heard.empty()
    finally:
        late.close()


def test_from_sign_to_result(
    desk: Callable[..., list[dict[str, Any]]], listener: Listener, bench: Bench, gateway: Gateway, tmp_path: Path,
    people: dict[str, Person],
) -> None:  # fmt: skip
    listener.next()
    file = tmp_path / "dim.cose"
    (made,) = data("command", "sign", *wish(people), "--database", bench.database.path, "--yes", "-o", file)
    assert made["stream"] == gateway.stream.hex()
    desk("relay", file)
    assert listener.next().payload == file.read_bytes()
    desk("relay", file)
    assert listener.next().payload == file.read_bytes()
    where = ("--database", bench.database.path)
    out, _ = call("command", "status", made["number"], *where, "--json", code=75)
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert (row["result"], row["name"], row["message"]) == (None, "anna", file.read_bytes().hex())
    bench.take(answer(gateway, made["number"]))
    (row,) = data("command", "status", made["number"], "--wait", "5s", *where)
    assert (row["result"]["status"], row["result"]["finished_ms"]) == ("verified", UTC_MS + 40)
    assert row["result"]["result"]["writes"][0]["read_back"] == 40
    assert "verified" in call("command", "status", *where)[0]
    (other,) = desk("send", *wish(people))
    bench.take(answer(gateway, other["number"], status="refused", reason="locked"))
    assert "locked" in call("command", "status", other["number"], *where, code=1)[0]
    call("rebuild", *where)
    assert [r["result"]["status"] for r in data("command", "status", *where)] == ["verified", "refused"]


def test_send_waits_for_the_result_and_says_that_none_came(
    desk: Callable[..., list[dict[str, Any]]], people: dict[str, Person]
) -> None:
    (row,) = desk("send", *wish(people), "--wait", "200ms", code=75)
    assert (row["result"], row["relayed_at"] is None) == (None, False)


@SQLITE
@pytest.mark.parametrize(
    ("who", "write", "code", "message"),
    [
        ("anna", "lamp8/level=40", 65, "not within the scopes of anna"),
        ("otto", "lamp7/level=40", 77, "of otto has ended"),
        ("collector", "lamp7/level=40", 77, "no key .* of role command"),
        ("authority", "lamp7/level=40", 77, "no key .* of role command"),
    ],
)
def test_what_is_not_relayed(
    desk: Callable[..., list[dict[str, Any]]], listener: Listener, bench: Bench, people: dict[str, Person], who: str,
    write: str, code: int, message: str,
) -> None:  # fmt: skip
    listener.next()
    (row,) = desk("send", *wish(people, who, write), code=code)
    assert re.search(message, row["error"])
    assert bench.rows("SELECT count(*) FROM commands") == [(0,)]
    assert listener.heard.empty()


def test_what_is_late_altered_or_for_a_fork_is_not_relayed(
    desk: Callable[..., list[dict[str, Any]]], bench: Bench, tmp_path: Path, people: dict[str, Person], keyring: Path
) -> None:
    key = SigningKey.load(people["anna"].private)
    old = Command("gw-0017", STREAM, 7, 0, 1, (Write("lamp7/on", True),), "a", "b")
    file = tmp_path / "c.cose"

    def refusal(message: bytes) -> str:
        file.write_bytes(message)
        return str(desk("relay", file, code=65)[0]["error"])

    assert "expired" in refusal(old.sign(key))
    good = tmp_path / "good.cose"
    call("command", "sign", *wish(people), "--stream", STREAM.hex(), "-o", good, "--yes")
    message = good.read_bytes()
    assert "altered" in refusal(message[:-1] + bytes([message[-1] ^ 1]))
    assert "COSE_Sign1" in refusal(b"junk")
    assert "not a command" in refusal(keyring.read_bytes())
    older = "INSERT INTO streams (gateway, stream, first_seen, forked_at) SELECT gateway, '00', 0, 1 FROM streams"
    bench.database.connection.execute(older)
    assert "fork" in refusal(message), "of a gateway that two stores claim to be, the newer stream gets nothing either"


def test_before_the_keyring_nothing_is_relayed(
    bench: Bench, gateway: Gateway, mosquitto: Mosquitto, people: dict[str, Person]
) -> None:
    bench.take(describe_results(gateway))
    places = ("--database", bench.database.path, "--broker", mosquitto.url, "--yes")
    assert "keyring relay first" in call("command", "send", *wish(people), *places, code=65)[1]


def test_a_lower_or_another_keyring_is_not_relayed(
    desk: Callable[..., list[dict[str, Any]]], bench: Bench, mosquitto: Mosquitto, tmp_path: Path,
    people: dict[str, Person],
) -> None:  # fmt: skip
    source, target = tmp_path / "keyring.toml", tmp_path / "other.cose"
    source.write_text("")
    places = ("--database", bench.database.path, "--broker", mosquitto.url, "--yes")
    for number, message in ((2, "was sent keyring 3 already"), (3, "another keyring")):
        target.unlink(missing_ok=True)
        key = people["authority"].private
        call("keyring", "sign", source, "--key", key, "--number", number, "-o", target, "--yes")
        public = people["authority"].public
        assert message in call("keyring", "relay", target, "--authority", public, *places, code=65)[1]


def test_a_broker_that_refuses_is_heard(
    make_mosquitto: Callable[..., Mosquitto], bench: Bench, gateway: Gateway, tmp_path: Path, keyring: Path,
    people: dict[str, Person],
) -> None:  # fmt: skip
    acl = tmp_path / "acl"
    acl.write_text("topic read #\n")
    acl.chmod(0o600)
    broker = make_mosquitto(f"acl_file {acl}")
    bench.take(describe_results(gateway))
    places = ("--database", bench.database.path, "--broker", broker.url, "--yes")
    said = call("keyring", "relay", keyring, "--authority", people["authority"].public, *places, code=69)[1]
    assert "refused: Not authorized" in said
    assert bench.rows("SELECT count(*) FROM keyring_relays") == [(0,)]
    broker.stop()
    said = call("keyring", "relay", keyring, "--authority", people["authority"].public, *places, code=69)[1]
    assert "no connection" in said


def test_nobody_listens(desk: Callable[..., list[dict[str, Any]]], people: dict[str, Person]) -> None:
    (row,) = desk("send", *wish(people))
    assert row["listening"] is False
    (row,) = desk("send", *wish(people), "--mqtt-version", "3.1.1")
    assert row["listening"] is True  # that version does not tell


@SQLITE
def test_streams_and_an_older_database(bench: Bench, gateway: Gateway) -> None:
    bench.take(*gateway.hello(1))
    path = bench.database.path
    age(path, 2)
    second = Gateway(gateway="gw-0018")
    call("gateways", "add", "-", "--database", path, text=second.public_json())
    (row,) = data("gateways", "streams", "--database", path)
    assert (row["gateway"], row["stream"], row["forked_at"]) == ("gw-0017", gateway.stream.hex(), None)
    assert data("command", "status", "--database", path) == []
    assert registry.overview(bench.database)[0]["batches"] == 2


def test_hostile_results(bench: Bench, gateway: Gateway) -> None:
    texts = ["{", "[]", "7", '{"number": "x", "status": 7, "finished_ms": "late"}', "\x1b[2J", '{"number": 1e400}']
    bench.take(describe_results(gateway))
    bench.take(gateway.send([(9, 10 + n, text, 0) for n, text in enumerate(texts)]))
    rows = bench.rows("SELECT number, status, reason, source, finished_ms FROM command_results")
    assert set(rows) == {(None,) * 5}
    assert data("command", "status", "--database", bench.database.path) == []


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that knows nobody."""
    database = Database.open(tmp_path_factory.mktemp("empty") / "c.db")
    yield database
    database.close()


@given(payload=st.binary(max_size=60) | st.builds(cbor2.dumps, st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 11), inner, max_size=4), max_leaves=8,
)), enveloped=st.booleans())  # fmt: skip
def test_noise_is_an_error_of_ours(empty: Database, people: dict[str, Person], payload: bytes, enveloped: bool) -> None:
    message = cose.sign(payload, Kind.COMMAND, SigningKey.load(people["anna"].private)) if enveloped else payload
    with pytest.raises((CollectorError, BufferFault)):
        check(empty, message, UTC_MS)
