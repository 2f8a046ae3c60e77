"""Acknowledgements, good and bad."""

from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer import ack, cose
from buffer.ack import Ack
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.keys import PublicKey, SigningKey
from tests.buffer.support import GATEWAY

HASH = st.binary(min_size=32, max_size=32).filter(any)
NUMBER = st.integers(1, (1 << 63) - 1)
RANGE = st.tuples(st.lists(NUMBER, min_size=2, max_size=2).map(sorted), HASH).map(lambda r: (*r[0], r[1]))
GOOD = Ack(
    GATEWAY, bytes(16), 9, b"h" * 32, ((11, 12, b"i" * 32),), (b"w" * 32,), ((10, "broken"),), 1_800_000_000_000, 12
)


@pytest.fixture(scope="module")
def platform(key: SigningKey) -> PublicKey:
    """The platform's public key."""
    return key.public(role="acknowledge")


@given(
    ranges=st.lists(RANGE, max_size=4),
    want=st.lists(HASH, max_size=3),
    refused=st.lists(st.tuples(NUMBER, st.text(min_size=1, max_size=200)), max_size=3),
    numbers=st.tuples(NUMBER, st.integers(0, 1 << 48), st.integers(0, (1 << 63) - 1)),
)
def test_acknowledgement_comes_back(
    key: SigningKey, platform: PublicKey, ranges: Any, want: Any, refused: Any, numbers: Any
) -> None:
    cumulative, time, answers = numbers
    made = Ack(
        GATEWAY,
        bytes(16),
        cumulative,
        b"h" * 32,
        tuple(ranges),
        tuple(want),
        tuple(refused),
        time=time,
        answers=answers,
    )
    assert ack.read(made.sign(key), platform) == made


def test_nothing_stored_yet_is_an_acknowledgement(key: SigningKey, platform: PublicKey) -> None:
    made = Ack(GATEWAY, bytes(16), 0)
    assert ack.read(made.sign(key), platform) == made


def test_map_is_that_of_the_specification(key: SigningKey) -> None:
    assert cbor2.loads(cose.read(GOOD.sign(key)).payload) == {
        1: 1,
        2: "gw-0017",
        3: bytes(16),
        4: 9,
        5: b"h" * 32,
        6: [[11, 12, b"i" * 32]],
        7: [b"w" * 32],
        8: [[10, "broken"]],
        9: 1_800_000_000_000,
        10: 12,
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (1, 2, "acknowledgement version 2 is not known"),
        (2, "GW", "gateway is not 1 to 32 of"),
        (3, b"", "stream is not 16 bytes"),
        (4, -1, "cumulative is not between 0"),
        (4, 0, "cumulative 0 with hash 68"),
        (5, bytes(32), "cumulative 9 with hash 00"),
        (5, b"h", "hash is not 32 bytes"),
        (6, [[1, 2]], "a range is not an array of 3"),
        (6, [[3, 2, bytes(32)]], "last of a range is not between 3"),
        (6, [[0, 2, bytes(32)]], "first of a range is not between 1"),
        (6, [[1, 2, b""]], "hash of a range is not 32 bytes"),
        (6, [0] * 257, "ranges is not an array of at most 256"),
        (7, [b""], "want is not 32 bytes"),
        (7, [0] * 65, "want is not an array of at most 64"),
        (8, [[0, "x"]], "number of a refusal is not between 1"),
        (8, [[1, ""]], "reason of a refusal is not 1 to 200"),
        (8, [0] * 257, "refused is not an array of at most 256"),
        (9, -1, "time is not between 0"),
        (10, "1", "answers is not an integer"),
        (11, 0, r"unknown keys \[11\]"),
    ],
)
def test_bad_fields_are_named(key: SigningKey, platform: PublicKey, field: int, value: object, message: str) -> None:
    items = cbor2.loads(cose.read(GOOD.sign(key)).payload) | {field: value}
    with pytest.raises(BatchFormatError, match=message):
        ack.read(cose.sign(cbor2.dumps(items), Kind.ACK, key), platform)


def test_what_no_gateway_would_take_is_not_signed(key: SigningKey) -> None:
    with pytest.raises(BatchFormatError, match="cumulative 0 with hash"):
        replace(GOOD, cumulative=0).sign(key)


def test_a_batch_key_signs_no_acknowledgement(key: SigningKey, public: PublicKey, platform: PublicKey) -> None:
    with pytest.raises(SignatureError, match="role"):
        ack.read(GOOD.sign(key), public)
    with pytest.raises(SignatureError):
        ack.read(cose.sign(b"\xa0", Kind.BATCH, key), platform)
