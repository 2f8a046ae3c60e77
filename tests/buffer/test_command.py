"""Commands, good and bad."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer import cose
from buffer.command import Command, Write, new_number, value_json
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.keyring import RingKey
from buffer.keys import SigningKey
from tests.buffer.support import GATEWAY

NOW = 1_800_000_000_000
GOOD = Command(
    GATEWAY, bytes(16), 77, NOW, NOW + 60_000, (Write("lamp7/level", Decimal("40.5")), Write("lamp7/on", True)),
    "anna", "concert on Main",
)  # fmt: skip


@pytest.fixture(scope="module")
def operator(key: SigningKey) -> RingKey:
    """The operator as the keyring has her."""
    return RingKey("anna", "command", key.public(role="command").raw)


values = st.booleans() | st.text(max_size=200) | st.decimals(-(10**6), 10**6, places=3)


@given(st.lists(st.builds(Write, st.just("a-1/b"), values), min_size=1, max_size=4), st.booleans())
def test_command_comes_back(key: SigningKey, operator: RingKey, writes: list[Write], dry: bool) -> None:
    made = replace(GOOD, writes=tuple(writes), dry_run=dry)
    assert Command.read(cose.read(made.sign(key)), operator) == made


def test_map_is_that_of_the_specification(key: SigningKey) -> None:
    assert cbor2.loads(cose.read(GOOD.sign(key)).payload) == {
        1: 1,
        2: "gw-0017",
        3: bytes(16),
        4: 77,
        5: NOW,
        6: NOW + 60_000,
        7: [["lamp7/level", Decimal("40.5")], ["lamp7/on", True]],
        8: "anna",
        9: "concert on Main",
        10: False,
    }


def test_key_of_another_role_signs_none(key: SigningKey, operator: RingKey) -> None:
    with pytest.raises(SignatureError, match="role"):
        Command.read(cose.read(GOOD.sign(key)), replace(operator, role="configure"))


def test_no_other_kind_passes_for_one(key: SigningKey, operator: RingKey) -> None:
    payload = cose.read(GOOD.sign(key)).payload
    with pytest.raises(SignatureError):
        Command.read(cose.read(cose.sign(payload, Kind.BATCH, key)), operator)


@given(at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_altered_command_is_none(key: SigningKey, operator: RingKey, at: int, flip: int) -> None:
    data = bytearray(GOOD.sign(key))
    data[at % len(data)] ^= flip
    with pytest.raises((BatchFormatError, SignatureError)):
        Command.read(cose.read(bytes(data)), operator)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (1, 2, "version 2 is not known"),
        (2, "GW", "gateway is not"),
        (3, bytes(15), "stream"),
        (4, 0, "number is not between"),
        (6, NOW, "expires is not between"),
        (6, NOW + 3_600_001, "expires is not between"),
        (7, [], "writes nothing"),
        (7, [["lamp7/level", True]] * 65, "at most 64"),
        (7, [["level", True]], "device/point"),
        (7, [["lamp7/a/b", True]], "device/point"),
        (7, [["lamp7/level", 40]], "decimal"),
        (7, [["lamp7/level", 40.5]], "decimal"),
        (7, [["lamp7/level", None]], "decimal"),
        (7, [["lamp7/level", Decimal("1e30")]], "decimal"),
        (7, [["lamp7/level", Decimal(1234567890123456789)]], "decimal"),
        (7, [["lamp7/level", "x" * 201]], "200 characters"),
        (8, "", "who"),
        (9, "", "why"),
        (9, "x" * 201, "why"),
        (10, 0, "dry_run"),
    ],
)
def test_what_is_no_command(key: SigningKey, operator: RingKey, field: int, value: Any, message: str) -> None:
    items = cbor2.loads(cose.read(GOOD.sign(key)).payload) | {field: value}
    signed = cose.sign(cbor2.dumps(items), Kind.COMMAND, key)
    with pytest.raises(BatchFormatError, match=message):
        Command.read(cose.read(signed), operator)


def test_numbers_differ() -> None:
    assert len({new_number() for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize(
    ("value", "shown"), [(Decimal("40.0"), 40), (Decimal("40.5"), 40.5), (True, True), ("auto", "auto")]
)
def test_value_for_people(value: Any, shown: object) -> None:
    assert value_json(value) == shown
    assert type(value_json(value)) is type(shown)
