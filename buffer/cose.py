"""COSE_Sign1 (RFC 9052, 4.2) with EdDSA: exactly one encoding of each message is accepted.

Another encoding of the same content would have the same signature and another hash: whoever carries a message could
make a fork of it.
"""

from dataclasses import dataclass
from enum import StrEnum

import cbor2

from buffer.errors import BatchFormatError, SignatureError
from buffer.keys import KID_BYTES, SIGNATURE_BYTES, PublicKey, SigningKey

MAX_MESSAGE_BYTES = 1 << 20  # what one MQTT message may ask a collector to hold in memory
AAD_PREFIX = b"lamppost/1/"
PREFIX = b"\xd2\x84"  # tag 18 (COSE_Sign1, RFC 9052 table 1), array of four
PROTECTED_START = b"\xa2\x01\x27\x04\x48"  # {1: -8, 4: 8 bytes}: alg EdDSA (RFC 9053, 2.2), kid (RFC 9052, 3.1)
PROTECTED_BYTES = len(PROTECTED_START) + KID_BYTES
NO_UNPROTECTED = b"\xa0"
BYTE_STRING = 2  # CBOR major type (RFC 8949, 3.1)
ARRAY = 4


class Kind(StrEnum):
    """What is signed; part of what the signature covers, so that no kind passes for another."""

    BATCH = "batch"
    CATALOGUE = "catalogue"
    ACK = "ack"
    KEYRING = "keyring"
    COMMAND = "command"
    CONFIGURATION = "configuration"
    SCHEDULE = "schedule"
    ENROLMENT = "enrolment"
    VOUCHER = "voucher"
    UPDATE = "update"
    RESEND = "resend"
    COMMISSIONING = "commissioning"


ROLE = {
    Kind.BATCH: "batch",
    Kind.CATALOGUE: "batch",
    Kind.ACK: "acknowledge",
    Kind.KEYRING: "authority",
    Kind.COMMAND: "command",
    Kind.CONFIGURATION: "configure",
    Kind.SCHEDULE: "command",
    Kind.ENROLMENT: "batch",
    Kind.VOUCHER: "batch",
    Kind.UPDATE: "update",
    Kind.RESEND: "acknowledge",
    Kind.COMMISSIONING: "batch",
}
"""The role a key must have to sign a kind."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A COSE_Sign1 message taken apart; nothing in it is verified."""

    kid: bytes
    protected: bytes
    payload: bytes
    signature: bytes


def head(major: int, length: int) -> bytes:
    """The shortest CBOR head (RFC 8949, 3) of a byte string or array."""
    if length < 24:
        return bytes([major << 5 | length])
    size = 1 if length < 1 << 8 else 2 if length < 1 << 16 else 4
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26}[size]]) + length.to_bytes(size, "big")


def to_be_signed(protected: bytes, external_aad: bytes, payload: bytes) -> bytes:
    """The Sig_structure of COSE_Sign1 (RFC 9052, 4.4)."""
    return cbor2.dumps(["Signature1", protected, external_aad, payload])


def protected_header(kid: bytes) -> bytes:
    """The serialized protected header of a message signed by the key `kid`."""
    return PROTECTED_START + kid


def assemble(kid: bytes, payload: bytes, signature: bytes) -> bytes:
    """The one encoding of a message."""
    protected = protected_header(kid)
    return b"".join(
        (
            PREFIX,
            head(BYTE_STRING, len(protected)),
            protected,
            NO_UNPROTECTED,
            head(BYTE_STRING, len(payload)),
            payload,
            head(BYTE_STRING, len(signature)),
            signature,
        )
    )


def signature_of(payload: bytes, kind: Kind, key: SigningKey) -> bytes:
    """The signature that `sign` puts into the message."""
    return key.sign(to_be_signed(protected_header(key.kid), AAD_PREFIX + kind.encode(), payload))


def sign(payload: bytes, kind: Kind, key: SigningKey) -> bytes:
    """The complete message; raises `BatchFormatError` when it would be larger than `MAX_MESSAGE_BYTES`."""
    message = assemble(key.kid, payload, signature_of(payload, kind, key))
    if len(message) > MAX_MESSAGE_BYTES:
        raise BatchFormatError(f"a {kind} of {len(message)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    return message


def read(message: bytes) -> Envelope:
    """Take a message apart, verifying nothing; raises `BatchFormatError`."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise BatchFormatError(f"a message of {len(message)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    if not message.startswith(PREFIX):
        raise BatchFormatError("not a COSE_Sign1 message: it does not begin with tag 18 and an array of four")
    protected, at = _byte_string(message, len(PREFIX), "protected header")
    if len(protected) != PROTECTED_BYTES or not protected.startswith(PROTECTED_START):
        raise BatchFormatError(f"the protected header is not {{alg: EdDSA, kid: {KID_BYTES} bytes}}")
    if message[at : at + 1] != NO_UNPROTECTED:
        raise BatchFormatError("the unprotected header is not an empty map")
    payload, at = _byte_string(message, at + 1, "payload")
    signature, at = _byte_string(message, at, "signature")
    if len(signature) != SIGNATURE_BYTES:
        raise BatchFormatError(f"the signature has {len(signature)} bytes, not {SIGNATURE_BYTES}")
    if at != len(message):
        raise BatchFormatError(f"{len(message) - at} bytes follow the message")
    return Envelope(protected[len(PROTECTED_START) :], protected, payload, signature)


def verify(message: bytes, kind: Kind, key: PublicKey) -> bytes:
    """The payload of a message of `kind` signed by `key`; raises `BatchFormatError` or `SignatureError`."""
    return verify_envelope(read(message), kind, key)


def verify_envelope(envelope: Envelope, kind: Kind, key: PublicKey) -> bytes:
    """The payload, when `key` signed it as `kind`; raises `SignatureError`."""
    if key.role != ROLE[kind]:
        raise SignatureError(f"a {kind} is signed by a key of role {ROLE[kind]!r}, not {key.role!r}")
    if envelope.kid != key.kid:
        raise SignatureError(f"the {kind} names key {envelope.kid.hex()}, not {key.kid.hex()}")
    key.verify(envelope.signature, to_be_signed(envelope.protected, AAD_PREFIX + kind.encode(), envelope.payload))
    return envelope.payload


def _byte_string(message: bytes, at: int, what: str) -> tuple[bytes, int]:
    """The byte string that begins at `at`, and where the next item begins."""
    first = message[at] if at < len(message) else 0
    size = {24: 1, 25: 2, 26: 4}.get(first & 0x1F, 0)
    length = int.from_bytes(message[at + 1 : at + 1 + size], "big") if size else first & 0x1F
    start = at + 1 + size
    if message[at:start] != head(BYTE_STRING, length):
        raise BatchFormatError(f"the {what} is not a byte string with a shortest definite length")
    if start + length > len(message):
        raise BatchFormatError(f"the {what} is cut short: {length} bytes announced, {len(message) - start} there")
    return message[start : start + length], start + length
