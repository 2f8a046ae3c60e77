"""The account at the end: what was served, committed, stored, held and ledgered, sample by sample."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from buffer.batch import decode
from buffer.catalogue import decode as decode_catalogue
from buffer.cose import Kind
from buffer.header import Clock, ClockState, LedgerEntry
from buffer.keys import PublicKey
from buffer.reader import Reader
from buffer.recovery import UNCLEAN
from ext import CLOCK, GOOD, unpack
from gateway.demo.account import exact_text
from tests.chaos.stored import Stored

GRACE_MS = 1_500
"""What an answer may take from the device to the agent's memory on a loaded machine; also from a clock to another."""
OWN = "gateway/"
"""Points of the agent itself: no device says them."""
JUDGED = {ClockState.UNSET: (CLOCK, GOOD), ClockState.HOLDOVER: (GOOD, CLOCK)}
"""Uncertain for an unset clock alone is good once the boot is dated; dated by a held clock is uncertain."""

ROWS = """
SELECT series.stream, series.device || '/' || series.point, ts_ms, value, exact, text, quality, batch
FROM samples JOIN series ON series.id = samples.series
"""
BOOTS = "SELECT boot, offset_ms FROM boots WHERE offset_ms IS NOT NULL"
RECEIVED = "SELECT number, received_at FROM batches"
REFUSED = "SELECT reason, count FROM refusals"
FORKS = "SELECT stream, forked_number FROM streams WHERE forked_at IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Key:
    """A sample's identity and value: no device says a value twice, and no bad one has the time of another."""

    point: str
    utc_ms: int
    text: str
    quality: int


@dataclass(frozen=True, slots=True)
class Window:
    """When the agent could not read: from a fault to its end, UTC ms.

    A kill takes what was answered in the last `loses_ms` before it as well; the ledger must name that interval.
    """

    kind: str
    from_ms: int
    to_ms: int
    loses_ms: int


@dataclass(slots=True)
class Kept:
    """What the agent's store has: each sample with the number of its batch (0: not sealed), and its ledger."""

    samples: Counter[Key] = field(default_factory=Counter)
    batch: dict[Key, int] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    acked: dict[int, int | None] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)
    unclean: list[tuple[int, int]] = field(default_factory=list)
    """The intervals of unclean stops in the ledger, UTC ms."""


@dataclass(slots=True)
class Account:
    """committed = stored + held + ledger; `served` = committed good ones + `uncommitted`."""

    served: int = 0
    committed: int = 0
    stored: int = 0
    held: int = 0
    ledgered: int = 0
    uncommitted: int = 0
    unclean_stops: int = 0
    batches: int = 0
    lost: int = 0
    doubled: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Nothing is wrong."""
        return not self.faults and self.committed == self.stored + self.held + self.ledgered


def served(log: Path) -> dict[tuple[str, str], int]:
    """When each (point, value) was served, UTC ms; raises `ValueError` for one that was served twice."""
    found: dict[tuple[str, str], int] = {}
    for line in log.read_text().splitlines():
        row = json.loads(line, parse_float=Decimal)
        value = Decimal(row["value"]) if isinstance(row["value"], str) else row["value"]
        key = row["point"], exact_text(value)
        if key in found:
            raise ValueError(f"served twice: {key}")
        found[key] = row["utc_ms"]
    return found


def kept(path: Path, key: PublicKey, boots: Mapping[str, int]) -> Kept:
    """All that the store ever committed and still knows: delivered, held and not yet sealed."""
    found, names = Kept(), dict[int, str]()
    with Reader(path) as reader:
        snapshot = reader.snapshot()
        found.ledger += reader.ledger()
        for stored in reader.batches(last=snapshot.last_number):
            batch = decode(stored.message, key)
            header = batch.header
            found.ledger += header.ledger
            found.acked[stored.number] = stored.acked_utc_ms
            if stored.acked_utc_ms is None:
                found.held.add(stored.number)
            if header.kind is Kind.CATALOGUE:
                names |= {entry.number: f"{entry.device}/{entry.point}" for entry in decode_catalogue(batch.blocks)}
                continue
            clock = Clock(header.boot, header.clock_ms, header.clock_state)
            _enter(found, stored.number, batch.blocks, names, boots, clock)
        for part in snapshot.unsealed:
            _enter(found, 0, part.blocks, names, boots, part.clock)
    for entry in found.ledger:
        if entry.reason == UNCLEAN and entry.to_ms is not None:
            offset = _offset(Clock(entry.boot, entry.clock_ms, entry.clock_state), boots)
            found.unclean.append((entry.from_ms + offset, entry.to_ms + offset))
    return found


def _offset(clock: Clock, boots: Mapping[str, int]) -> int:
    return boots.get(clock.boot.hex(), 0) if clock.state is ClockState.UNSET else clock.clock_ms


def _enter(
    found: Kept, number: int, blocks: Sequence[bytes], names: Mapping[int, str], boots: Mapping[str, int], clock: Clock
) -> None:
    offset = _offset(clock, boots)
    was, becomes = JUDGED.get(clock.state, (GOOD, GOOD))
    for series, boot_ms, value, quality in unpack(blocks):
        judged = becomes if quality == was else quality
        key = Key(names[series], boot_ms + offset, exact_text(value), judged)
        found.samples[key] += 1
        found.batch[key] = number


def stored(database: Stored) -> Counter[Key]:
    """All samples of the collectors' tables."""
    return Counter(_rows(database))


def _rows(database: Stored) -> Iterator[Key]:
    for _, point, ts_ms, value, exact, text, quality, _ in database.rows(ROWS):
        shown = text if text is not None else exact_text(Decimal(exact) if exact is not None else value)
        yield Key(point, ts_ms, shown, quality)
