"""Keyrings, good and bad."""

from dataclasses import replace
from typing import Any

import cbor2
import pytest

from buffer import cose
from buffer.cose import Kind
from buffer.errors import BatchFormatError, NotAllowed, SignatureError
from buffer.keyring import FOREVER, Keyring, RingKey, parse_scope
from buffer.keys import PublicKey, SigningKey, key_id

OPERATOR = RingKey("anna", "command", b"o" * 32, (("nord", "gw-17", "lamp7"), ("sued", "*", "pump")), 2_000)
COLLECTOR = RingKey("collector", "acknowledge", b"c" * 32)
RING = Keyring(7, 1_000, (OPERATOR, COLLECTOR))


@pytest.fixture(scope="module")
def authority(key: SigningKey) -> PublicKey:
    """The pinned key."""
    return key.public(role="authority")


def test_keyring_comes_back(key: SigningKey, authority: PublicKey) -> None:
    assert Keyring.read(RING.sign(key), authority) == RING


def test_map_is_that_of_the_specification(key: SigningKey) -> None:
    assert cbor2.loads(cose.read(RING.sign(key)).payload) == {
        1: 1,
        2: 7,
        3: 1_000,
        4: [
            ["anna", "command", b"o" * 32, ["nord/gw-17/lamp7", "sued/*/pump"], 2_000],
            ["collector", "acknowledge", b"c" * 32, ["*"], 1 << 48],
        ],
    }


def test_only_the_authority_signs_one(key: SigningKey) -> None:
    with pytest.raises(SignatureError, match="role"):
        Keyring.read(RING.sign(key), key.public(role="command"))


def test_no_other_kind_passes_for_one(key: SigningKey, authority: PublicKey) -> None:
    payload = cose.read(RING.sign(key)).payload
    with pytest.raises(SignatureError):
        Keyring.read(cose.sign(payload, Kind.COMMAND, key), authority)


@pytest.mark.parametrize(
    ("place", "covered"),
    [
        (("nord", "gw-17"), True),
        (("nord", "gw-17", "lamp7", "level"), True),
        (("nord", "gw-17", "lamp8", "level"), False),
        (("nord", "gw-18"), False),
        (("sued", "gw-18", "pump", "enabled"), True),
        (("sued", "gw-18", "valve", "enabled"), False),
        (("west", "gw-17"), False),
    ],
)
def test_scope_says_where(place: tuple[str, ...], covered: bool) -> None:
    assert OPERATOR.covers(*place) is covered
    assert COLLECTOR.covers(*place)


@pytest.mark.parametrize("text", ["", "nord/", "a/b/c/d/e", "NORD", "nord/../x", "no rd", "**"])
def test_scope_that_is_none(text: str) -> None:
    with pytest.raises(BatchFormatError, match="scope"):
        parse_scope(text)


def test_key_is_found_by_id_and_role_until_it_ends() -> None:
    kid = key_id(b"o" * 32)
    assert RING.find(kid, "command", 1_999) is OPERATOR
    for wrong in ((kid, "command", 2_000), (kid, "configure", 0), (bytes(8), "command", 0)):
        with pytest.raises(NotAllowed) as refusal:
            RING.find(*wrong)
        assert refusal.value.reason == "key"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (1, 2, "version 2 is not known"),
        (2, 0, "number is not between"),
        (3, -1, "issued is not between"),
        (4, [["a", "batch", b"o" * 32, ["*"], FOREVER]], "not 'batch'"),
        (4, [["a", "authority", b"o" * 32, ["*"], FOREVER]], "not 'authority'"),
        (4, [["a", "command", b"o" * 31, ["*"], FOREVER]], "32 bytes"),
        (4, [["a", "command", b"o" * 32, [], FOREVER]], "scopes"),
        (4, [["a", "command", b"o" * 32, ["*"], FOREVER + 1]], "end of a key"),
        (4, [["", "command", b"o" * 32, ["*"], FOREVER]], "name of a key"),
        (4, [["a", "command", b"o" * 32, ["*"], 1], ["b", "command", b"o" * 32, ["*"], 2]], "twice"),
        (4, [["a", "command", b"o" * 32, ["*"]]], "array of 5"),
        (4, [["a", "command", bytes([n]) * 32, ["*"], 1] for n in range(65)], "at most 64"),
    ],
)
def test_what_is_no_keyring(key: SigningKey, authority: PublicKey, field: int, value: Any, message: str) -> None:
    items = cbor2.loads(cose.read(RING.sign(key)).payload) | {field: value}
    signed = cose.sign(cbor2.dumps(items), Kind.KEYRING, key)
    with pytest.raises(BatchFormatError, match=message):
        Keyring.read(signed, authority)


def test_nothing_wrong_is_signed(key: SigningKey) -> None:
    with pytest.raises(BatchFormatError):
        replace(RING, number=0).sign(key)
