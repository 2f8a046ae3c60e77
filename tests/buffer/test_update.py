"""The file of an update: who may sign it, and that every change of it is seen."""

import hashlib
import io
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import update
from buffer.errors import BatchFormatError, BufferFault, NotAllowed, SignatureError
from buffer.keyring import FOREVER, Keyring, RingKey
from buffer.keys import SigningKey
from buffer.update import MAX_MANIFEST, MAX_PACKAGE, Manifest

DEB = b"!<arch>\n" + bytes(range(256)) * 9
HASH = hashlib.sha256(DEB).digest()
MANIFEST = Manifest("1.2.0", "arm64", len(DEB), HASH, "1.1.0", 1000)
NOW = 5000


def key() -> SigningKey:
    """The same in each process: its signatures are in the names of tests."""
    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))


SIGNER = key()


def ring(role: str = "update", scope: tuple[str, ...] = ("nord",), ends: int = FOREVER) -> Keyring:
    return Keyring(3, 100, (RingKey("builder", role, SIGNER.public(role=role).raw, (scope,), ends),))


def read(message: bytes, of: Keyring) -> Manifest:
    return Manifest.read(message, of, NOW, "nord", "gw-1")[0]


def test_a_key_of_the_role_signs_for_the_gateways_of_its_scopes() -> None:
    assert read(MANIFEST.sign(SIGNER), ring()) == MANIFEST


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (ring("configure"), "no key .* of role update"),
        (ring(ends=NOW), "has ended"),
        (ring(scope=("sued",)), "may not update nord/gw-1"),
        (Keyring(3, 100, ()), "no key"),
    ],
)
def test_every_other_key_is_refused(of: Keyring, why: str) -> None:
    with pytest.raises(NotAllowed, match=why):
        read(MANIFEST.sign(SIGNER), of)


def test_another_kind_or_a_changed_bit_is_refused() -> None:
    message = MANIFEST.sign(SIGNER)
    for at in range(len(message)):
        with pytest.raises(BufferFault):
            read(message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :], ring())
    other = ring().sign(SIGNER)  # a keyring, by the same key
    with pytest.raises(SignatureError):
        read(other, ring())


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": ""}, {"version": "1:2.0"}, {"version": "1.0; reboot"}, {"version": "9" * 65}, {"floor": "../x"},
        {"floor": "9-"},
        {"architecture": "AMD64"}, {"size": 0}, {"size": MAX_PACKAGE + 1}, {"sha256": bytes(31)}, {"issued_ms": -1},
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_not_signed(wrong: dict[str, object]) -> None:
    with pytest.raises(BatchFormatError):
        replace(MANIFEST, **wrong).sign(SIGNER)  # type: ignore[arg-type]


def file(package: bytes = DEB) -> bytes:
    made = io.BytesIO()
    update.write(made, MANIFEST.sign(SIGNER), io.BytesIO(package))
    return made.getvalue()


def taken(data: bytes) -> bytes:
    source = io.BytesIO(data)
    manifest = Manifest.peek(update.read_manifest(source))
    return b"".join(update.pieces(source, manifest))


def test_the_package_comes_out_as_it_went_in() -> None:
    assert taken(file()) == DEB


@pytest.mark.parametrize(
    "data",
    [
        b"", DEB, file()[:10], file()[:60], file()[:-1], file() + b"\0", file(DEB[:-1] + b"\0"),
        update.MAGIC + (MAX_MANIFEST + 1).to_bytes(4, "big") + bytes(MAX_MANIFEST + 1), update.MAGIC + bytes(4),
    ],
)  # fmt: skip
def test_what_is_cut_or_changed_is_refused(data: bytes) -> None:
    with pytest.raises(BatchFormatError):
        taken(data)
