"""What happens when a store is opened: whose it is, what the life before left, and the mark that this one runs."""

import errno
import fcntl
import os
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

from buffer import header as headers
from buffer.block import CATALOGUE_PART
from buffer.database import REMEDY
from buffer.delivery import DAMAGED, KEPT_BLOCKS
from buffer.errors import BatchFormatError, StoreCorrupt, StoreError, StoreMismatch
from buffer.header import STATES, Clock, ClockState, Header, LedgerEntry, entry_dumps
from buffer.memory import Memory
from buffer.pages import Log

UNCLEAN = "unclean stop"
INSERT_LEDGER = "INSERT INTO ledger (entry) VALUES (?)"
SUFFIXES = ("", "-wal", "-shm")  # the files of one SQLite database
MOVED = ".moved"  # at the end of the name of a store set aside: it is whole, and was written on another board


def boot_now_ms() -> int:
    """CLOCK_BOOTTIME in ms."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def lock(path: Path) -> int:
    """A descriptor that holds the store for this process; raises `StoreError` when another one has it."""
    try:
        descriptor = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(error.errno, error.strerror, str(path)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(error.errno, "another process has the store open", str(path)) from error
    return descriptor


def check_log(path: Path) -> None:
    """Raise `StoreCorrupt` when SQLite would drop complete transactions: it ends the log at a damaged page in silence.

    What was sealed then would be sealed again, with other content under the same numbers.
    """
    try:
        damaged = Log(Path(f"{path}-wal")).damaged
    except OSError as error:
        raise StoreError(error.errno, error.strerror, f"{path}-wal") from error
    if damaged:
        raise StoreCorrupt(errno.EIO, f"the log of the store is damaged; {REMEDY}", str(path))


def claim(connection: sqlite3.Connection, path: Path, gateway: str) -> None:
    """Make a new store this gateway's; raises `StoreMismatch` when it is another's."""
    (owner,) = connection.execute("SELECT gateway FROM state").fetchone()
    if owner and owner != gateway:
        message = f"the store belongs to gateway {owner!r}, not {gateway!r}; remedy: set it aside, or mend gateway.id"
        raise StoreMismatch(22, message, str(path))
    if not owner:
        connection.execute("UPDATE state SET gateway = ?", (gateway,))


def begin_life(connection: sqlite3.Connection, memory: Memory, boot: bytes, now_ms: int) -> None:
    """Account for an unclean stop and mark the store as running since `now_ms` of `boot`."""
    if entry := _unclean(connection, boot, now_ms):
        connection.execute(INSERT_LEDGER, (entry_dumps(entry),))
        memory.ledger += 1
    if memory.clock is None:
        connection.execute("UPDATE state SET clock_ms = 0, clock_state = -1")
    connection.execute("UPDATE state SET boot = ?, since_ms = ?, clean = 0", (boot, now_ms))


def _unclean(connection: sqlite3.Connection, boot: bytes, now_ms: int) -> LedgerEntry | None:
    """The interval that nobody knows: from the last sample committed to now, or open-ended in another boot."""
    row = connection.execute("SELECT clean, boot, since_ms, clock_ms, clock_state FROM state").fetchone()
    clean, last_boot, from_ms, clock_ms, state = row
    if clean:
        return None
    query = "SELECT boot, last_ms, clock_ms, clock_state FROM blocks WHERE part < ? ORDER BY id DESC LIMIT ?"
    for found, last_ms, *clock in connection.execute(query, (CATALOGUE_PART, KEPT_BLOCKS)):
        if found == last_boot and last_ms > from_ms:
            from_ms, (clock_ms, state) = last_ms, clock
    to_ms = max(now_ms, from_ms) if last_boot == boot else None
    return LedgerEntry(last_boot, from_ms, to_ms, clock_ms, STATES.get(state, ClockState.UNSET), None, UNCLEAN)


def lost_batch(header: Header, gateway: str) -> LedgerEntry:
    """The entry for a batch whose blocks are damaged; raises `BatchFormatError` for a header that is not ours."""
    if header.gateway != gateway:
        raise BatchFormatError(f"the header names gateway {header.gateway!r}")
    times = (header.first_ms, header.last_ms, header.clock_ms, header.clock_state)
    return LedgerEntry(header.boot, *times, header.samples, f"batch {header.number} is damaged on disk")


def damaged_batch(connection: sqlite3.Connection, number: int, gateway: str, clock: Clock) -> LedgerEntry | None:
    """The entry for a held batch found damaged; None when it is not held, or was written off before."""
    query = "SELECT header FROM batches WHERE number = ? AND acked_utc_ms = 0 AND refused != ?"
    row = connection.execute(query, (number, DAMAGED)).fetchone()
    if row is None:
        return None
    try:
        return lost_batch(headers.loads(row[0]), gateway)
    except BatchFormatError:
        return LedgerEntry(clock.boot, 0, None, 0, ClockState.UNSET, None, f"batch {number} is damaged on disk")


def set_aside(path: Path, why: str = "") -> Path:
    """Rename a store and its log files to a dated name beside it, which is returned; raises `StoreError`.

    `why` is the end of that name.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = next(name for name in _names(path, stamp, why) if not name.exists())
    try:
        for suffix in SUFFIXES:
            source = Path(f"{path}{suffix}")
            if source.exists():
                source.rename(f"{aside}{suffix}")
    except OSError as error:
        raise StoreError(error.errno, f"cannot set aside: {error.strerror}", str(path)) from error
    return aside


def _names(path: Path, stamp: str, why: str) -> list[Path]:
    plain = f"{path.name}.{stamp}"
    return [path.with_name(f"{name}{why}") for name in (plain, *(f"{plain}.{count}" for count in range(1, 1000)))]
