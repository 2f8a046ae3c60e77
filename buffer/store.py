"""The store: blocks committed, sealed into batches, held until they are acknowledged. One thread uses it."""

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from buffer import catalogue, delivery, recovery, sealing
from buffer.ack import Ack
from buffer.block import CATALOGUE_PART, Block, OpenBatch
from buffer.catalogue import SeriesDefinition
from buffer.database import PAGE_BYTES, REMEDY, connect, transaction, translated
from buffer.delivery import Backlog, Held
from buffer.errors import BatchBoundary, BatchFormatError, StoreCorrupt, StoreFull
from buffer.header import (
    BOOT_BYTES,
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

__all__ = ["MIN_SIZE", "Backlog", "Block", "Clock", "Held", "Store", "set_aside"]

T = TypeVar("T")

MIN_SIZE = 1_000_000  # bytes; below it the log and the reserve leave no room for data
LOG_PAGES = 1000  # the log is copied into the file when it has as many; small stores take an eighth of their size
FOREVER_MS = 1 << 62


class Store:
    """See the module. A method that raises `StoreError` has changed nothing, and may be called again."""

    def __init__(self, path: Path, connection: sqlite3.Connection, gateway: str, key: SigningKey, boot: bytes) -> None:
        self._path = path
        self._connection = connection
        self._gateway = gateway
        self._boot = boot
        self._sealer = sealing.Sealer(connection, gateway, key)
        self._lock = -1
        self._data_pages = self._all_pages = 0
        self._memory: Memory

    @classmethod
    def open(
        cls,
        path: Path,
        gateway: str,
        key: SigningKey,
        boot: bytes,
        *,
        size_limit: int,
        now_ms: Callable[[], int] = recovery.boot_now_ms,
    ) -> Self:
        """Open the file, made or migrated when need be; seal what a life before left, account for its unclean stop.

        `size_limit` is bytes on disk, log included; `now_ms` reads CLOCK_BOOTTIME. Raises `StoreCorrupt` (the file is
        as it was: `set_aside` it and open again), `StoreMismatch`, `StoreFull` or `StoreError`.
        """
        if len(boot) != BOOT_BYTES or size_limit < MIN_SIZE:
            raise ValueError(f"a boot id has {BOOT_BYTES} bytes, a store at least {MIN_SIZE}")
        gateway_id(gateway)
        held = recovery.lock(path)
        try:
            ensure(path)
            store = cls(path, connect(path), gateway, key, boot)
        except BaseException:  # the lock must not outlive the attempt
            os.close(held)
            raise
        store._lock = held
        try:
            store._start(size_limit, now_ms())
        except BaseException:  # nor the connection
            store._release()
            raise
        return store

    def close(self, *, clean: bool = True) -> None:
        """Give the file up; `clean` says that everything sampled was committed or accounted for."""
        try:
            if clean:
                with self._change():
                    self._connection.execute("UPDATE state SET clean = 1")
        finally:
            self._release()

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
        return self._with_room(lambda: self._assign(definitions), admin=True)

    def commit(self, blocks: Sequence[Block], *, seal: bool = False) -> list[int]:
        """Put blocks on the disk, all or none, by one fsync; the numbers of the batches sealed by it.

        A `fresh` block seals the open batch of its priority first; `seal` seals all open batches afterwards. Raises
        `BatchFormatError` or `BatchBoundary` for a block that cannot be kept as it is, `StoreFull`, `StoreError`.
        """
        for block in blocks:
            block.check()
        if blocks and self._memory.catalogue_hash is None:
            raise BatchFormatError("samples without a catalogue: assign series first")
        if not blocks and not (seal and self._memory.open):
            return []
        return self._with_room(lambda: self._commit(blocks, seal))

    def seal(self, priority: Priority | None = None) -> list[int]:
        """Seal the open batch of one priority, or all; their numbers.

        Ledger entries that no batch has taken, with nothing open, get a batch without samples.
        """
        part = None if priority is None else PRIORITY_CODES[priority]
        if part not in self._memory.open and not (self._memory.open and part is None) and not self._memory.ledger:
            return []
        return self._with_room(lambda: self._seal(part), admin=True)

    def tell_clock(self) -> list[int]:
        """Seal a batch without samples, for the clock in its header; its number."""
        return self._with_room(lambda: [self._sealer.seal_account(self._memory, self._clock())], admin=True)

    def message(self, number: int) -> bytes:
        """The COSE bytes of a sealed batch, the same at every call; raises `UnknownBatch` or `StoreCorrupt`."""
        with translated(self._path):
            return sealing.read_message(self._connection, number)

    def held(self, limit: int = -1) -> list[Held]:
        """What is sealed and not acknowledged, by number, at most `limit` of it (-1: all)."""
        with translated(self._path):
            return delivery.held(self._connection, limit)

    def backlog(self) -> Backlog:
        """What is sealed and not acknowledged, in sum."""
        with translated(self._path):
            return delivery.backlog(self._connection)

    def find(self, digest: bytes) -> int | None:
        """The number of the batch of that hash, when its bytes are kept."""
        with translated(self._path):
            query = "SELECT number FROM batches WHERE hash = ? AND header != x''"
            row = self._connection.execute(query, (digest,)).fetchone()
            return None if row is None else int(row[0])

    def acknowledge(self, ack: Ack) -> list[int]:
        """The numbers that a verified acknowledgement frees now, freed; raises `AckRefused`, then nothing is."""
        with translated(self._path):
            delivery.check_ack(self._connection, self._memory, self._gateway, ack)
            numbers = delivery.acked_numbers(self._connection, ack)
        return self._free(numbers, ack.time, floor_ms=ack.time)

    def acknowledge_numbers(self, numbers: Sequence[int], utc_ms: int | None = None) -> list[int]:
        """Free batches on another's word (a broker's PUBACK), dated `utc_ms` or now; those that were held."""
        return self._free(numbers, time.time_ns() // 1_000_000 if utc_ms is None else utc_ms)

    def _free(self, numbers: Sequence[int], utc_ms: int, *, floor_ms: int = 0) -> list[int]:
        when = max(1, utc_ms)
        query = "UPDATE batches SET acked_utc_ms = ? WHERE number = ? AND acked_utc_ms = 0"
        freed: list[int] = []
        if not numbers:
            return freed
        with self._change():
            freed += [number for number in numbers if self._connection.execute(query, (when, number)).rowcount]
            if floor_ms > self._memory.floor_ms:
                self._connection.execute("UPDATE state SET floor_ms = ?", (floor_ms,))
                self._memory.floor_ms = floor_ms
            self._memory.lowest_held = lowest_held(self._connection, self._memory.lowest_held)
        return freed

    def refuse(self, number: int, reason: str) -> None:
        """Mark a held batch as refused by the collector; it stays held."""
        with self._change():
            self._connection.execute("UPDATE batches SET refused = ? WHERE number = ?", (reason, number))
            self._memory.lowest_held = lowest_held(self._connection, self._memory.lowest_held)

    def prune(self, before_utc_ms: int) -> int:
        """Drop the bytes of batches acknowledged before then; how many. Catalogues in use stay."""
        count = 0
        while rows := self._prune_some(before_utc_ms):
            count += len(rows)
        return count

    def note(self, entry: LedgerEntry) -> None:
        """Account for samples; goes into the header of the next batch sealed. Raises `BatchFormatError`."""
        data = entry_dumps(entry)
        with self._change():
            self._connection.execute(recovery.INSERT_LEDGER, (data,))
            self._memory.ledger += 1

    @property
    def floor_ms(self) -> int:
        """The newest verified signed time, ms since the epoch; the clock never goes below it. Only rises."""
        return self._memory.floor_ms

    @floor_ms.setter
    def floor_ms(self, utc_ms: int) -> None:
        if utc_ms > self._memory.floor_ms:
            with self._change():
                self._connection.execute("UPDATE state SET floor_ms = ?", (utc_ms,))
                self._memory.floor_ms = utc_ms

    @property
    def boot_clock(self) -> Clock | None:
        """The last estimate of this boot's clock that was set, also in an earlier life of the process."""
        return self._memory.clock

    @boot_clock.setter
    def boot_clock(self, clock: Clock) -> None:
        if clock.boot != self._boot:
            raise ValueError(f"a clock of boot {clock.boot.hex()}, this is {self._boot.hex()}")
        with self._change():
            row = (clock.clock_ms, STATE_CODES[clock.state])
            self._connection.execute("UPDATE state SET clock_ms = ?, clock_state = ?", row)
            self._memory.clock = clock

    def _start(self, size_limit: int, now_ms: int) -> None:
        pages = size_limit // PAGE_BYTES
        log = min(LOG_PAGES, pages // 8)
        self._all_pages = pages - 2 * log  # the log grows by one transaction over its mark
        self._data_pages = self._all_pages - max(32, pages // 32)  # the rest is for seals, the ledger and freeing
        with translated(self._path):
            self._connection.execute(f"PRAGMA wal_autocheckpoint={log}")
            self._connection.execute(f"PRAGMA journal_size_limit={2 * log * PAGE_BYTES}")
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
        """One transaction; the memory is put back when it fails."""
        before = self._memory.copy()
        try:
            with transaction(self._connection, self._path):
                yield
        except BaseException:  # the memory must say what the file says
            self._memory = before
            raise

    def _limit(self, *, admin: bool) -> None:
        """How far the file may grow now: data leave a reserve to what is not data."""
        pages = self._all_pages if admin else self._data_pages
        with translated(self._path):
            self._connection.execute(f"PRAGMA max_page_count={pages}")

    def _with_room(self, action: Callable[[], T], *, admin: bool = False) -> T:
        """Do `action` in a transaction; when there is no room, once more without delivered history."""
        self._limit(admin=admin)
        try:
            with self._change():
                return action()
        except StoreFull:
            self._limit(admin=True)
            if not self.prune(FOREVER_MS):
                raise
            self._limit(admin=admin)
            with self._change():
                return action()
        finally:
            self._limit(admin=True)

    def _assign(self, definitions: Sequence[SeriesDefinition]) -> list[int]:
        known = {data: number for number, data in self._connection.execute("SELECT number, definition FROM series")}
        entries = [definition.numbered(self._number(definition, known)) for definition in definitions]
        block = catalogue.encode(entries)
        if block != self._newest_catalogue():
            self._sealer.seal_all(self._memory)
            self._sealer.seal_catalogue(self._memory, self._clock(), block)
            self._connection.execute("UPDATE state SET next_series = ?", (self._memory.next_series,))
        return [entry.number for entry in entries]

    def _number(self, definition: SeriesDefinition, known: dict[bytes, int]) -> int:
        key = definition.key()
        if key not in known:
            known[key] = self._memory.next_series
            self._memory.next_series += 1
            self._connection.execute("INSERT INTO series VALUES (?, ?)", (known[key], key))
        return known[key]

    def _newest_catalogue(self) -> bytes | None:
        query = "SELECT first_block, last_block FROM batches WHERE number = ?"
        row = self._connection.execute(query, (self._memory.catalogue,)).fetchone()
        return None if row is None else sealing.read_blocks(self._connection, CATALOGUE_PART, *row)[0]

    def _commit(self, blocks: Sequence[Block], seal: bool) -> list[int]:
        sealed: list[int] = []
        for block in blocks:
            if block.fresh and block.part in self._memory.open:
                sealed.append(self._sealer.seal(self._memory, block.part))
            self._append(block)
        return sealed + (self._sealer.seal_all(self._memory) if seal else [])

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
        data = (block.samples, block.first_ms, block.last_ms, block.data)
        self._connection.execute(sealing.INSERT_BLOCK, row + data)
        memory.next_block = number + 1

    def _seal(self, part: int | None) -> list[int]:
        if part is None:
            sealed = self._sealer.seal_all(self._memory)
        else:
            sealed = [self._sealer.seal(self._memory, part)] if part in self._memory.open else []
        if self._memory.ledger and not self._memory.open:
            sealed.append(self._sealer.seal_account(self._memory, self._clock()))
        return sealed

    def _prune_some(self, before_utc_ms: int) -> list[tuple[int, int, int, int]]:
        with translated(self._path):
            rows = delivery.prunable(self._connection, self._memory, before_utc_ms)
        if rows:
            with self._change():
                delivery.drop(self._connection, self._memory, rows)
        return rows
