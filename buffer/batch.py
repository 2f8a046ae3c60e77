"""A batch on the wire: `COSE_Sign1` over the CBOR array [header, block, block ...]."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from buffer import cbor, cose
from buffer import header as headers
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.header import Header
from buffer.keys import PublicKey, SigningKey

MAX_BATCH_BYTES = cose.MAX_MESSAGE_BYTES
TARGET_BATCH_BYTES = 64_000  # of blocks, when a batch is sealed by default: small on a slow link, large for the codec
MAX_BLOCKS = 65_536  # a batch of an hour at a commit a second has 3,600
MAX_BLOCK_BYTES = MAX_BATCH_BYTES - headers.MAX_HEADER_BYTES - 1024  # leaves room for header, signature and heads


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch: every field of the header is in range, the blocks are not decoded. From `decode`, it is verified."""

    header: Header
    blocks: tuple[bytes, ...]
    hash: bytes


def batch_hash(message: bytes) -> bytes:
    """SHA-256 of the complete COSE bytes: what the chain and acknowledgements name."""
    return hashlib.sha256(message).digest()


def payload(header: bytes, blocks: Sequence[bytes]) -> bytes:
    """What is signed, from an encoded header and the blocks."""
    parts: list[bytes] = [cose.head(cose.ARRAY, len(blocks) + 1), header]
    for block in blocks:
        parts += (cose.head(cose.BYTE_STRING, len(block)), block)
    return b"".join(parts)


def encode(header: Header, blocks: Iterable[bytes], key: SigningKey) -> bytes:
    """The signed message; raises `BatchFormatError` when a field or the whole is out of range."""
    return cose.sign(payload(header.encode(), tuple(blocks)), header.kind, key)


def decode(message: bytes, key: PublicKey) -> Batch:
    """Verify, then parse; raises `SignatureError` or `BatchFormatError`."""
    envelope = cose.read(message)
    kind = _signed_kind(envelope, key)
    batch = _parse(message, envelope)
    if batch.header.kind is not kind:
        raise BatchFormatError(f"signed as {kind}, but the header says {batch.header.kind}")
    if batch.header.gateway != key.gateway:
        raise BatchFormatError(f"the header names gateway {batch.header.gateway!r}, the key belongs to {key.gateway!r}")
    return batch


def parse(message: bytes) -> Batch:
    """As `decode`, but whose it is nobody has verified: for one's own file. Raises `BatchFormatError`."""
    return _parse(message, cose.read(message))


def _parse(message: bytes, envelope: cose.Envelope) -> Batch:
    items = cbor.array(cbor.loads(envelope.payload, "the payload"), "the payload", MAX_BLOCKS + 1)
    if not items:
        raise BatchFormatError("the payload has no header")
    header = headers.decode(items[0])
    if header.samples and len(items) == 1:
        raise BatchFormatError(f"{header.samples} samples but no block")
    blocks = tuple(cbor.octets(block, "a block", limit=MAX_BATCH_BYTES) for block in items[1:])
    return Batch(header, blocks, batch_hash(message))


def _signed_kind(envelope: cose.Envelope, key: PublicKey) -> Kind:
    try:
        cose.verify_envelope(envelope, Kind.BATCH, key)
    except SignatureError as error:
        try:
            cose.verify_envelope(envelope, Kind.CATALOGUE, key)
        except SignatureError:
            raise error from None
        return Kind.CATALOGUE
    return Kind.BATCH
