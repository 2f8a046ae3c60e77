"""One message from the broker: verified and taken apart, or the reason why it is not taken. Nothing is written here."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from buffer import batch as batches
from buffer import catalogue, cbor, cose
from buffer.batch import MAX_BATCH_BYTES, Batch, batch_hash
from buffer.catalogue import SeriesEntry
from buffer.cose import Envelope, Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.header import STREAM_BYTES
from buffer.keys import PublicKey
from collector.identity.registry import Keys
from collector.receiving.chain import Stream
from ext import Columns, FormatError, unpack_columns

MAX_TOPIC = 1024  # characters; ours have under 150


class Reason(StrEnum):
    """Why a message is not taken; the first word of `refused.reason`."""

    TOPIC = "topic"
    OVERSIZE = "oversize"
    FORMAT = "format"
    UNKNOWN_KEY = "unknown-key"
    REVOKED_KEY = "revoked-key"
    SIGNATURE = "signature"
    CONTENT = "content"
    SAMPLES = "samples"
    CATALOGUE = "catalogue"
    FORK = "fork"
    FORKED = "forked-stream"


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker delivered."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """Which batch a message with a valid signature says it is."""

    at: Stream
    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A verified batch with its samples, or with the lines of its catalogue."""

    message: Message
    key: PublicKey
    batch: Batch
    columns: Columns | None
    entries: Sequence[SeriesEntry]

    @property
    def identity(self) -> Identity:
        """Gateway, stream, number and hash."""
        header = self.batch.header
        return Identity(Stream(header.gateway, header.stream.hex()), header.number, self.batch.hash.hex())


class Refusal(Exception):
    """A message is not taken. `identity` and `key` are set when its signature is valid."""

    def __init__(
        self, reason: Reason, detail: str, key: PublicKey | None = None, identity: Identity | None = None
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.key = key
        self.identity = identity


def examine(message: Message, root: str, keys: Keys) -> Accepted:
    """Verify a message, then parse it; raises Refusal."""
    site, gateway = _place_of(message.topic, root)
    if len(message.payload) > MAX_BATCH_BYTES:
        raise Refusal(Reason.OVERSIZE, f"{len(message.payload)} bytes are over {MAX_BATCH_BYTES}")
    try:
        envelope = cose.read(message.payload)
    except BatchFormatError as error:
        raise Refusal(Reason.FORMAT, str(error)) from error
    key = _valid_key(envelope.kid, keys)
    try:
        batch = batches.decode(message.payload, key)
    except SignatureError as error:
        raise Refusal(Reason.SIGNATURE, str(error)) from error
    except BatchFormatError as error:
        raise Refusal(Reason.CONTENT, str(error), key, _identity(message.payload, envelope, key)) from error
    if gateway != key.gateway:
        raise Refusal(Reason.TOPIC, f"{key.gateway} sent on the topic of {gateway}")
    if site != key.site:  # the answer goes to the site of the registry, where this gateway does not listen
        raise Refusal(Reason.TOPIC, f"{key.gateway} sent as of site {site}, and is known as of site {key.site}")
    return parse(message, key, batch)


def parse(message: Message, key: PublicKey, batch: Batch) -> Accepted:
    """Decode the blocks of a verified batch; raises Refusal."""
    accepted = Accepted(message, key, batch, None, ())
    try:
        if batch.header.kind is Kind.CATALOGUE:
            return Accepted(message, key, batch, None, catalogue.decode(batch.blocks))
        columns = unpack_columns(batch.blocks)
    except BatchFormatError as error:
        raise Refusal(Reason.CATALOGUE, str(error), key, accepted.identity) from error
    except FormatError as error:
        raise Refusal(Reason.SAMPLES, str(error), key, accepted.identity) from error
    if len(columns) != batch.header.samples:
        detail = f"{len(columns)} in the blocks, {batch.header.samples} in the header"
        raise Refusal(Reason.SAMPLES, detail, key, accepted.identity)
    times = columns.boot_ms
    if len(columns) and not (min(times) >= 0 and max(times) <= cbor.MAX_MS):
        raise Refusal(Reason.SAMPLES, "a time is out of range", key, accepted.identity)
    return Accepted(message, key, batch, columns, ())


def _place_of(topic: str, root: str) -> tuple[str, str]:
    """Site and gateway in `<root>/v1/<site>/<gateway>/batch`."""
    start = f"{root}/v1/"
    parts = topic[len(start) :].split("/")
    if len(topic) > MAX_TOPIC or not topic.startswith(start) or len(parts) != 3 or parts[2] != "batch":
        raise Refusal(Reason.TOPIC, "not one of batches")
    return parts[0], parts[1]


def _valid_key(kid: bytes, keys: Keys) -> PublicKey:
    found = keys.find(kid)
    if found is None:
        raise Refusal(Reason.UNKNOWN_KEY, kid.hex())
    key, valid = found
    if not valid:
        raise Refusal(Reason.REVOKED_KEY, f"{kid.hex()} of {key.gateway}")
    return key


def _identity(payload: bytes, envelope: Envelope, key: PublicKey) -> Identity | None:
    """Who a signed message says it is, though the rest of it cannot be read (another version, a bad field)."""
    try:
        header = cbor.loads(envelope.payload, "the payload")[0]
        gateway, stream, number = header[3], header[4], header[5]
    except (BatchFormatError, LookupError, TypeError):
        return None
    if gateway != key.gateway or type(stream) is not bytes or len(stream) != STREAM_BYTES:
        return None
    if type(number) is not int or not 1 <= number <= cbor.MAX_NUMBER:
        return None
    return Identity(Stream(gateway, stream.hex()), number, batch_hash(payload).hex())
