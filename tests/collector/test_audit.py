"""The audit: each row with its proof, and everything that was altered since is found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buffer.command import Command
from buffer.keyring import FOREVER, Keyring, RingKey
from buffer.keys import SigningKey
from collector.identity import keyrings, registry
from collector.orders import commands
from collector.orders.commands import Signed
from tests.collector.commanding import RESULT, answer, call, describe_results
from tests.collector.maker import OFFSET_MS, SQLITE, UTC_MS, Bench, Gateway

COMMAND = Command(
    "gw-0017",
    bytes([1]) * 16,
    77,
    UTC_MS,
    UTC_MS + 600_000,
    (commands.parse_write("lamp7/level=40"),),
    "Anna",
    "a test",
)


class Platform:
    """A database in which command 77 was relayed, with the keys of everybody."""

    def __init__(self, bench: Bench, gateway: Gateway, folder: Path) -> None:
        self.bench = bench
        self.gateway = gateway
        self.folder = folder
        self.authority = SigningKey.create(folder / "authority.pem")
        self.anna = SigningKey.create(folder / "anna.pem")
        (folder / "authority.json").write_text(self.authority.public(role="authority").to_json())
        self.give_keyring(1)
        bench.take(describe_results(gateway))

    def give_keyring(self, number: int, at_ms: int = UTC_MS, scope: str = "nord", ends_ms: int = FOREVER) -> None:
        """As `keyring relay` does."""
        public = self.authority.public(role="authority")
        key = RingKey("anna", "command", self.anna.public(role="command").raw, ((scope,),), ends_ms)
        ring = Keyring(number, UTC_MS, (key,))
        keyrings.keep(self.bench.database, ring.sign(self.authority), ring, public, ["gw-0017"])
        keyrings.note_relayed(self.bench.database, ring, public, "gw-0017", at_ms)

    def relay(self, command: Command = COMMAND) -> None:
        """As `command relay` does, without its checks."""
        key = RingKey("anna", "command", self.anna.public(role="command").raw)
        commands.enter(self.bench.database, Signed(command, command.sign(self.anna), key), UTC_MS + 5)
        commands.note_relayed(self.bench.database, command, UTC_MS + 6)

    def audit(self, *arguments: object, code: int = 0) -> list[dict[str, Any]]:
        """The rows of `audit --verify`."""
        out, _ = call("audit", "--database", self.bench.database.path, "--verify", "--json", *arguments, code=code)
        return [json.loads(line) for line in out.splitlines()]

    def faults(self) -> str:
        """What is not proved of the only row."""
        (row,) = self.audit(code=65)
        return "; ".join(row["faults"])


@pytest.fixture
def platform(bench: Bench, gateway: Gateway, tmp_path: Path) -> Platform:
    """A platform that nothing has been answered to yet."""
    return Platform(bench, gateway, tmp_path)


def test_a_row_with_its_proof(platform: Platform) -> None:
    platform.relay()
    platform.bench.take(answer(platform.gateway, 77))
    (row,) = platform.audit("--authority", platform.folder / "authority.json")
    assert row["faults"] == []
    assert (row["kind"], row["source"], row["who"], row["why"]) == ("command", "remote", "Anna", "a test")
    assert (row["key"], row["kid"], row["keyring"]) == ("anna", platform.anna.kid.hex(), 1)
    assert (row["batch"], row["hash"]) == (2, platform.gateway.previous.hex())
    assert bytes.fromhex(row["message"]) == COMMAND.sign(platform.anna)
    assert row["command"]["writes"] == [{"point": "lamp7/level", "value": 40}]
    (plain,) = [
        json.loads(line) for line in call("audit", "--database", platform.bench.database.path, "--json")[0].splitlines()
    ]
    assert "faults" not in plain
    table = call("audit", "--verify", "--database", platform.bench.database.path)[0]
    assert "lamp7/level = 40" in table
    assert "anna" in table


def test_what_was_done_on_site_and_what_got_no_answer(platform: Platform) -> None:
    platform.relay()
    gateway = platform.gateway
    lock = json.dumps({"device": "lamp7", "locked": True, "by": "ida", "reason": "\x1b[31mlamp out"})
    platform.bench.take(
        answer(gateway, 5, at_ms=10, source="local", who="ida", key=""),
        gateway.send([(8, 20, lock, 0)]),
        answer(gateway, 6, at_ms=30, source="revert", who="", key="", status="failed", reason="no answer"),
    )
    rows = platform.audit()
    assert [(row["kind"], row["source"], row["who"], row["status"]) for row in rows] == [
        ("command", "local", "ida", "verified"),
        ("lock", None, "ida", None),
        ("command", "revert", "", "failed"),
        ("command", "remote", "Anna", None),
    ]
    assert all(row["faults"] == [] for row in rows)
    assert len(platform.audit("--since", OFFSET_MS + 15)) == 3
    assert platform.audit("--gateway", "other") == []
    table = call("audit", "--database", platform.bench.database.path)[0]
    assert all(character.isprintable() or character == "\n" for character in table)
    assert "no result" in table


def test_a_gateway_that_was_wiped_is_known_as_such_until_it_has_another_key(platform: Platform) -> None:
    database = platform.bench.database
    assert [row["wiped_at"] for row in registry.overview(database)] == [None]
    platform.bench.take(platform.gateway.send([(7, 20, json.dumps({"who": "ida", "why": "sold", "at_ms": 5}), 0)]))
    (row,) = platform.audit()
    assert (row["kind"], row["who"], row["why"], row["faults"]) == ("decommissioned", "ida", "sold", [])
    assert "keys and data destroyed" in call("audit", "--database", database.path)[0]
    (wiped,) = registry.overview(database)
    assert wiped["wiped_at"] == wiped["last_at"]
    assert "wiped" in call("gateways", "list", "--database", database.path)[0]
    fresh = SigningKey.create(platform.folder / "fresh.pem").public("gw-0017", "nord", "batch")
    registry.succeed(database, fresh, wiped["wiped_at"] + 1)
    assert [row["wiped_at"] for row in registry.overview(database) if row["revoked_at"] is None] == [None]


def test_the_keyring_in_force_is_that_of_the_time(platform: Platform) -> None:
    platform.relay()
    platform.bench.take(answer(platform.gateway, 77))
    platform.give_keyring(2, UTC_MS + 1000, scope="sued")
    assert platform.audit()[0]["keyring"] == 1


def flipped(message: bytes) -> bytes:
    """The message with one bit of its last byte changed."""
    return message[:-1] + bytes([message[-1] ^ 1])


CASES: dict[str, tuple[Callable[[Platform], object], str]] = {
    "a result that was altered in the table": (
        lambda p: p.bench.rows("UPDATE samples SET text = replace(text, 'Anna', 'Eva') WHERE text LIKE '%Anna%'"),
        "does not say this",
    ),
    "a batch that was altered": (
        lambda p: p.bench.database.connection.execute("UPDATE batches SET bytes = ? WHERE number = 2", (bytes(99),)),
        "batch 2: ",
    ),
    "a hash that is not the batch's": (
        lambda p: p.bench.rows("UPDATE batches SET hash = previous WHERE number = 2"),
        "has the hash",
    ),
    "a batch before that is another one": (
        lambda p: p.bench.rows("UPDATE batches SET hash = 'ab' WHERE number = 1"),
        "the chain is broken",
    ),
    "a catalogue that is gone": (
        lambda p: p.bench.rows("DELETE FROM batches WHERE number = 1"),
        "is not stored",
    ),
    "a command that is gone": (lambda p: p.bench.rows("DELETE FROM commands"), "not among those relayed"),
    "a command that was altered": (
        lambda p: p.bench.rows("UPDATE commands SET message = ?", flipped(COMMAND.sign(p.anna))),
        "altered since",
    ),
    "a keyring of another authority": (
        lambda p: p.bench.rows(
            "UPDATE keyrings SET authority_key = ?",
            SigningKey.create(p.folder / "x").public(role="authority").raw.hex(),
        ),
        "not a keyring of the authority",
    ),
    "no keyring": (lambda p: p.bench.rows("DELETE FROM keyring_relays"), "no keyring"),
}


@SQLITE
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "-"))
def test_what_was_altered_is_found(platform: Platform, case: str) -> None:
    platform.relay()
    platform.bench.take(answer(platform.gateway, 77))
    alter, message = CASES[case]
    alter(platform)
    assert message in platform.faults()


def done(**changed: object) -> list[dict[str, object]]:
    """The writes of a result."""
    writes = RESULT["writes"]
    assert isinstance(writes, list)
    return [{**writes[0], **changed}]


@SQLITE
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"who": "Eva"}, "who is told as 'Eva', signed is 'Anna'"),
        ({"key": "otto"}, "key is told as 'otto', signed is 'anna'"),
        ({"writes": done(value=100)}, "signed is lamp7/level = 40"),
        ({"writes": done(point="lamp8/level")}, "signed is lamp7/level = 40"),
        ({"writes": [*done(), *done()]}, "other writes"),
        ({"writes": 3}, "other writes"),
        ({"writes": []}, "fewer writes than were signed"),
        ({"dry_run": True}, "dry_run"),
    ],
)
def test_a_gateway_that_tells_of_something_else(platform: Platform, changed: dict[str, Any], message: str) -> None:
    platform.relay()
    platform.bench.take(answer(platform.gateway, 77, **changed))
    assert message in platform.faults()


def test_a_command_that_went_beyond_its_key(platform: Platform) -> None:
    platform.give_keyring(2, UTC_MS + 1, scope="sued", ends_ms=UTC_MS - 1)
    platform.relay()
    platform.bench.take(answer(platform.gateway, 77))
    assert "had ended" in platform.faults()
    assert "not within the scopes of anna" in platform.faults()


def test_a_second_result_is_found(platform: Platform) -> None:
    platform.relay()
    platform.bench.take(answer(platform.gateway, 77), answer(platform.gateway, 77, at_ms=20))
    first, second = platform.audit(code=65)
    assert first["faults"] == []
    assert second["faults"] == ["command 77 has another result in batch 2"]


def test_texts_that_are_no_results(platform: Platform) -> None:
    texts = ["{", "[1]", '{"number": [], "writes": [7], "who": {}}', '{"source": "remote", "number": true}']
    platform.bench.take(platform.gateway.send([(9, 10 + n, text, 0) for n, text in enumerate(texts)]))
    assert len(platform.audit(code=65)) == 4
    assert "{" in call("audit", "--database", platform.bench.database.path)[0]
