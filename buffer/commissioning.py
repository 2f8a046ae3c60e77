"""The signed record of a commissioning: what a technician saw of each point, and said of it (docs/format.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

import cbor2

from buffer import cbor, cose
from buffer.cose import MAX_MESSAGE_BYTES, Kind
from buffer.errors import BatchFormatError, StoreError
from buffer.header import ClockState
from buffer.keys import PublicKey, SigningKey

E = TypeVar("E", bound=StrEnum)

VERSION = 1
MAX_POINTS = 8192  # what fits into a message with short texts; a gateway has a few hundred
MAX_NAME = 64  # characters: who
MAX_NOTE = 400  # characters: what a thumb types in the rain
MAX_VALUE = 200  # characters of a value, longer ones are cut
MAX_ID = 128  # characters: device, `/`, point


class Verdict(StrEnum):
    """What the technician said of a point."""

    OPEN = "open"
    OK = "ok"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Look:
    """One point as it was seen. `value` is a text ("" for none), `seen_ms` UTC, 0 while it is open."""

    point: str
    unit: str
    verdict: Verdict = Verdict.OPEN
    note: str = ""
    value: str = ""
    quality: str = ""
    seen_ms: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """A walk that is over; `at_ms` is UTC by a clock in the state `clock`."""

    gateway: str
    site: str
    who: str
    note: str
    at_ms: int
    clock: ClockState
    looks: tuple[Look, ...]

    def count(self, verdict: Verdict) -> int:
        """How many points it was said of."""
        return sum(look.verdict is verdict for look in self.looks)

    def sign(self, key: SigningKey) -> bytes:
        """The message; raises `BatchFormatError` when a field is out of range or all of it is too long."""
        items = {
            1: VERSION, 2: self.gateway, 3: self.site, 4: self.who, 5: self.note, 6: self.at_ms, 7: self.clock.value,
            8: [[k.point, k.unit, k.verdict.value, k.note, k.value, k.quality, k.seen_ms] for k in self.looks],
        }  # fmt: skip
        _decode(items)
        return cose.sign(cbor2.dumps(items), Kind.COMMISSIONING, key)

    @classmethod
    def read(cls, message: bytes, key: PublicKey) -> Self:
        """Verify, then parse; raises `SignatureError` or `BatchFormatError`, also for another gateway's."""
        item = cbor.loads(cose.verify(message, Kind.COMMISSIONING, key), "the record")
        gateway, site, who, note, at_ms, clock, looks = _decode(item)
        if (gateway, site) != (key.gateway, key.site):
            raise BatchFormatError(f"the record is of {gateway} at {site}, the key of {key.gateway} at {key.site}")
        return cls(gateway, site, who, note, at_ms, clock, looks)


def is_record(path: Path) -> bool:
    """Whether a file holds what may be a record: a signed map, where batches are signed arrays."""
    try:
        with path.open("rb") as file:
            message = file.read(MAX_MESSAGE_BYTES + 1)
    except OSError as error:
        raise StoreError(error.errno, error.strerror, str(path)) from error
    try:
        payload = cose.read(message).payload
    except BatchFormatError:
        return False
    return bool(payload) and payload[0] >> 5 == 5  # CBOR major type 5, a map (RFC 8949, 3.1)


def _decode(item: object) -> tuple[str, str, str, str, int, ClockState, tuple[Look, ...]]:
    if type(item) is dict and item.get(1) != VERSION:
        raise BatchFormatError(f"record version {item.get(1)!r} is not known here; known: {VERSION}")
    found = cbor.fields(item, "the record", range(1, 9))
    looks = tuple(_look(part) for part in cbor.array(found[8], "points", MAX_POINTS))
    if len({look.point for look in looks}) != len(looks):
        raise BatchFormatError("a point stands twice in the record")
    return (
        cbor.text(found[2], "gateway", 32, 1),
        cbor.text(found[3], "site", 32, 1),
        cbor.text(found[4], "who", MAX_NAME, 1),
        cbor.text(found[5], "note", MAX_NOTE),
        cbor.integer(found[6], "time", 0, cbor.MAX_MS),
        _one_of(ClockState, found[7], "clock"),
        looks,
    )


def _look(item: object) -> Look:
    parts: Sequence[Any] = cbor.array(item, "a point", 7, 7)
    point, unit, verdict, note, value, quality, seen_ms = parts
    return Look(
        cbor.text(point, "point", MAX_ID, 1),
        cbor.text(unit, "unit", MAX_NAME),
        _one_of(Verdict, verdict, "verdict"),
        cbor.text(note, "note", MAX_NOTE),
        cbor.text(value, "value", MAX_VALUE),
        cbor.text(quality, "quality", MAX_NAME),
        cbor.integer(seen_ms, "time", 0, cbor.MAX_MS),
    )


def _one_of(kind: type[E], value: object, what: str) -> E:
    try:
        return kind(cbor.text(value, what, MAX_NAME))
    except ValueError as error:
        raise BatchFormatError(f"the {what} is none of {', '.join(kind)}") from error
