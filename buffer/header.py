"""The header of a batch: a CBOR map with small integer keys, the first item of the payload (docs/format.md)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cbor2

from buffer import cbor
from buffer.cose import Kind
from buffer.errors import BatchFormatError
from buffer.keys import ID
from ext import CLOCK, GOOD

VERSION = 1
KNOWN_VERSIONS = (1,)  # a collector takes the present version and the one before
HASH_BYTES = 32  # SHA-256
STREAM_BYTES = 16
BOOT_BYTES = 16  # /proc/sys/kernel/random/boot_id is a UUID
NO_HASH = bytes(HASH_BYTES)
MAX_LEDGER = 64  # entries a header; more wait for the next batch
MAX_REPLACES = 256  # claims; consecutive numbers make one
MAX_REASON = 200  # characters, one line in a report
MAX_HEADER_BYTES = 96 << 10  # MAX_LEDGER and MAX_REPLACES at their longest, with room


class ClockState(StrEnum):
    """How far the wall clock may be believed."""

    SYNCHRONIZED = "synchronized"
    HOLDOVER = "holdover"
    UNSET = "unset"


JUDGED = {ClockState.UNSET: (CLOCK, GOOD), ClockState.HOLDOVER: (GOOD, CLOCK)}
"""What a quality becomes at the platform by what dates the sample.

What was uncertain only for an unset clock is good once that is known; what a held one dates is not good.
"""


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
    """A claim: numbers whose place a batch takes, and how many samples it answers for that were committed in them.

    Whole batches `first` to `last`, of whose last one `hash` is; or, with `start`, the `samples` from that place on of
    the single batch `first`. A batch that itself replaces others has no samples of its own to claim.
    """

    first: int
    last: int
    hash: bytes
    samples: int
    start: int | None = None


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
    window_ms: int = 0
    """Of thinned samples: the length of the windows they sum up; 0 when the samples are as they were committed."""
    version: int = VERSION

    @property
    def claimed(self) -> int:
        """The samples of replaced batches that this one answers for."""
        return sum(claim.samples for claim in self.replaces)

    @property
    def lost(self) -> int:
        """How many of them it does not carry: its first ledger entry is about these."""
        return 0 if self.samples and not self.window_ms else self.claimed

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
            found[16] = [_replaced_items(claim) for claim in self.replaces]
        if self.window_ms:
            found[17] = self.window_ms
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
    found = cbor.fields(item, "the header", range(1, 15), (15, 16, 17))
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
        window_ms=cbor.integer(found[17], "window_ms", 1, cbor.MAX_MS) if 17 in found else 0,
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
    if header.replaces or header.window_ms:
        _check_claims(header)


def _check_claims(header: Header) -> None:
    """What is replaced is carried as it was, or accounted for: nothing is both, nothing is neither."""
    end = (0, 0)
    for claim in header.replaces:
        begin = (claim.first, claim.start or 0)
        if begin < end or claim.last >= header.number:
            raise BatchFormatError(f"the claim on {claim.first} to {claim.last} is not in order")
        end = (claim.last + 1, 0) if claim.start is None else (claim.first, claim.start + claim.samples)
    if header.kind is Kind.CATALOGUE or not header.replaces or (header.window_ms and not header.samples):
        raise BatchFormatError("only a batch replaces others, and only samples of such a one are thinned")
    if header.lost and (not header.ledger or header.ledger[0].samples != header.lost):
        raise BatchFormatError(f"{header.lost} samples are replaced, and the first ledger entry is not about them")
    if header.samples and not header.window_ms and header.samples != header.claimed:
        raise BatchFormatError(f"{header.samples} samples in place of {header.claimed}")
    if header.samples and not header.window_ms and sum(claim.samples > 0 for claim in header.replaces) != 1:
        raise BatchFormatError("samples as they were committed are those of one batch")


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


def _replaced_items(claim: Replaced) -> list[Any]:
    items = [claim.first, claim.last, claim.hash, claim.samples]
    return items if claim.start is None else [*items, claim.start]


def _replaced(item: object) -> Replaced:
    items = cbor.array(item, "a claim", 5)
    if len(items) < 4:
        cbor.fail("a claim", "an array of 4 or 5", items)
    first, last, digest, samples, *start = items
    begin = cbor.integer(first, "first of a claim", 1)
    return Replaced(
        begin,
        cbor.integer(last, "last of a claim", begin, begin if start else cbor.MAX_NUMBER),
        cbor.octets(digest, "hash of a claim", HASH_BYTES),
        cbor.integer(samples, "samples of a claim", 1 if start else 0),
        cbor.integer(start[0], "start of a claim") if start else None,
    )
