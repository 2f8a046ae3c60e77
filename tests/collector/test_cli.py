"""The verbs: data on standard output, the rest on standard error, an exit code for each kind of error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from buffer.keys import PublicKey
from collector.output import moment, printable
from collector.query import parse_time
from collector.tables.database import Target
from tests.collector.maker import OFFSET_MS, UTC_MS, Bench, Gateway
from tests.conftest import ROOT


def call(*arguments: object, text: str | None = None) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "collector", *map(str, arguments)],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    return done.returncode, done.stdout, done.stderr


def data(*arguments: object) -> list[dict[str, object]]:
    """The NDJSON of a verb that must not fail."""
    code, out, error = call(*arguments, "--json")
    assert (code, error) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def test_gateways(tmp_path: Path, gateway: Gateway) -> None:
    database, file = tmp_path / "c.db", tmp_path / "gw.json"
    file.write_text(gateway.public_json() + "\n")
    kid = gateway.key.kid.hex()
    assert data("gateways", "add", file, "--database", database) == [
        {"gateway": "gw-0017", "site": "nord", "kid": kid, "added": True}
    ]
    assert data("gateways", "add", file, "--database", database)[0]["added"] is False
    second = Gateway()
    code, out, error = call("gateways", "add", "-", "--database", database, text=second.public_json())
    assert (code, out) == (65, "")
    assert f"gw-0017 already has the key {kid}" in error
    assert call("gateways", "add", "-", "--beside", "--database", database, text=second.public_json())[0] == 0
    assert data("gateways", "revoke", "gw-0017", "--kid", kid, "--database", database) == [
        {"gateway": "gw-0017", "revoked": 1}
    ]
    assert sorted(
        (row["kid"] == kid, row["revoked_at"] is None) for row in data("gateways", "list", "--database", database)
    ) == [
        (False, True),
        (True, False),
    ]
    code, _, error = call("gateways", "add", file, "--database", database)
    assert (code, "revoked" in error) == (65, True)
    assert call("gateways", "revoke", "nobody", "--database", database)[0] == 65
    assert call("gateways", "confirm", "gw-0017", "--database", database)[0] == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"gateway": 1}',
        "null",
        "x" * 5000,
        "[" * 3000,
        pytest.param(Gateway().key.public(role="acknowledge").to_json(), id="another role"),
    ],
)
def test_what_is_no_gateways_key_is_not_added(tmp_path: Path, text: str) -> None:
    code, out, error = call("gateways", "add", "-", "--database", tmp_path / "c.db", text=text)
    assert (code, out) == (65, "")
    assert len(error.splitlines()) == 1


def test_key(tmp_path: Path) -> None:
    file = tmp_path / "ack.key"
    code, made, _ = call("key", "new", file)
    assert code == 0
    assert call("key", "show", file) == (0, made, "")
    assert PublicKey.from_json(made).role == "acknowledge"
    assert file.stat().st_mode & 0o777 == 0o600
    assert call("key", "new", file)[0] == 78
    file.chmod(0o644)
    assert call("key", "show", file)[0] == 78


@pytest.fixture
def filled(bench: Bench, gateway: Gateway) -> Target:
    """A database with samples, a gap, a refusal and a batch that waits."""
    hostile = gateway.lines(2)
    hostile.append(type(hostile[0])(3, "evil\x1b[31m\u202e", "p\n3", "[red]V", "text"))
    messages = [gateway.describe(hostile), gateway.send([(1, 10, 1.5, 0), (2, 20, 2**60, 0)])]
    messages += [
        gateway.send([(1, 30, 1.0, 0)]),
        gateway.send([(3, 40, "\x1b]0;owned\x07[bold]", 0), (3, 50, None, 6)]),
    ]
    bench.take(messages[0], messages[1], messages[3])
    bench.take(type(messages[0])("lamppost/v1/\x1b[2J/gw-0017/batch", b"junk\x00"))
    return bench.database.path


def test_query(filled: Target) -> None:
    rows = data("query", "--database", filled)
    assert [(row["utc_ms"], row["value"], row["exact"], row["quality"]) for row in rows] == [
        (OFFSET_MS + 10, 1.5, None, 0),
        (OFFSET_MS + 20, 2.0**60, str(2**60), 0),
        (OFFSET_MS + 40, None, None, 0),
        (OFFSET_MS + 50, None, None, 6),
    ]
    assert [row["point"] for row in data("query", "--database", filled, "--point", "meter1/p2")] == ["p2"]
    assert [row["batch"] for row in data("query", "--database", filled, "--limit", "1")] == [4]
    assert len(data("query", "--database", filled, "--device", "meter1", "--since", OFFSET_MS + 11)) == 1
    assert len(data("query", "--database", filled, "--until", OFFSET_MS + 10)) == 1
    assert data("query", "--database", filled, "--gateway", "other") == []


def test_nothing_from_a_device_acts_on_the_terminal(filled: Target) -> None:
    for verb in ("query", "gaps", "refused", "waiting"):
        code, out, error = call(verb, "--database", filled)
        assert (code, error) == (0, "")
        assert all(character.isprintable() or character == "\n" for character in out)
    _, out, _ = call("query", "--database", filled)
    assert "\\x1b]0;owned\\x07[bold]" in out
    assert "[red]V" in out
    assert "bad (no answer)" in out


def test_gaps_and_refused(filled: Target) -> None:
    (gap,) = data("gaps", "--database", filled)
    assert (gap["first"], gap["last"], gap["state"], gap["from_ms"]) == (3, 3, "pending", OFFSET_MS + 20)
    (row,) = data("refused", "--database", filled)
    assert (row["bytes"], str(row["reason"])[:5]) == (5, "forma")
    assert data("refused", "--count", "--database", filled)[0]["count"] == 1
    assert call("refused", "--raw", row["id"], "--database", filled)[:2] == (0, "junk\x00")
    assert call("refused", "--raw", "99", "--database", filled)[0] == 64


def test_rebuild(filled: Target) -> None:
    before = data("query", "--database", filled)
    assert data("rebuild", "--database", filled) == [{"batches": 3}]
    assert data("query", "--database", filled) == before


def test_exit_codes(tmp_path: Path, filled: Target) -> None:
    assert call("query", "--database", tmp_path / "none.db")[0] == 66
    assert call("query", "--since", "yesterday", "--database", filled)[0] == 64
    assert call("nonsense")[0] == 64
    assert call("query", "--limit", "0", "--database", filled)[0] == 64
    assert call("--help")[0] == 0
    other = tmp_path / "other.db"
    other.write_bytes(b"this is not a database" * 100)
    assert call("gateways", "list", "--database", other)[0] == 74
    key = tmp_path / "ack.key"
    assert call("key", "new", key)[0] == 0
    assert call("run", "--database", other, "--key", key, "--broker", "mqtt://127.0.0.1:1")[0] == 74
    assert call("run", "--database", filled, "--key", tmp_path / "no.key", "--broker", "mqtt://127.0.0.1:1")[0] == 78
    assert call("run", "--database", filled, "--key", key, "--broker", "http://127.0.0.1")[0] == 64
    assert call("gateways", "list", "--database", tmp_path)[0] in {66, 74}


def test_times() -> None:
    assert parse_time("10m", UTC_MS) == UTC_MS - 600_000
    assert parse_time("1780000000000", 0) == 1_780_000_000_000
    assert parse_time("1970-01-01T00:00:01", 0) == parse_time("1970-01-01T01:00:01+01:00", 0) == 1000
    assert moment(1000) == "1970-01-01 00:00:01.000"
    assert moment(1 << 60) == f"{1 << 60} ms"
    assert printable("a\x9bb\u2028c\x7f\ud800") == "a\\x9bb\\u2028c\\x7f\\ud800"
    assert printable("x" * 500).endswith("...")
