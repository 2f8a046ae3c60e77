"""The example of docs/format.md, taken apart by cbor2 and cryptography alone, and made again by ours."""

import hashlib
import re
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from buffer import batch
from buffer.keys import PublicKey, SigningKey
from tests.buffer.support import header

TEXT = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
# RFC 8032, 7.1, test 1
RAW = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def example() -> bytes:
    found = re.search(r"```message\n([0-9a-f\s]+)```", TEXT)
    assert found
    return bytes.fromhex(found[1])


def test_the_example_is_what_the_specification_says() -> None:
    tag = cbor2.loads(example())
    protected, unprotected, payload, signature = tag.value
    assert (tag.tag, unprotected) == (18, {})
    assert cbor2.loads(protected) == {1: -8, 4: hashlib.sha256(RAW).digest()[:8]}
    signed = cbor2.dumps(["Signature1", protected, b"lamppost/1/batch", payload])
    Ed25519PublicKey.from_public_bytes(RAW).verify(signature, signed)
    assert hashlib.sha256(example()).hexdigest() in TEXT
    found, block = cbor2.loads(payload)
    assert block == b"\x01\x00"
    assert found == {
        1: 1, 2: 1, 3: "gw-0017", 4: bytes(16), 5: 1, 6: bytes(32), 7: bytes(16), 8: 1_700_000_000_000, 9: 2,
        10: b"\x07" * 32, 11: 1, 12: 1, 13: 10, 14: 10,
    }  # fmt: skip


def test_the_example_is_ours(key: SigningKey, public: PublicKey) -> None:
    made = header(boot=bytes(16), samples=1, first_ms=10, last_ms=10)
    assert batch.encode(made, [b"\x01\x00"], key) == example()
    assert batch.decode(example(), public).header == made
