"""What is refused before anything is looked at further, and that nothing bad is ever obeyed. No I/O."""

from dataclasses import replace
from decimal import Decimal

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import cose
from buffer.command import MAX_LIFE_MS, Command, Write
from buffer.cose import Kind
from buffer.errors import NotAllowed
from buffer.keyring import Keyring, RingKey, parse_scope
from buffer.keys import SigningKey
from gateway.commands.judge import EARLY_MS, Here, Moment, authorise, verify

NOW = 1_790_000_000_000
STREAM = bytes(range(16))
HERE = Here("gw-1", "nord", STREAM)
GOOD = Moment(NOW, answered=True)
OPERATOR, COLLECTOR, LIMITED, ENDED, STRANGER = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(5))


def ring_key(name: str, role: str, key: SigningKey, *scopes: str, ends: int = NOW * 2) -> RingKey:
    found = tuple(parse_scope(scope) for scope in scopes) or (("*",),)
    return RingKey(name, role, key.public("", "", role).raw, found, ends)


RING = Keyring(
    3,
    NOW,
    (
        ring_key("anna", "command", OPERATOR),
        ring_key("collector", "acknowledge", COLLECTOR),
        ring_key("ben", "command", LIMITED, "nord/gw-1/lamp7", "sued"),
        ring_key("cleo", "command", ENDED, ends=NOW - 1),
    ),
)
COMMAND = Command("gw-1", STREAM, 5, NOW - 1000, NOW + 60_000, (Write("lamp7/level", Decimal(40)),), "Anna", "test")


def judged(message: bytes, ring: Keyring | None = RING, moment: Moment = GOOD, *, retained: bool = False) -> str:
    """The reason of the refusal; "" when it may be done."""
    try:
        authorise(verify(message, ring, retained=retained), HERE, moment)
    except NotAllowed as error:
        return error.reason
    return ""


def test_a_good_command_may_be_done() -> None:
    assert judged(COMMAND.sign(OPERATOR)) == ""
    assert judged(COMMAND.sign(LIMITED)) == ""
    assert verify(COMMAND.sign(OPERATOR), RING, retained=False).command == COMMAND


@pytest.mark.parametrize(
    ("reason", "command", "key"),
    [
        ("addressee", replace(COMMAND, gateway="gw-2"), OPERATOR),
        ("stream", replace(COMMAND, stream=bytes(16)), OPERATOR),
        ("expired", replace(COMMAND, issued_ms=NOW - 9, expires_ms=NOW), OPERATOR),
        ("early", replace(COMMAND, issued_ms=NOW + EARLY_MS + 1, expires_ms=NOW + MAX_LIFE_MS), OPERATOR),
        ("key", COMMAND, ENDED),
        ("key", COMMAND, STRANGER),
        ("role", COMMAND, COLLECTOR),
        ("scope", replace(COMMAND, writes=(*COMMAND.writes, Write("lamp8/level", Decimal(1)))), LIMITED),
    ],
)
def test_each_thing_that_is_wrong_has_its_word(reason: str, command: Command, key: SigningKey) -> None:
    assert judged(command.sign(key)) == reason


def test_what_the_gateway_does_not_know_is_refused() -> None:
    message = COMMAND.sign(OPERATOR)
    assert judged(message, None) == "key"
    assert judged(message, moment=Moment(NOW, answered=False)) == "waiting"
    assert judged(message, moment=Moment(None, answered=True)) == "clock"
    assert judged(message, retained=True) == "retained"
    assert judged(message, moment=Moment(NOW + 60_000, answered=True)) == "expired"
    assert judged(message, moment=Moment(NOW + 59_999, answered=True)) == ""


def test_no_other_kind_passes_for_a_command() -> None:
    payload = cose.read(COMMAND.sign(OPERATOR)).payload
    for kind in set(Kind) - {Kind.COMMAND}:
        assert judged(cose.sign(payload, kind, OPERATOR)) == "signature"
