"""Evict, thin and split: batches with new numbers take the place of others, in the caller's transaction."""

import sqlite3
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from buffer import claims, header, sealing
from buffer.block import CATALOGUE_PART, REPLACING, same_clock
from buffer.database import PAGE_BYTES
from buffer.delivery import DAMAGED, KEPT_BLOCKS
from buffer.errors import BatchFormatError, UnknownBatch
from buffer.header import MAX_REASON, MAX_REPLACES, PRIORITY_CODES, Clock, Header, LedgerEntry, Priority, Replaced
from buffer.memory import Memory, lowest_held
from buffer.sealing import ACCOUNT, PIECE, Replacement, Sealer
from buffer.stock import MadeRoom
from buffer.summary import Summary, packed
from buffer.thinning import WINDOWS_MS, Sample
from ext import FormatError, unpack

STEP_SAMPLES = 50_000  # thinned at a time: a tenth of a second on a Pi
STEP_BYTES = 128 << 10  # of originals: what takes their place is then well under the 64 kB that every broker takes
BATCH_PAGES = 4  # that the removal of a small batch writes: its row, its block, their parents
EVICTED = "evicted: no room"
WORTHWHILE = 3, 4  # thinning must leave at most three quarters of the bytes, or longer windows are tried
HEADER_BYTES = 700  # of a message without its blocks, claims and ledger, at most
CLAIM_BYTES = 76

_COLUMNS = "number, part, window, size, first_block, last_block, catalogue, refused, hash, header"


@dataclass(frozen=True, slots=True)
class Original:
    """A sealed batch that is to make room."""

    number: int
    part: int
    window: int
    size: int
    first_block: int
    last_block: int
    catalogue: int
    refused: str
    hash: bytes
    header: Header

    @property
    def claims(self) -> tuple[Replaced, ...]:
        """What it answers for."""
        return claims.claims_of(self.header, self.hash)

    @property
    def clock(self) -> Clock:
        """Of its samples."""
        return Clock(self.header.boot, self.header.clock_ms, self.header.clock_state)

    @property
    def span(self) -> tuple[int, int]:
        """From when to when (boot ms) the samples that it answers for are."""
        if self.header.lost:
            entry = self.header.ledger[0]
            return entry.from_ms, entry.from_ms if entry.to_ms is None else entry.to_ms
        return self.header.first_ms, self.header.last_ms

    @property
    def told(self) -> tuple[LedgerEntry, ...]:
        """The ledger entries in it that are not about what it answers for."""
        return self.header.ledger[1:] if self.header.lost else self.header.ledger


class Retention:
    """Makes room in a store, a bounded step at a time. Every method runs in a transaction of its caller.

    The originals' rows go before the replacement's come, so that a step needs next to no free page.
    """

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer, pages: int) -> None:
        """`pages` is about what a step may write: the room that the log has."""
        self._connection = connection
        self._sealer = sealer
        self._batches = max(1, pages // BATCH_PAGES)
        self._bytes = min(STEP_BYTES, pages * PAGE_BYTES // 2)
        self._summary = Summary(connection, sealer)
        self.freed = MadeRoom()
        """What the last step was about."""

    def step(self, memory: Memory, in_flight: Collection[int]) -> list[int] | None:
        """Free something; the numbers sealed by it. None when there is nothing left that may go.

        First what is set aside, then bulk, normal and critical batches, the oldest first; bulk is thinned before it
        is evicted. What is in flight goes last. Catalogues and accounts stay.
        """
        for avoid in [in_flight, ()] if in_flight else [()]:
            for free in (self._free_aside, self._free_bulk, self._free_normal, self._free_critical):
                if (made := free(memory, avoid)) is not None:
                    return made
        return None

    def split(self, memory: Memory, number: int, max_bytes: int) -> list[int]:
        """Put batches of at most `max_bytes` in the place of one, losing nothing; none when it cannot be done."""
        original = self._one(number)
        if original.part == CATALOGUE_PART or (original.window > 0 and original.window % 10 == PIECE):
            return []  # whose statistics a piece of a piece has, no claim could say
        try:
            samples = unpack(self._blocks(original))
        except FormatError:  # damaged; whoever sends it finds out
            return []
        joints = self._summary.joints(samples) if original.window else range(1, len(samples))
        made = list(_pieces(original, samples, max_bytes, joints))
        if not all(made):
            return []
        self._remove(memory, [original])
        return [self._sealer.seal_replacement(memory, part) for part in made if part]

    def write_off(self, memory: Memory, number: int, in_flight: Collection[int]) -> list[int]:
        """Put an account in the place of a batch whose bytes are damaged; none when its rows do not say what it was.

        Raises `UnknownBatch` when it is not held, `BatchFormatError` for a header that cannot be read.
        """
        original = self._one(number)
        if original.part == CATALOGUE_PART or original.refused == DAMAGED or not self._described(memory, original):
            return []
        return self._evict(memory, [original], in_flight, DAMAGED) or []

    def _free_aside(self, memory: Memory, avoid: Collection[int]) -> list[int] | None:
        found = self._candidates(memory, f"refused != '' AND part != {CATALOGUE_PART}", avoid)
        group = self._group(found)
        reason = f"set aside ({group[0].refused}), then evicted"[:MAX_REASON] if group else ""
        return self._evict(memory, group, avoid, reason)

    def _free_bulk(self, memory: Memory, avoid: Collection[int]) -> list[int] | None:
        """Of the resolutions that bulk is kept in, the one that takes the most room gives way."""
        query = (
            "SELECT part, window FROM batches WHERE acked_utc_ms = 0 AND part >= 2 AND part != ?"
            " GROUP BY part, window HAVING part IN (?, ?) ORDER BY sum(size) DESC"
        )
        bulk = PRIORITY_CODES[Priority.BULK]
        for part, window in self._connection.execute(query, (CATALOGUE_PART, bulk, bulk + REPLACING)).fetchall():
            where = f"part >= 2 AND part = {part} AND window = {window}"
            made = self._thin(memory, self._group(self._candidates(memory, where, avoid), thin=True), window)
            made = made or self._evict(memory, self._group(self._candidates(memory, where, avoid)), avoid)
            if made is not None:
                return made
        return None

    def _free_normal(self, memory: Memory, avoid: Collection[int]) -> list[int] | None:
        return self._free_priority(memory, Priority.NORMAL, avoid)

    def _free_critical(self, memory: Memory, avoid: Collection[int]) -> list[int] | None:
        return self._free_priority(memory, Priority.CRITICAL, avoid)

    def _free_priority(self, memory: Memory, priority: Priority, avoid: Collection[int]) -> list[int] | None:
        part = PRIORITY_CODES[priority]
        found = self._candidates(memory, f"part IN ({part}, {part + REPLACING})", avoid)
        return self._evict(memory, self._group(found), avoid)

    def _evict(
        self, memory: Memory, group: list[Original], avoid: Collection[int], reason: str = EVICTED
    ) -> list[int] | None:
        """Put one account in the place of batches, and of a former account that it can take in."""
        if not group:
            return None
        self.freed = MadeRoom(evicted=_claimed(group))
        for account in self._accounts(avoid) if not group[0].told else ():
            if _adjoins(account, group, reason):
                group = [account, *group]
        made = Replacement(
            priority=Priority.NORMAL,
            clock=group[-1].clock,
            replaces=claims.merged(claim for one in group for claim in one.claims),
            ledger=(*_loss(group, reason), *group[0].told),
        )
        self._remove(memory, group)
        return [self._sealer.seal_replacement(memory, made)]

    def _thin(self, memory: Memory, group: list[Original], window: int) -> list[int] | None:
        """Put one batch of statistics in the place of batches, over the shortest windows that are worth it."""
        longer = [window_ms for window_ms in WINDOWS_MS if window_ms > window]
        if not group or not longer:
            return None
        try:
            samples = [sample for original in group for sample in unpack(self._blocks(original))]
        except FormatError:
            return None
        size = sum(original.size for original in group)
        replaces = claims.merged(claim for one in group for claim in one.claims)
        room = size * WORTHWHILE[0] // WORTHWHILE[1] - HEADER_BYTES - CLAIM_BYTES * len(replaces)
        for window_ms in longer:
            coarse = self._summary.of(memory, samples, window_ms)
            block = packed(coarse)
            if block and len(block) <= room:
                return self._seal_thinned(memory, group, replaces, (coarse, block, window_ms))
        return None

    def _seal_thinned(
        self,
        memory: Memory,
        group: list[Original],
        replaces: tuple[Replaced, ...],
        made: tuple[list[Sample], bytes, int],
    ) -> list[int] | None:
        coarse, block, window_ms = made
        clock = group[0].clock
        before = memory.last_number
        try:
            catalogue = self._summary.catalogue(memory, clock, {sample[0] for sample in coarse})
        except BatchFormatError:  # too many series for one catalogue
            return None
        times = [boot_ms for _, boot_ms, _, _ in coarse]
        thinned = Replacement(
            priority=group[0].header.priority, clock=clock, replaces=replaces,
            ledger=(*_loss(group, f"thinned to {window_ms // 1000} s"), *group[0].told),
            block=block, samples=len(coarse), first_ms=min(times), last_ms=max(times),
            window_ms=window_ms, catalogue=catalogue,
        )  # fmt: skip
        self.freed = MadeRoom(thinned=_claimed(one for one in group if not one.window))
        self._remove(memory, group)
        self._sealer.seal_replacement(memory, thinned)
        return list(range(before + 1, memory.last_number + 1))

    def _candidates(self, memory: Memory, where: str, avoid: Collection[int]) -> Iterator[Original]:
        """Batches that may go, oldest first; the newest blocks stay (see `KEPT_BLOCKS`), and what is written off."""
        query = (
            f"SELECT {_COLUMNS} FROM batches WHERE acked_utc_ms = 0 AND {where}"  # noqa: S608 - our own words
            " AND last_block < ? AND refused != ? ORDER BY number"
        )
        for row in self._connection.execute(query, (memory.next_block - KEPT_BLOCKS, DAMAGED)):
            if row[0] not in avoid:
                yield _original(row)

    def _accounts(self, avoid: Collection[int]) -> list[Original]:
        """The newest and the oldest account of evicted batches."""
        query = (
            f"SELECT {_COLUMNS} FROM batches WHERE acked_utc_ms = 0 AND part >= 2"  # noqa: S608
            f" AND part = {CATALOGUE_PART} AND window = {ACCOUNT} ORDER BY number"
        )
        rows = [self._connection.execute(f"{query} {order} LIMIT 1").fetchone() for order in ("DESC", "ASC")]
        found = {row[0]: _original(row) for row in rows if row is not None and row[0] not in avoid}
        return list(found.values())

    def _group(self, found: Iterable[Original], *, thin: bool = False) -> list[Original]:
        """The first ones that may be replaced together; one that has a ledger of its own goes alone."""
        group: list[Original] = []
        claimed: tuple[Replaced, ...] = ()
        samples = size = 0
        for original in found:
            claimed = claims.merged((*claimed, *original.claims))
            samples += original.header.samples
            size += original.size
            full = size > self._bytes or len(group) == self._batches or len(claimed) > MAX_REPLACES
            if group and (full or not _alike(group[0], original, thin=thin) or (thin and samples > STEP_SAMPLES)):
                break
            group.append(original)
        return group

    def _one(self, number: int) -> Original:
        query = f"SELECT {_COLUMNS} FROM batches WHERE number = ? AND acked_utc_ms = 0"  # noqa: S608
        row = self._connection.execute(query, (number,)).fetchone()
        if row is None:
            raise UnknownBatch(f"no batch of number {number} is held")
        return _original(row)

    def _described(self, memory: Memory, original: Original) -> bool:
        """Whether row, header and blocks say the same, so that what is removed is this batch and nothing else."""
        head = original.header
        query = "SELECT sum(samples), min(first_ms), max(last_ms) FROM blocks WHERE id BETWEEN ? AND ? AND part = ?"
        place = (original.first_block, original.last_block, original.part)
        found = self._connection.execute(query, place).fetchone()
        own = (head.stream, head.number, original.part % REPLACING) == (
            memory.stream, original.number, PRIORITY_CODES[head.priority],
        )  # fmt: skip
        return own and found == (head.samples, head.first_ms, head.last_ms)

    def _blocks(self, original: Original) -> list[bytes]:
        return sealing.read_blocks(self._connection, original.part, original.first_block, original.last_block)

    def _remove(self, memory: Memory, originals: Sequence[Original]) -> None:
        rows = [(one.first_block, one.last_block, one.part) for one in originals]
        self._connection.executemany("DELETE FROM blocks WHERE id BETWEEN ? AND ? AND part = ?", rows)
        self._connection.executemany("DELETE FROM batches WHERE number = ?", [(one.number,) for one in originals])
        memory.lowest_held = lowest_held(self._connection, memory.lowest_held)


def _original(row: tuple[int, int, int, int, int, int, int, str, bytes, bytes]) -> Original:
    return Original(*row[:-1], header.loads(row[-1]))


def _alike(one: Original, other: Original, *, thin: bool) -> bool:
    """Whether one batch may take the place of both."""
    alone = one.told or other.told or one.refused != other.refused
    return not alone and (same_clock(one.clock, other.clock) if thin else one.header.boot == other.header.boot)


def _adjoins(account: Original, group: list[Original], reason: str) -> bool:
    """Whether the account may be made one with that of the group."""
    both = claims.merged(claim for one in (account, *group) for claim in one.claims)
    same = account.header.boot == group[0].header.boot and [e.reason for e in account.header.ledger] == [reason]
    return same and len(both) <= MAX_REPLACES and account not in group


def _claimed(group: Iterable[Original]) -> int:
    """The samples that it answers for."""
    return sum(claim.samples for one in group for claim in one.claims)


def _loss(group: list[Original], reason: str) -> tuple[LedgerEntry, ...]:
    """The one entry about all samples that the group answers for; none when there are none."""
    samples = _claimed(group)
    if not samples:
        return ()
    clock = group[-1].clock
    first, last = min(one.span[0] for one in group), max(one.span[1] for one in group)
    return (LedgerEntry(clock.boot, first, last, clock.clock_ms, clock.state, samples, reason),)


def _pieces(
    original: Original, samples: list[Sample], max_bytes: int, joints: Sequence[int], start: int = 0
) -> Iterator[Replacement | None]:
    """The batches that carry `samples`, halved at `joints` until each fits; None for one that never does."""
    made = _piece(original, samples, start)
    ledger = sum(len(header.entry_dumps(entry)) for entry in made.ledger)
    if HEADER_BYTES + CLAIM_BYTES * len(made.replaces) + ledger + len(made.block) <= max_bytes and made.block:
        yield made
    elif not joints:
        yield None
    else:
        half = bisect_left(joints, start + len(samples) // 2, hi=len(joints) - 1)
        cut = joints[half] - start
        yield from _pieces(original, samples[:cut], max_bytes, joints[:half], start)
        yield from _pieces(original, samples[cut:], max_bytes, joints[half + 1 :], start + cut)


def _piece(original: Original, samples: list[Sample], start: int) -> Replacement:
    """Of statistics the first piece answers for all that they sum up, the others for the number only."""
    head, number = original.header, original.number
    times = [boot_ms for _, boot_ms, _, _ in samples]
    if not head.window_ms:
        replaces = claims.piece(head, original.hash, start, len(samples))
    else:
        replaces = original.claims if not start else (Replaced(number, number, original.hash, 0),)
    return Replacement(
        priority=head.priority, clock=original.clock, replaces=claims.merged(replaces),
        ledger=() if start else head.ledger, block=packed(samples), samples=len(samples),
        first_ms=min(times, default=0), last_ms=max(times, default=0),
        window_ms=head.window_ms, piece=bool(head.window_ms), catalogue=original.catalogue,
    )  # fmt: skip
