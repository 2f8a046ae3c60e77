"""The platform's signed request for batches that it once had: a gateway's history sends them again (docs/format.md)."""

from dataclasses import dataclass
from typing import Self

import cbor2

from buffer import cbor, cose
from buffer.cose import Kind
from buffer.errors import BatchFormatError
from buffer.header import STREAM_BYTES, gateway_id
from buffer.keys import PublicKey, SigningKey

VERSION = 1
MAX_RANGES = 256  # as many as an acknowledgement names
MAX_LIFE_MS = 3_600_000  # a request that was recorded must not cost a metered link for ever
MAX_RESEND_BYTES = 16_384  # 256 ranges of the largest numbers stay under 5,000


@dataclass(frozen=True, slots=True)
class Resend:
    """Send the batches of these ranges (first, last) again, as far as they are kept. Times are ms since 1970."""

    gateway: str
    stream: bytes
    ranges: tuple[tuple[int, int], ...]
    issued_ms: int
    expires_ms: int

    def sign(self, key: SigningKey) -> bytes:
        """The message; raises `BatchFormatError` when a field is out of range."""
        items = {
            1: VERSION,
            2: self.gateway,
            3: self.stream,
            4: [list(found) for found in self.ranges],
            5: self.issued_ms,
            6: self.expires_ms,
        }
        _decode(items)
        return cose.sign(cbor2.dumps(items), Kind.RESEND, key)

    @classmethod
    def read(cls, message: bytes, key: PublicKey) -> Self:
        """Verify, then parse; raises `SignatureError` or `BatchFormatError`."""
        if len(message) > MAX_RESEND_BYTES:
            raise BatchFormatError(f"a request of {len(message)} bytes is over the limit of {MAX_RESEND_BYTES}")
        found = _decode(cbor.loads(cose.verify(message, Kind.RESEND, key), "the request"))
        return cls(found.gateway, found.stream, found.ranges, found.issued_ms, found.expires_ms)


def _decode(item: object) -> Resend:
    if type(item) is dict and item.get(1) != VERSION:
        raise BatchFormatError(f"request version {item.get(1)!r} is not known here; known: {VERSION}")
    found = cbor.fields(item, "the request", range(1, 7))
    issued = cbor.integer(found[5], "issued", 0, cbor.MAX_MS)
    ranges = cbor.array(found[4], "ranges", MAX_RANGES)
    if not ranges:
        raise BatchFormatError("a request without a range")
    return Resend(
        gateway=gateway_id(found[2]),
        stream=cbor.octets(found[3], "stream", STREAM_BYTES),
        ranges=tuple(_range(part) for part in ranges),
        issued_ms=issued,
        expires_ms=cbor.integer(found[6], "expires", issued + 1, issued + MAX_LIFE_MS),
    )


def _range(item: object) -> tuple[int, int]:
    first, last = cbor.array(item, "a range", 2, 2)
    start = cbor.integer(first, "first of a range", 1)
    return start, cbor.integer(last, "last of a range", start)
