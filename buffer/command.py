"""A signed command: what the platform asks one gateway to write, and for how long it may be done (docs/format.md)."""

import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

import cbor2

from buffer import cbor, cose, order
from buffer.cose import Envelope, Kind
from buffer.errors import BatchFormatError
from buffer.keyring import RingKey
from buffer.keys import ID, SigningKey

MAX_WRITES = 64  # a lamp post, a pump station; a street is a command a gateway
MAX_LIFE_MS = 3_600_000  # a command that was not done within an hour was meant for another situation
MAX_TEXT = 200  # characters of a value that is a text
MAX_DIGITS = 18  # of a decimal, as of a point's scale
MAX_COMMAND_BYTES = 32 << 10  # MAX_WRITES at their longest, with room

Wanted = bool | Decimal | str
"""What may be written: numbers are exact decimals, never floats."""


@dataclass(frozen=True, slots=True)
class Write:
    """One value for one point (`device/point`), in the point's unit."""

    point: str
    value: Wanted


@dataclass(frozen=True, slots=True)
class Command:
    """Writes that are done in order, at most once, by one life of one gateway's store.

    `number` names the command for ever; `issued_ms` and `expires_ms` are ms since the epoch; a `dry_run` checks
    everything and writes nothing.
    """

    gateway: str
    stream: bytes
    number: int
    issued_ms: int
    expires_ms: int
    writes: tuple[Write, ...]
    who: str
    why: str
    dry_run: bool = False

    @property
    def points(self) -> tuple[str, ...]:
        """The points that it writes."""
        return tuple(write.point for write in self.writes)

    def sign(self, key: SigningKey) -> bytes:
        """The message; raises `BatchFormatError` when a field is out of range."""
        items = {
            **order.head(self),
            7: [[write.point, write.value] for write in self.writes],
            8: self.who,
            9: self.why,
            10: self.dry_run,
        }
        _decode(items)
        return cose.sign(cbor2.dumps(items), Kind.COMMAND, key)

    @classmethod
    def read(cls, envelope: Envelope, key: RingKey) -> Self:
        """Verify, then parse; raises `SignatureError` or `BatchFormatError`."""
        payload = cose.verify_envelope(envelope, Kind.COMMAND, key.public)
        if len(payload) > MAX_COMMAND_BYTES:
            raise BatchFormatError(f"a command of {len(payload)} bytes is over the limit of {MAX_COMMAND_BYTES}")
        return cls(*_decode(cbor.loads(payload, "the command")))


def new_number() -> int:
    """A number that no other command has: 63 random bits, so that operators need not ask each other."""
    return secrets.randbits(63) or 1


def value_json(value: Wanted) -> bool | int | float | str:
    """The value for people and reports: whole numbers as integers."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _decode(item: object) -> tuple[str, bytes, int, int, int, tuple[Write, ...], str, str, bool]:
    found, head = order.read(item, "command", MAX_LIFE_MS)
    writes = tuple(_write(part) for part in cbor.array(found[7], "writes", MAX_WRITES))
    if not writes:
        raise BatchFormatError("the command writes nothing")
    if type(found[10]) is not bool:
        cbor.fail("dry_run", "true or false", found[10])
    return (
        *head,
        writes,
        *order.who_and_why(found[8], found[9]),
        found[10],
    )


def _write(item: object) -> Write:
    point, value = cbor.array(item, "a write", 2, 2)
    return Write(read_point(point), read_value(value))


def read_point(point: object) -> str:
    """`device/point`; raises `BatchFormatError`."""
    found = cbor.text(point, "point of a write", 65, 3)
    device, _, name = found.partition("/")
    if not ID.fullmatch(device) or not ID.fullmatch(name):
        cbor.fail("point of a write", "device/point", point)
    return found


def read_value(value: object) -> Wanted:
    """What may be written; raises `BatchFormatError`."""
    if type(value) is bool:
        return value
    if type(value) is str:
        return cbor.text(value, "value of a write", MAX_TEXT)
    if type(value) is Decimal and value.is_finite():
        _, digits, exponent = value.as_tuple()
        if len(digits) <= MAX_DIGITS and -MAX_DIGITS <= int(exponent) <= MAX_DIGITS:
            return value
    return cbor.fail("value of a write", f"a truth value, a text or a decimal of at most {MAX_DIGITS} digits", value)
