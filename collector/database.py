"""The collector's SQLite file: opening it, transactions, and which of SQLite's errors are worth another try."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector.errors import CollectorError, DatabaseBroken, DatabaseBusy, DatabaseMissing
from collector.schema import ASSETS, COMMANDS, ENROLMENT, REPLACED, TABLES, VERSION

BUSY_TIMEOUT_MS = 5000  # a verb of the command line may hold the write lock for a moment
CACHE_KIB = 65536  # the index of the samples is written at as many places as there are series

UNSTORABLE = (
    OverflowError,
    UnicodeError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""What SQLite raises for a value that no column takes: the fault of the batch, not of the database."""

_PASSING = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
}


def translate(error: sqlite3.Error, path: Path) -> CollectorError:
    """Return the error of ours for one of SQLite's; the low byte of a result code is its class."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    kind = DatabaseBusy if code & 0xFF in _PASSING else DatabaseBroken
    return kind(f"{path}: {error}")


class Database:
    """One connection, for one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection

    @classmethod
    def open(cls, path: Path) -> "Database":
        """Open for writing and make the tables if the file is new; a commit is on the disk when it returns."""
        try:
            database = cls(path, sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        except sqlite3.Error as error:
            raise translate(error, path) from error
        try:
            database._prepare()
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def read(cls, path: Path) -> "Database":
        """Open for reading only; raises DatabaseMissing when there is none."""
        if not path.is_file():
            raise DatabaseMissing(f"{path}: no such database")
        try:
            uri = f"{path.resolve().as_uri()}?mode=ro"
            database = cls(path, sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False))
            database.connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            database._check_version()
        except sqlite3.Error as error:
            raise translate(error, path) from error
        return database

    def _prepare(self) -> None:
        with self.errors():
            for pragma in (
                f"busy_timeout = {BUSY_TIMEOUT_MS}",
                "journal_mode = WAL",
                "synchronous = FULL",
                f"cache_size = -{CACHE_KIB}",
            ):
                self.connection.execute(f"PRAGMA {pragma}")
            with self.transaction():
                if self._version() == 0 and not self._tables():
                    for statement in TABLES.split(";\n"):
                        self.connection.execute(statement)
                    self.connection.execute(f"PRAGMA user_version = {VERSION}")
                if self._version() == 1:  # no gateway replaced batches yet: the table was empty
                    self.connection.execute("DROP TABLE replaced")
                    self.connection.execute(REPLACED)
                    self.connection.execute("PRAGMA user_version = 2")
                if self._version() == 2:
                    for statement in COMMANDS.split(";\n"):
                        self.connection.execute(statement)
                    self.connection.execute("PRAGMA user_version = 3")
                if self._version() == 3:  # the new columns stay empty until each gateway's next catalogue, or a rebuild
                    for statement in ASSETS.split(";\n"):
                        self.connection.execute(statement)
                    self.connection.execute("PRAGMA user_version = 4")
                if self._version() == 4:
                    for statement in ENROLMENT.split(";\n"):
                        self.connection.execute(statement)
                    self.connection.execute("PRAGMA user_version = 5")
            self._check_version()

    def _version(self) -> int:
        return int(self.connection.execute("PRAGMA user_version").fetchone()[0])

    def _tables(self) -> int:
        return int(self.connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])

    def _check_version(self) -> None:
        if (found := self._version()) != VERSION:
            raise DatabaseBroken(f"{self.path}: not a collector's database of version {VERSION} (found {found})")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise SQLite's errors as ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; commit at the end, or leave everything as it was."""
        with self.errors():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Within a transaction: undo only this part when it raises."""
        self.connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:  # a full disk ends the whole transaction
                self.connection.execute("ROLLBACK TO part")
                self.connection.execute("RELEASE part")
            raise
        self.connection.execute("RELEASE part")

    def close(self) -> None:
        """Close the connection; SQLite writes its log back when it is the last one."""
        self.connection.close()
