"""COSE_Sign1 against published vectors, an independent Sig_structure, and every kind of broken message."""

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from buffer import cose
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.keys import PublicKey, SigningKey

# cose-wg/Examples, sign1-tests/sign-pass-02.json: protected, external_aad, payload, intermediates.ToBeSign_hex
SIGN_PASS_02 = (
    "a10126",
    "11aa22bb33cc44dd55006699",
    "546869732069732074686520636f6e74656e742e",
    "846a5369676e61747572653143a101264c11aa22bb33cc44dd5500669954546869732069732074686520636f6e74656e742e",
)
# cose-wg/Examples, eddsa-examples/eddsa-sig-01.json (the key is that of RFC 8032, 7.1, test 1): output.cbor
EDDSA_SIG_01 = (
    "d28445a201270300a10442313154546869732069732074686520636f6e74656e742e5840"
    "7142fd2ff96d56db85bee905a76ba1d0b7321a95c8c4d3607c5781932b7afb87"
    "11497dfa751bf40b58b3bcc32300b1487f3db34085eef013bf08f4a44d6fef0d"
)


def plain_head(major: int, length: int) -> bytes:
    """RFC 8949, 3, written out again."""
    if length <= 23:
        return bytes([(major << 5) + length])
    if length <= 0xFF:
        return bytes([(major << 5) + 24, length])
    return bytes([(major << 5) + 25]) + length.to_bytes(2, "big")


def plain_sig_structure(protected: bytes, aad: bytes, payload: bytes) -> bytes:
    """RFC 9052, 4.4, without a library."""
    parts = [bytes([0x84]), bytes([0x6A]), b"Signature1"]
    for part in (protected, aad, payload):
        parts += [plain_head(2, len(part)), part]
    return b"".join(parts)


def test_sig_structure_of_the_cose_working_group() -> None:
    protected, aad, payload, expected = (bytes.fromhex(text) for text in SIGN_PASS_02)
    assert cose.to_be_signed(protected, aad, payload) == expected


def test_eddsa_signature_of_the_cose_working_group(key: SigningKey) -> None:
    protected, _, payload, signature = cbor2.loads(bytes.fromhex(EDDSA_SIG_01)).value
    assert key.sign(cose.to_be_signed(protected, b"", payload)) == signature


@given(payload=st.binary(max_size=600), kind=st.sampled_from(Kind))
def test_signature_covers_an_independent_sig_structure(key: SigningKey, payload: bytes, kind: Kind) -> None:
    message = cose.sign(payload, kind, key)
    protected, unprotected, found, signature = cbor2.loads(message).value
    assert (unprotected, found) == ({}, payload)
    assert cbor2.loads(protected) == {1: -8, 4: key.kid}
    aad = {
        "batch": b"lamppost/1/batch",
        "catalogue": b"lamppost/1/catalogue",
        "ack": b"lamppost/1/ack",
        "keyring": b"lamppost/1/keyring",
        "command": b"lamppost/1/command",
        "configuration": b"lamppost/1/configuration",
        "schedule": b"lamppost/1/schedule",
        "enrolment": b"lamppost/1/enrolment",
        "voucher": b"lamppost/1/voucher",
        "resend": b"lamppost/1/resend",
        "update": b"lamppost/1/update",
        "commissioning": b"lamppost/1/commissioning",
    }[kind.value]
    public = Ed25519PublicKey.from_public_bytes(key.public("g", "s").raw)
    public.verify(signature, plain_sig_structure(protected, aad, payload))


def test_message_is_what_a_library_would_write(key: SigningKey) -> None:
    message = cose.sign(b"payload", Kind.BATCH, key)
    envelope = cose.read(message)
    again = cbor2.CBORTag(18, [envelope.protected, {}, envelope.payload, envelope.signature])
    assert cbor2.dumps(again) == message


@pytest.mark.parametrize("kind", [Kind.CATALOGUE, Kind.ACK])
def test_no_kind_passes_for_another(key: SigningKey, public: PublicKey, kind: Kind) -> None:
    with pytest.raises(SignatureError):
        cose.verify(cose.sign(b"payload", kind, key), Kind.BATCH, public)


def test_a_key_of_another_role_is_not_believed(key: SigningKey) -> None:
    with pytest.raises(SignatureError, match="role 'batch', not 'acknowledge'"):
        cose.verify(cose.sign(b"x", Kind.BATCH, key), Kind.BATCH, key.public("gw-0017", "nord", "acknowledge"))


def test_another_key_is_named(key: SigningKey, public: PublicKey, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = SigningKey.create(tmp_path_factory.mktemp("other") / "key")
    with pytest.raises(SignatureError, match=f"names key {other.kid.hex()}"):
        cose.verify(cose.sign(b"x", Kind.BATCH, other), Kind.BATCH, public)


def test_every_altered_byte_is_refused(key: SigningKey, public: PublicKey) -> None:
    message = cose.sign(b"a payload of more than 23 bytes, so that its head is long", Kind.BATCH, key)
    for at in range(len(message)):
        for bit in (1, 0x80):
            altered = message[:at] + bytes([message[at] ^ bit]) + message[at + 1 :]
            with pytest.raises((SignatureError, BatchFormatError)):
                cose.verify(altered, Kind.BATCH, public)


def test_every_cut_is_refused(key: SigningKey) -> None:
    message = cose.sign(b"payload", Kind.BATCH, key)
    for end in range(len(message)):
        with pytest.raises(BatchFormatError):
            cose.read(message[:end])


def reencoded(key: SigningKey) -> list[tuple[str, bytes]]:
    """The same content and signature in other encodings of CBOR."""
    e = cose.read(cose.sign(b"payload", Kind.BATCH, key))
    fields = [e.protected, {}, e.payload, e.signature]
    short = b"\x47payload"
    message = cbor2.dumps(cbor2.CBORTag(18, fields))
    return [
        ("untagged", cbor2.dumps(fields)),
        ("long tag", b"\xd8\x12" + message[1:]),
        ("long array head", message[:1] + b"\x98\x04" + message[2:]),
        ("long payload head", message.replace(short, b"\x58\x07payload")),
        ("longer payload head", message.replace(short, b"\x5b" + (7).to_bytes(8, "big") + b"payload")),
        ("indefinite payload", message.replace(short, b"\x5f\x47payload\xff")),
        ("indefinite array", message[:1] + b"\x9f" + message[2:] + b"\xff"),
        ("something unprotected", cbor2.dumps(cbor2.CBORTag(18, [e.protected, {4: b"x"}, e.payload, e.signature]))),
        ("something behind", message + b"\0"),
        ("no payload", cbor2.dumps(cbor2.CBORTag(18, [e.protected, {}, None, e.signature]))),
        ("text payload", cbor2.dumps(cbor2.CBORTag(18, [e.protected, {}, "payload", e.signature]))),
        ("short signature", cbor2.dumps(cbor2.CBORTag(18, [e.protected, {}, e.payload, e.signature[:-1]]))),
        ("other algorithm", cbor2.dumps(cbor2.CBORTag(18, [b"\xa2\x01\x26\x04\x48" + e.kid, {}, b"", e.signature]))),
        ("long kid", cbor2.dumps(cbor2.CBORTag(18, [e.protected + b"\0", {}, b"", e.signature]))),
    ]


def test_no_other_encoding_is_accepted(key: SigningKey) -> None:
    for what, message in reencoded(key):
        with pytest.raises(BatchFormatError):
            pytest.fail(f"{what}: {cose.read(message)}")


def test_too_large_is_refused_both_ways(key: SigningKey) -> None:
    with pytest.raises(BatchFormatError, match="over the limit"):
        cose.sign(bytes(cose.MAX_MESSAGE_BYTES), Kind.BATCH, key)
    with pytest.raises(BatchFormatError, match="over the limit"):
        cose.read(bytes(cose.MAX_MESSAGE_BYTES + 1))


@given(st.binary(max_size=300))
def test_noise_is_a_format_error(data: bytes) -> None:
    with pytest.raises(BatchFormatError):
        cose.read(data)
    with pytest.raises(BatchFormatError):
        cose.read(cose.PREFIX + data)
