"""The request for batches of the history: signed, bounded, and for one purpose only."""

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import cose
from buffer.ack import Ack
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.keys import SigningKey
from buffer.resend import MAX_LIFE_MS, MAX_RANGES, Resend

KEY = SigningKey(Ed25519PrivateKey.generate())
PUBLIC = KEY.public(role="acknowledge")
ITEMS = {1: 1, 2: "gw-1", 3: bytes(16), 4: [[1, 5], [9, 9]], 5: 1000, 6: 2000}


def test_round_trip() -> None:
    request = Resend("gw-1", bytes(16), ((1, 5), (9, 9)), 1000, 2000)
    assert Resend.read(request.sign(KEY), PUBLIC) == request
    assert cbor2.loads(cose.read(request.sign(KEY)).payload) == ITEMS


def test_no_acknowledgement_passes_for_one() -> None:
    with pytest.raises(SignatureError):
        Resend.read(Ack("gw-1", bytes(16), 0).sign(KEY), PUBLIC)
    with pytest.raises(SignatureError):
        Resend.read(cose.sign(cbor2.dumps(ITEMS), Kind.ACK, KEY), PUBLIC)
    with pytest.raises(SignatureError):
        Resend.read(cose.sign(cbor2.dumps(ITEMS), Kind.RESEND, SigningKey(Ed25519PrivateKey.generate())), PUBLIC)


@pytest.mark.parametrize(
    "changed",
    [
        {1: 2},
        {2: "GW"},
        {3: bytes(15)},
        {4: []},
        {4: [[0, 5]]},
        {4: [[5, 4]]},
        {4: [[1, 5, 6]]},
        {4: [[1, True]]},
        {4: [[1, 1]] * (MAX_RANGES + 1)},
        {6: 1000},
        {6: 1001 + MAX_LIFE_MS},
        {7: 1},
    ],
)
def test_what_is_none_is_refused(changed: dict[int, object]) -> None:
    with pytest.raises(BatchFormatError):
        Resend.read(cose.sign(cbor2.dumps({**ITEMS, **changed}), Kind.RESEND, KEY), PUBLIC)


def test_the_largest_is_read() -> None:
    spans = tuple((2**53 - 2, 2**53 - 1) for _ in range(MAX_RANGES))
    request = Resend("g" * 32, bytes(16), spans, 2**40, 2**40 + MAX_LIFE_MS)
    assert Resend.read(request.sign(KEY), PUBLIC) == request
    with pytest.raises(BatchFormatError):
        Resend.read(bytes(20_000), PUBLIC)
