"""The header of a batch: a CBOR map with small integer keys, the first item of the payload (docs/format.md)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cbor2

from buffer import cbor
from buffer.cose import Kind
from buffer.errors import BatchFormatError
from buffer.keys import ID

VERSION = 1
KNOWN_VERSIONS = (1,)  # a collector takes the present version and the one before
HASH_BYTES = 32  # SHA-256
STREAM_BYTES = 16
BOOT_BYTES = 16  # /proc/sys/kernel/random/boot_id is a UUID
NO_HASH = bytes(HASH_BYTES)
MAX_LEDGER = 64  # entries a header; more wait for the next batch
MAX_REPLACES = 256  # an eviction merges no more batches at a time
MAX_REASON = 200  # characters, one line in a report
MAX_HEADER_BYTES = 96 << 10  # MAX_LEDGER and MAX_REPLACES at their longest, with room


class ClockState(StrEnum):
    """How far the wall clock may be believed."""

    SYNCHRONIZED = "synchronized"
    HOLDOVER = "holdover"
    UNSET = "unset"


class Priority(StrEnum):
    """What goes first, and what is evicted last."""

    CRITICAL = "critical"
    NORMAL = "normal"
    BULK = "bulk"


STATES = {0: ClockState.UNSET, 1: ClockState.HOLDOVER, 2: ClockState.SYNCHRONIZED}
PRIORITIES = {0: Priority.CRITICAL, 1: Priority.NORMAL, 2: Priority.BULK}
KINDS = {1: Kind.BATCH, 2: Kind.CATALOGUE}
STATE_CODES = {state: code for code, state in STATES.items()}
PRIORITY_CODES = {priority: code for code, priority in PRIORITIES.items()}
KIND_CODES = {kind: code for code, kind in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of a boot: wall clock (UTC) minus CLOCK_BOOTTIME in ms, and how far to believe it."""

    boot: bytes
    clock_ms: int
    state: ClockState


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Samples that were not kept or not delivered as they were. Times are ms of CLOCK_BOOTTIME of `boot`.

    `to_ms` is None when nobody knows the end, `samples` None when nobody knows how many.
    """

    boot: bytes
    from_ms: int
    to_ms: int | None
    clock_ms: int
    clock_state: ClockState
    samples: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """A batch whose place this one takes."""

    number: int
    hash: bytes
    samples: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a batch says about itself. `first_ms` and `last_ms` are of CLOCK_BOOTTIME, 0 when there are no samples."""

    kind: Kind
    gateway: str
    stream: bytes
    number: int
    previous: bytes
    boot: bytes
    clock_ms: int
    clock_state: ClockState
    catalogue: bytes | None
    samples: int
    priority: Priority
    first_ms: int = 0
    last_ms: int = 0
    ledger: tuple[LedgerEntry, ...] = ()
    replaces: tuple[Replaced, ...] = ()
    version: int = VERSION

    def encode(self) -> bytes:
        """The CBOR map; raises `BatchFormatError` when a field is out of range."""
        found: dict[int, Any] = {
            1: self.version,
            2: KIND_CODES[self.kind],
            3: self.gateway,
            4: self.stream,
            5: self.number,
            6: self.previous,
            7: self.boot,
            8: self.clock_ms,
            9: STATE_CODES[self.clock_state],
            10: self.catalogue,
            11: self.samples,
            12: PRIORITY_CODES[self.priority],
            13: self.first_ms,
            14: self.last_ms,
        }
        if self.ledger:
            found[15] = [_entry_items(entry) for entry in self.ledger]
        if self.replaces:
            found[16] = [[r.number, r.hash, r.samples] for r in self.replaces]
        decode(found)
        return cbor2.dumps(found)


def loads(data: bytes) -> Header:
    """The header that `encode` made; raises `BatchFormatError`."""
    if len(data) > MAX_HEADER_BYTES:
        raise BatchFormatError(f"a header of {len(data)} bytes is over the limit of {MAX_HEADER_BYTES}")
    return decode(cbor.loads(data, "the header"))


def decode(item: object) -> Header:
    """Check every field of the decoded map; raises `BatchFormatError` naming the field."""
    if type(item) is dict and item.get(1) not in KNOWN_VERSIONS:
        raise BatchFormatError(f"format version {item.get(1)!r} is not known here; known: {KNOWN_VERSIONS}")
    found = cbor.fields(item, "the header", range(1, 15), (15, 16))
    header = Header(
        version=cbor.integer(found[1], "version"),
        kind=cbor.choice(found[2], "kind", KINDS),
        gateway=gateway_id(found[3]),
        stream=cbor.octets(found[4], "stream", STREAM_BYTES),
        number=cbor.integer(found[5], "number", 1),
        previous=cbor.octets(found[6], "previous", HASH_BYTES),
        boot=cbor.octets(found[7], "boot", BOOT_BYTES),
        clock_ms=cbor.integer(found[8], "clock_ms", -cbor.MAX_MS, cbor.MAX_MS),
        clock_state=cbor.choice(found[9], "clock_state", STATES),
        catalogue=None if found[10] is None else cbor.octets(found[10], "catalogue", HASH_BYTES),
        samples=cbor.integer(found[11], "samples"),
        priority=cbor.choice(found[12], "priority", PRIORITIES),
        first_ms=cbor.integer(found[13], "first_ms", 0, cbor.MAX_MS),
        last_ms=cbor.integer(found[14], "last_ms", 0, cbor.MAX_MS),
        ledger=tuple(_entry(entry) for entry in _list(found, 15, "ledger", MAX_LEDGER)),
        replaces=tuple(_replaced(entry) for entry in _list(found, 16, "replaces", MAX_REPLACES)),
    )
    _check(header)
    return header


def gateway_id(value: object) -> str:
    """A gateway's id; raises `BatchFormatError`."""
    name = cbor.text(value, "gateway", 32, 1)
    if not ID.fullmatch(name):
        cbor.fail("gateway", "1 to 32 of a-z, 0-9 and '-'", name)
    return name


def _check(header: Header) -> None:
    if header.last_ms < header.first_ms:
        raise BatchFormatError(f"last_ms {header.last_ms} is before first_ms {header.first_ms}")
    if (header.number == 1) != (header.previous == NO_HASH):
        raise BatchFormatError(f"number {header.number} with previous hash {header.previous.hex()}")
    if header.kind is Kind.CATALOGUE and (header.samples or header.catalogue is not None):
        raise BatchFormatError("a catalogue has no samples and names no catalogue")
    if header.samples and header.catalogue is None:
        raise BatchFormatError(f"{header.samples} samples without a catalogue")


def _list(found: dict[int, Any], key: int, what: str, limit: int) -> list[Any]:
    """An optional array; when it is there it is not empty."""
    if key not in found:
        return []
    items = cbor.array(found[key], what, limit)
    if not items:
        raise BatchFormatError(f"{what} is there but empty")
    return items


def entry_dumps(entry: LedgerEntry) -> bytes:
    """A ledger entry alone; raises `BatchFormatError` when a field is out of range."""
    items = _entry_items(entry)
    _entry(items)
    return cbor2.dumps(items)


def entry_loads(data: bytes) -> LedgerEntry:
    """What `entry_dumps` made; raises `BatchFormatError`."""
    return _entry(cbor.loads(data, "a ledger entry"))


def _entry_items(entry: LedgerEntry) -> list[Any]:
    state = STATE_CODES[entry.clock_state]
    return [entry.boot, entry.from_ms, entry.to_ms, entry.clock_ms, state, entry.samples, entry.reason]


def _entry(item: object) -> LedgerEntry:
    boot, from_ms, to_ms, clock_ms, state, samples, reason = cbor.array(item, "a ledger entry", 7, 7)
    start = cbor.integer(from_ms, "from_ms of a ledger entry", 0, cbor.MAX_MS)
    return LedgerEntry(
        boot=cbor.octets(boot, "boot of a ledger entry", BOOT_BYTES),
        from_ms=start,
        to_ms=None if to_ms is None else cbor.integer(to_ms, "to_ms of a ledger entry", start, cbor.MAX_MS),
        clock_ms=cbor.integer(clock_ms, "clock_ms of a ledger entry", -cbor.MAX_MS, cbor.MAX_MS),
        clock_state=cbor.choice(state, "clock_state of a ledger entry", STATES),
        samples=None if samples is None else cbor.integer(samples, "samples of a ledger entry"),
        reason=cbor.text(reason, "reason of a ledger entry", MAX_REASON, 1),
    )


def _replaced(item: object) -> Replaced:
    number, digest, samples = cbor.array(item, "a replaced batch", 3, 3)
    return Replaced(
        cbor.integer(number, "number of a replaced batch", 1),
        cbor.octets(digest, "hash of a replaced batch", HASH_BYTES),
        cbor.integer(samples, "samples of a replaced batch"),
    )
