"""SQLite as the store uses it: connections, one transaction an operation, and SQLite's errors in our words."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from buffer.errors import StoreCorrupt, StoreError, StoreFull

PAGE_BYTES = 512  # a commit rewrites few bytes: docs/decisions/0007-store.md
APPLICATION_ID = 0x4C616D70  # "Lamp": whose file this is (sqlite.org/pragma.html#pragma_application_id)
BUSY_MS = 5000  # a reader may hold up a checkpoint, never longer than this
PRIMARY = 0xFF  # the low byte of an extended result code (sqlite.org/rescode.html)
ERRNO = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}
DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT,  # rows and indexes that contradict each other: the store never breaks a rule itself
    sqlite3.SQLITE_MISMATCH,
}
REMEDY = "remedy: set the file aside (the agent does at its start) and keep it for salvage"


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open an existing file; never creates one. Transactions are the caller's, by BEGIN and COMMIT."""
    with translated(path):
        uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
        if read_only and _unchanging(path):
            uri += "&immutable=1"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
        connection.execute("PRAGMA synchronous=FULL")  # a commit is on the disk when it returns
        connection.execute("PRAGMA secure_delete=OFF")  # Debian's SQLite writes what it drops over with zeros
        return connection


def _unchanging(path: Path) -> bool:
    """Whether nobody can write here, and no log is to be read: SQLite reads such a file without its shared memory."""
    log = path.with_name(path.name + "-wal")
    return not os.access(path.parent, os.W_OK) and not (log.exists() and log.stat().st_size)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as `StoreFull`, `StoreCorrupt` or `StoreError`, naming the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(path, error) from error


def translate(path: Path, error: sqlite3.Error) -> StoreError:
    """Which of our errors SQLite's is."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & PRIMARY
    number = ERRNO.get(code, errno.EIO)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(number, f"no room: the size limit or the file system is reached ({error})", str(path))
    if code in DAMAGE:
        return StoreCorrupt(number, f"the store is damaged ({error}); {REMEDY}", str(path))
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreError(number, f"{name}: {error}", str(path))


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """All of it or nothing, on the disk when it ends; raises like `translated`."""
    with translated(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:  # whatever stopped it, nothing half done may stay
            rollback(connection)
            raise


def rollback(connection: sqlite3.Connection) -> None:
    """End the transaction, if SQLite did not do so itself (sqlite.org/lang_transaction.html, 4)."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
