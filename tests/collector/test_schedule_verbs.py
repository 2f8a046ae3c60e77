"""Schedules from a source to the broker: real files, a real broker, and bytes read independently."""

import json
from decimal import Decimal
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from collector.orders.schedulesource import parse
from tests.buffer.test_cose import plain_sig_structure
from tests.collector.commanding import Person, answer, call, data, describe_results, person
from tests.collector.maker import Bench, Gateway
from tests.collector.test_command_verbs import Listener, keyring, people
from tests.mosquitto import Mosquitto

__all__ = ["keyring", "people", "person"]

SOURCE = """
# Main Street: full at dusk, dimmed at night
[[entry]]
points = ["lamp7/level"]
at = "sunset-00:10"
latest = "21:30"
value = 100
[[entry]]
point = "lamp7/level"
at = "23:00"
days = ["mon", "tue", "wed", "thu", "sun"]
unless = ["12-24/12-26"]
value = 37.5
[[entry]]
point = "lamp7/mode"
at = "06:00"
value = "auto"
"""
STREAM = bytes([1]) * 16


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A schedule as people write it, where they are: what is told of it is cut at 200 characters."""
    monkeypatch.chdir(tmp_path)
    file = Path("main-street.toml")
    file.write_text(SOURCE)
    return file


def sign(people: dict[str, Person], source: Path, target: Path, *more: object) -> tuple[object, ...]:
    key = people["anna"].private
    to = ("--key", key, "--gateway", "gw-0017", "--why", "winter", "--who", "Anna")
    return ("schedule", "sign", source, *to, "-o", target, *more)


def test_signed_anywhere_and_readable_by_others(tmp_path: Path, people: dict[str, Person], source: Path) -> None:
    """The envelope by RFC 9052 and the payload by docs/format.md, with cbor2 and cryptography alone."""
    file = tmp_path / "schedule.cose"
    where = ("--stream", STREAM.hex(), "--edition", 4, "--expires", "7d")
    _, said = call(*sign(people, source, file, *where), text="n\n", code=77)
    assert "gw-0017: schedule 4 with 3 entries for 2 points; Anna: winter; to be taken until 20" in said
    assert "sunset-00:10" in said
    assert not file.exists()
    (row,) = data(*sign(people, source, file, *where, "--yes"))
    protected, _, payload, signature = cbor2.loads(file.read_bytes()).value
    signed = plain_sig_structure(protected, b"lamppost/1/schedule", payload)
    Ed25519PublicKey.from_public_bytes(people["anna"].key.raw).verify(signature, signed)
    items = cbor2.loads(payload)
    assert (items[1], items[2], items[3], items[4], items[7]) == (1, "gw-0017", STREAM, row["number"], 4)
    assert items[6] - items[5] == 7 * 86_400_000
    assert items[8] == [
        [["lamp7/level"], "sunset-00:10", Decimal(100), "1234567", "", "21:30", [], []],
        [["lamp7/level"], "23:00", Decimal("37.5"), "12347", "", "", [], ["12-24/12-26"]],
        [["lamp7/mode"], "06:00", "auto", "1234567", "", "", [], []],
    ]
    assert (items[9], items[10]) == ("Anna", "winter")
    (shown,) = data("schedule", "show", file, "--by", people["anna"].public)
    assert (shown["edition"], len(shown["entries"]), shown["entries"][1]["value"]) == (4, 3, 37.5)
    assert "not verified" in call("schedule", "show", file)[1]
    call("schedule", "show", file, "--by", people["otto"].public, code=65)


def test_the_next_week_as_the_gateway_will_find_it(source: Path) -> None:
    berlin = ("--zone", "Europe/Berlin", "--location", "52.5,13.4")
    rows = data("schedule", "preview", source, *berlin, "--days", 14)
    assert [row["utc_ms"] for row in rows] == sorted(row["utc_ms"] for row in rows)
    assert sum(row["value"] == "auto" for row in rows) == 14
    assert sum(row["value"] == 100 for row in rows) == 14
    assert all("21:30" >= row["local"][11:16] > "15:00" for row in rows if row["value"] == 100)
    assert "Europe/Berlin" in call("schedule", "preview", source, *berlin)[0]
    assert "--location" in call("schedule", "preview", source, code=65)[1]
    call("schedule", "preview", source, "--zone", "Middle/Earth", code=64)
    call("schedule", "preview", source, "--location", "here", code=64)


def test_relayed_recorded_and_followed(
    tmp_path: Path, people: dict[str, Person], source: Path, keyring: Path, bench: Bench, gateway: Gateway,
    mosquitto: Mosquitto,
) -> None:  # fmt: skip
    bench.take(describe_results(gateway))
    listener = Listener(mosquitto.port)
    try:
        base = ("--database", bench.database.path)
        places = (*base, "--broker", mosquitto.url)
        call("keyring", "relay", keyring, "--authority", people["authority"].public, *places, "--yes")
        listener.next()
        for edition in (1, 2):
            file = tmp_path / f"{edition}.cose"
            (row,) = data(*sign(people, source, file, *base, "--yes"))
            assert row["edition"] == edition
            data("schedule", "relay", file, *places, "--yes")
            sent = listener.next()
            assert (sent.payload, sent.retain) == (file.read_bytes(), False)
    finally:
        listener.close()
    bench.take(answer(gateway, row["number"], who="Anna", why="winter", key="anna", writes=[]))
    listed = data("schedule", "status", *base)
    assert [(one["edition"], one["result"] and one["result"]["status"]) for one in listed] == [
        (1, None),
        (2, "verified"),
    ]
    assert "verified" in call("schedule", "status", *base)[0]
    audit = call("audit", *base, "--verify", "--authority", people["authority"].public, "--json")[0]
    (proved,) = [row for line in audit.splitlines() if (row := json.loads(line))["status"] == "verified"]
    assert (proved["faults"], proved["command"]["edition"]) == ([], 2)
    source.write_text(SOURCE.replace("lamp7", "lamp8"))
    call(*sign(people, source, tmp_path / "3.cose", *base, "--yes"))
    assert "scopes" in call("schedule", "relay", tmp_path / "3.cose", *places, "--yes", code=65)[1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('at = "23:00"', 'at = "24:00"', "entry 2: a time is not"),
        ('at = "23:00"', 'at = "sunset+12:01"', "at most 12:00 away"),
        ('at = "23:00"', 'at = "23:00"\nlatest = "23:30"', "a time of day has none"),
        ('latest = "21:30"', 'latest = "21:30"\nearliest = "22:00"', "is after latest"),
        ('latest = "21:30"', 'latest = "sunrise"', "is a time of day"),
        ('"12-24/12-26"', '"12-32"', "dates is not"),
        ('"12-24/12-26"', '"2026-12-24/12-26"', "both with a year"),
        ('"mon"', '"monday"', "days is a list"),
        ("value = 37.5", "value = 0.1234567890123456789", "18 digits"),
        ("value = 37.5", "", "lacks value"),
        ("value = 37.5", "value = 1\nwhen = 2", "unknown: when"),
        ('point = "lamp7/mode"', 'point = "lamp7"', "point of a write"),
        ("[[entry]]", "[[entries]]", "nothing but"),
        (SOURCE, "", "1 to 256 entries"),
    ],
)
def test_what_is_not_signed(
    tmp_path: Path, people: dict[str, Person], source: Path, old: str, new: str, message: str
) -> None:
    source.write_text(SOURCE.replace(old, new))
    where = ("--stream", STREAM.hex(), "--edition", 4, "--yes")
    assert message in call(*sign(people, source, tmp_path / "x", *where), code=65)[1]
    assert not (tmp_path / "x").exists()


def test_json_is_a_source_too() -> None:
    (made,) = parse(json.dumps({"entry": [{"point": "a/b", "at": "sunrise", "value": True}]}))
    assert (made.points, made.at, made.value) == (("a/b",), "sunrise", True)
