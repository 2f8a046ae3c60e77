"""The store: blocks committed, sealed into batches, held until they are acknowledged. One thread uses it."""

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

from buffer import delivery, ledger, numbering, recovery, sealing, stock
from buffer.ack import Ack
from buffer.block import Block, OpenBatch
from buffer.catalogue import SeriesDefinition
from buffer.cose import Kind
from buffer.database import REMEDY, connect, transaction, translated
from buffer.delivery import DAMAGED, Backlog, Held
from buffer.errors import BatchBoundary, BatchFormatError, StoreCorrupt, StoreFull, UnknownBatch
from buffer.header import (
    BOOT_BYTES,
    KIND_CODES,
    PRIORITY_CODES,
    STATE_CODES,
    Clock,
    ClockState,
    LedgerEntry,
    Priority,
    entry_dumps,
    gateway_id,
)
from buffer.keys import SigningKey
from buffer.memory import Memory, lowest_held, read_memory
from buffer.migrate import ensure
from buffer.recovery import set_aside
from buffer.retention import Retention
from buffer.riders import Riders
from buffer.room import MIN_SIZE, Room
from buffer.space import Space
from buffer.stock import MadeRoom, Stock

__all__ = ["MIN_SIZE", "Backlog", "Block", "Clock", "Held", "Store", "set_aside"]

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], None]

FOREVER_MS = 1 << 62
RIDERS_MAX = 4096  # acknowledgements in memory: a backlog may drain while nothing is sampled
CATALOGUE = KIND_CODES[Kind.CATALOGUE]


class Store:
    """See the module. A method that raises `StoreError` has changed nothing, and may be called again."""

    def __init__(self, path: Path, connection: sqlite3.Connection, gateway: str, key: SigningKey, boot: bytes) -> None:
        self._path = path
        self._connection = connection
        self._gateway = gateway
        self._boot = boot
        self._sealer = sealing.Sealer(connection, gateway, key)
        self._riders = Riders()
        self._made: list[int] = []
        self._made_room = MadeRoom()
        self.in_flight: Collection[int] = ()
        """Numbers that may be under way to the platform: they make room last."""
        self._lock = -1
        self._memory: Memory
        self._retention: Retention
        self._room: Room

    @classmethod
    def open(
        cls, path: Path, gateway: str, key: SigningKey, boot: bytes, *, size_limit: int, keep_free: int = 0,
        now_ms: Callable[[], int] = recovery.boot_now_ms,
    ) -> Self:  # fmt: skip
        """Open the file, made or migrated when need be; seal what a life before left, account for its unclean stop.

        `size_limit` is bytes on disk, log included, `keep_free` what the file system must have left for the store to
        grow (0: nothing); `now_ms` reads CLOCK_BOOTTIME. Raises `StoreCorrupt` (the file is
        as it was: `set_aside` it and open again), `StoreMismatch`, `StoreFull` or `StoreError`.
        """
        if len(boot) != BOOT_BYTES or size_limit < MIN_SIZE:
            raise ValueError(f"a boot id has {BOOT_BYTES} bytes, a store at least {MIN_SIZE}")
        gateway_id(gateway)
        held = recovery.lock(path)
        try:
            recovery.check_log(path)
            ensure(path)
            store = cls(path, connect(path), gateway, key, boot)
        except BaseException:  # the lock must not outlive the attempt
            os.close(held)
            raise
        store._lock = held
        try:
            store._start(size_limit, keep_free, now_ms())
        except BaseException:  # nor the connection
            store._release()
            raise
        return store

    def close(self, *, clean: bool = True) -> None:
        """Give the file up; `clean` says that everything sampled was committed or accounted for."""
        try:
            if clean:
                self._riders.clock = True
                with self._change():
                    self._connection.execute("UPDATE state SET clean = 1")
        finally:
            self._release()

    def set_aside(self) -> Path:
        """Give up a file found damaged: rename it to the dated name returned, and close it."""
        try:
            return set_aside(self._path)  # first: SQLite leaves the log of a file alone that has moved
        finally:
            self._release()

    @property
    def space(self) -> Space:
        """The guard of the file system."""
        return self._room.space

    @property
    def stream(self) -> bytes:
        """The 16 random bytes of this life of the file."""
        return self._memory.stream

    @property
    def last_number(self) -> int:
        """The newest number sealed, 0 before the first."""
        return self._memory.last_number

    @property
    def catalogue_hash(self) -> bytes | None:
        """The hash of the catalogue that batches name now."""
        return self._memory.catalogue_hash

    @property
    def open_samples(self) -> int:
        """Samples committed but not sealed."""
        return sum(batch.samples for batch in self._memory.open.values())

    def assign(self, definitions: Sequence[SeriesDefinition]) -> list[int]:
        """The series numbers of `definitions`, in their order; a definition never seen gets a new one.

        When the set differs from the newest catalogue, the open batches are sealed and a new catalogue is: blocks
        committed afterwards must be `fresh`.
        """
        return self._with_room(
            lambda: numbering.assign(self._connection, self._sealer, self._memory, self._clock(), definitions),
            admin=True,
        )

    def number(self, definitions: Sequence[SeriesDefinition]) -> list[int]:
        """The series numbers that `assign` will give `definitions`; the catalogue stays as it is."""
        return self._with_room(lambda: numbering.numbers(self._connection, self._memory, definitions), admin=True)

    def commit(
        self, blocks: Sequence[Block], *, seal: bool | Collection[Priority] = False,
        notes: Sequence[LedgerEntry] = (), also: Change | None = None,
    ) -> list[int]:  # fmt: skip
        """Put all of it on the disk, or nothing, by one fsync; the numbers of the batches sealed since the last call.

        A `fresh` block seals the open batch of its priority first; the open batches of `seal` are sealed afterwards,
        True being all, and a batch without samples when only the ledger waits. `notes` go into the ledger, `also` is
        done in the same transaction. What rides
        (acknowledgements, the clock) is written too; with nothing else to do, it is what the commit is for. A full
        store makes room (docs/operations.md): batches that took the place of others are among the numbers. Raises
        `BatchFormatError` or `BatchBoundary` for a block that cannot be kept as it is, `StoreFull`, `StoreError`.
        """
        for block in blocks:
            block.check()
        for entry in notes:
            entry_dumps(entry)
        if blocks and self._memory.catalogue_hash is None:
            raise BatchFormatError("samples without a catalogue: assign series first")
        parts = [PRIORITY_CODES[priority] for priority in (Priority if seal is True else seal or ())]
        closing = any(part in self._memory.open for part in parts) or (seal is True and self._memory.ledger > 0)
        if not (blocks or notes or closing or also or self._riders):
            return []
        size = sum(len(block.data) for block in blocks)
        sealed = self._with_room(
            lambda: self._commit(blocks, parts, notes, also, account=seal is True), admin=not blocks, size=size
        )
        return self._told(sealed)

    def seal(self, priority: Priority | None = None) -> list[int]:
        """Seal the open batch of one priority, or all; their numbers.

        Ledger entries that no batch has taken, with nothing open, get a batch without samples.
        """
        parts = [PRIORITY_CODES[name] for name in (Priority if priority is None else [priority])]
        if not self._memory.ledger and not any(part in self._memory.open for part in parts):
            return []
        return self._told(self._with_room(lambda: self._commit([], parts, [], None, account=True), admin=True))

    def split(self, number: int, max_bytes: int) -> list[int]:
        """Put batches of at most `max_bytes` each in the place of a held one; their numbers.

        None when it cannot be done: then it stays as it is. Raises `UnknownBatch` when it is not held, `StoreError`.
        """
        return self._told(self._with_room(lambda: self._retention.split(self._memory, number, max_bytes), admin=True))

    def tell_clock(self) -> list[int]:
        """Seal a batch without samples, for the clock in its header; its number."""
        return self._with_room(lambda: [self._sealer.seal_account(self._memory, self._clock())], admin=True)

    def message(self, number: int) -> bytes:
        """The COSE bytes of a sealed batch, the same at every call; raises `UnknownBatch` or `StoreCorrupt`."""
        with translated(self._path):
            return sealing.read_message(self._connection, number)

    def held(self, limit: int = -1, after: int = 0) -> list[Held]:
        """What is sealed and not acknowledged, by number, at most `limit` of it (-1: all), from `after` + 1 on."""
        with translated(self._path):
            found = delivery.held(self._connection, limit if limit < 0 else limit + len(self._riders.acked), after)
        waiting = [batch for batch in found if batch.number not in self._riders.acked]
        return waiting if limit < 0 else waiting[:limit]

    def backlog(self) -> Backlog:
        """What is sealed and not acknowledged, in sum."""
        with translated(self._path):
            return delivery.backlog(self._connection, self._riders.acked)

    def stock(self) -> Stock:
        """What the store holds, in sum."""
        with translated(self._path):
            found = stock.take(self._connection, self._path, self._riders.acked)
        return replace(found, made_room=self._made_room)

    def find(self, digest: bytes) -> int | None:
        """The number of the catalogue of that hash, when its bytes are kept."""
        with translated(self._path):
            query = f"SELECT number FROM batches WHERE hash = ? AND kind = {CATALOGUE} AND signature != x''"  # noqa: S608
            row = self._connection.execute(query, (digest,)).fetchone()
            return None if row is None else int(row[0])

    def acknowledge(self, ack: Ack) -> list[int]:
        """The numbers that a verified acknowledgement frees now; raises `AckRefused`, then nothing is.

        On the disk they are free with the next commit, whatever is in it, or at `close`.
        """
        with translated(self._path):
            delivery.check_ack(self._connection, self._memory, self._gateway, ack)
            numbers = delivery.acked_numbers(self._connection, ack)
        self._memory.floor_ms = max(self._memory.floor_ms, ack.time)
        return self._free(numbers, ack.time)

    def acknowledge_numbers(self, numbers: Sequence[int], utc_ms: int | None = None) -> list[int]:
        """As `acknowledge`, on another's word (a broker's PUBACK), dated `utc_ms` or now; those that were held."""
        with translated(self._path):
            held = [number for number in numbers if delivery.is_held(self._connection, number)]
        return self._free(held, time.time_ns() // 1_000_000 if utc_ms is None else utc_ms)

    def _free(self, numbers: Sequence[int], utc_ms: int) -> list[int]:
        freed = [number for number in dict.fromkeys(numbers) if number not in self._riders.acked]
        self._riders.acked |= dict.fromkeys(freed, max(1, utc_ms))
        if len(self._riders.acked) >= RIDERS_MAX:
            self.flush()
        return freed

    def flush(self) -> None:
        """Put on the disk what rides; without it, nothing happens."""
        if self._riders:
            with self._change():
                pass

    def refuse(self, number: int, reason: str) -> None:
        """Mark a held batch as refused by the collector; it stays held."""
        with self._change():
            self._connection.execute("UPDATE batches SET refused = ? WHERE number = ?", (reason, number))
            self._memory.lowest_held = lowest_held(self._connection, self._memory.lowest_held)

    def write_off(self, number: int) -> None:
        """Own up to a held batch whose bytes are damaged, once: an account takes its place, as of one evicted.

        Where the rows do not say what it was, it stays, refused, and the ledger says what is known.
        """
        with suppress(BatchFormatError, UnknownBatch):
            self._made += self._with_room(
                lambda: self._retention.write_off(self._memory, number, self.in_flight), admin=True
            )
        self._note_damaged(number)

    def _note_damaged(self, number: int) -> None:
        with translated(self._path):
            entry = recovery.damaged_batch(self._connection, number, self._gateway, self._clock())
        if entry is not None:
            self.note(entry)
            self.refuse(number, DAMAGED)

    def prune(self, before_utc_ms: int) -> int:
        """Drop the bytes of batches acknowledged before then; how many. Catalogues in use stay."""
        count = 0
        while rows := self._prune_some(before_utc_ms):
            count += len(rows)
        return count

    def note(self, entry: LedgerEntry) -> None:
        """Account for samples; goes into the header of the next batch sealed. Raises `BatchFormatError`.

        When more wait than a header takes, one with the same boot and reason as a waiting one widens that.
        """
        entry_dumps(entry)
        with self._change():
            ledger.note(self._connection, self._memory, entry)

    @property
    def floor_ms(self) -> int:
        """The newest verified signed time, ms since the epoch; the clock never goes below it. Only rises.

        It is on the disk with the next batch sealed, or at `close`.
        """
        return self._memory.floor_ms

    @floor_ms.setter
    def floor_ms(self, utc_ms: int) -> None:
        self._memory.floor_ms = max(self._memory.floor_ms, utc_ms)

    @property
    def boot_clock(self) -> Clock | None:
        """The last estimate of this boot's clock that was set, also in an earlier life of the process. Rides."""
        return self._memory.clock

    @boot_clock.setter
    def boot_clock(self, clock: Clock) -> None:
        if clock.boot != self._boot:
            raise ValueError(f"a clock of boot {clock.boot.hex()}, this is {self._boot.hex()}")
        self._memory.clock = clock
        self._riders.clock = True

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """The answer to `question`, which reads tables that a module of their own knows."""
        with translated(self._path):
            return question(self._connection)

    def change(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Do `action` to such tables, in one transaction that is on the disk when this returns."""
        return self._with_room(lambda: action(self._connection), admin=True)

    def _start(self, size_limit: int, keep_free: int, now_ms: int) -> None:
        self._room = Room(self._connection, self._path, size_limit, keep_free)
        self._retention = Retention(self._connection, self._sealer, self._room.log)
        with translated(self._path):
            recovery.claim(self._connection, self._path, self._gateway)
        try:
            with translated(self._path):
                self._memory = read_memory(self._connection, self._boot)
            self._with_room(lambda: self._begin(now_ms), admin=True)
        except (LookupError, TypeError, ValueError) as error:
            raise StoreCorrupt(
                errno.EIO, f"the store has impossible content ({error!r}); {REMEDY}", str(self._path)
            ) from error

    def _begin(self, now_ms: int) -> None:
        recovery.begin_life(self._connection, self._memory, self._boot, now_ms)
        self._sealer.seal_all(self._memory)

    def _release(self) -> None:
        self._connection.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _clock(self) -> Clock:
        return self._memory.clock or Clock(self._boot, 0, ClockState.UNSET)

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction, with what rides; the memory is put back when it fails."""
        before = self._memory.copy()
        try:
            with transaction(self._connection, self._path):
                self._riders.write(self._connection, self._memory)
                yield
        except BaseException:  # the memory must say what the file says
            self._memory = before
            raise
        self._riders.clear()

    def _with_room(self, action: Callable[[], T], *, admin: bool = False, size: int = 0) -> T:
        """Do `action`, which takes `size` bytes, in a transaction; make room as long as there is none for it."""
        try:
            while True:
                self._room.limit(admin=admin)
                try:
                    with self._change():
                        return action()
                except StoreFull:
                    capped = self._room.capped(size)
                    self._room.limit(admin=True)
                    if not self.prune(FOREVER_MS) and not (capped and self._make_room()):
                        raise
        finally:
            self._room.limit(admin=True)

    def _make_room(self) -> bool:
        with self._change():
            made = self._retention.step(self._memory, self.in_flight)
        self._made += made or ()
        self._made_room = self._made_room.plus(self._retention.freed if made is not None else MadeRoom())
        return made is not None

    def _told(self, sealed: list[int]) -> list[int]:
        """What was sealed, and what making room has sealed since the last call."""
        made, self._made = self._made, []
        return sorted({*made, *sealed})

    def _commit(
        self, blocks: Sequence[Block], parts: Sequence[int], notes: Sequence[LedgerEntry], also: Change | None, *,
        account: bool,
    ) -> list[int]:  # fmt: skip
        sealed: list[int] = []
        if also is not None:
            also(self._connection)
        for block in blocks:
            if block.fresh and block.part in self._memory.open:
                sealed.append(self._sealer.seal(self._memory, block.part))
            self._append(block)
        for entry in notes:
            ledger.note(self._connection, self._memory, entry)
        sealed += [self._sealer.seal(self._memory, part) for part in sorted(parts) if part in self._memory.open]
        if account and self._memory.ledger and not self._memory.open:
            sealed.append(self._sealer.seal_account(self._memory, self._clock()))
        return sealed

    def _append(self, block: Block) -> None:
        memory, part, number = self._memory, block.part, self._memory.next_block
        if part in memory.open:
            memory.open[part] = memory.open[part].extended(block, number)
        elif block.fresh:
            memory.open[part] = OpenBatch.of(block, number)
        else:
            raise BatchBoundary(f"no {block.priority} batch is open: reset the packer, and hand over a fresh block")
        clock = block.clock
        row = (number, part, clock.boot, clock.clock_ms, STATE_CODES[clock.state])
        data = (block.samples, block.first_ms, block.last_ms, block.data, memory.open[part].digest)
        self._connection.execute(sealing.INSERT_BLOCK, row + data)
        memory.next_block = number + 1

    def _prune_some(self, before_utc_ms: int) -> list[tuple[int, int, int, int]]:
        with self._change():
            rows = delivery.prunable(self._connection, self._memory, before_utc_ms)
            if rows:
                delivery.drop(self._connection, self._memory, rows)
        return rows
