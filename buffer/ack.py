"""The platform's signed acknowledgement: only it says that batches are stored (docs/format.md)."""

from dataclasses import dataclass
from typing import Any

import cbor2

from buffer import cbor, cose
from buffer.cose import Kind
from buffer.errors import BatchFormatError
from buffer.header import HASH_BYTES, MAX_REASON, NO_HASH, STREAM_BYTES, gateway_id
from buffer.keys import PublicKey, SigningKey

VERSION = 1
MAX_RANGES = 256  # islands behind the first gap; more wait for a later acknowledgement
MAX_WANT = 64
MAX_REFUSED = 256

Range = tuple[int, int, bytes]
"""First and last number of an island of stored batches, and the hash of the last."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Stored for good: numbers 1 to `cumulative` (0: none) and the `ranges`; each names the hash of its last batch.

    `want` are hashes of catalogues that the collector lacks, `refused` (number, reason) pairs, `time` the platform's
    clock in ms since the epoch when it answered the batch `answers` (0: none), `hash` zeros when cumulative is 0.
    """

    gateway: str
    stream: bytes
    cumulative: int
    hash: bytes = NO_HASH
    ranges: tuple[Range, ...] = ()
    want: tuple[bytes, ...] = ()
    refused: tuple[tuple[int, str], ...] = ()
    time: int = 0
    answers: int = 0

    def sign(self, key: SigningKey) -> bytes:
        """The message; raises `BatchFormatError` when a field is out of range."""
        items: dict[int, Any] = {
            1: VERSION,
            2: self.gateway,
            3: self.stream,
            4: self.cumulative,
            5: self.hash,
            6: [list(found) for found in self.ranges],
            7: list(self.want),
            8: [list(pair) for pair in self.refused],
            9: self.time,
            10: self.answers,
        }
        _decode(items)
        return cose.sign(cbor2.dumps(items), Kind.ACK, key)


def read(message: bytes, key: PublicKey) -> Ack:
    """Verify, then parse; raises `SignatureError` or `BatchFormatError`."""
    return _decode(cbor.loads(cose.verify(message, Kind.ACK, key), "the acknowledgement"))


def _decode(item: object) -> Ack:
    if type(item) is dict and item.get(1) != VERSION:
        raise BatchFormatError(f"acknowledgement version {item.get(1)!r} is not known here; known: {VERSION}")
    found = cbor.fields(item, "the acknowledgement", range(1, 11))
    ack = Ack(
        gateway=gateway_id(found[2]),
        stream=cbor.octets(found[3], "stream", STREAM_BYTES),
        cumulative=cbor.integer(found[4], "cumulative"),
        hash=cbor.octets(found[5], "hash", HASH_BYTES),
        ranges=tuple(_range(part) for part in cbor.array(found[6], "ranges", MAX_RANGES)),
        want=tuple(cbor.octets(part, "want", HASH_BYTES) for part in cbor.array(found[7], "want", MAX_WANT)),
        refused=tuple(_refused(part) for part in cbor.array(found[8], "refused", MAX_REFUSED)),
        time=cbor.integer(found[9], "time", 0, cbor.MAX_MS),
        answers=cbor.integer(found[10], "answers"),
    )
    if (ack.cumulative == 0) != (ack.hash == NO_HASH):
        raise BatchFormatError(f"cumulative {ack.cumulative} with hash {ack.hash.hex()}")
    return ack


def _range(item: object) -> Range:
    first, last, digest = cbor.array(item, "a range", 3, 3)
    start = cbor.integer(first, "first of a range", 1)
    return start, cbor.integer(last, "last of a range", start), cbor.octets(digest, "hash of a range", HASH_BYTES)


def _refused(item: object) -> tuple[int, str]:
    number, reason = cbor.array(item, "a refusal", 2, 2)
    return cbor.integer(number, "number of a refusal", 1), cbor.text(reason, "reason of a refusal", MAX_REASON, 1)
