"""The collector's tables in PostgreSQL (psycopg 3): the same SQL as for SQLite, locks a gateway each, rows by COPY."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus

from collector.errors import CollectorError, DatabaseBroken, DatabaseBusy, DatabaseMissing, Unstorable
from collector.tables import pgpartitions as partitions
from collector.tables import pgschema
from collector.tables.database import Database, Target
from collector.tables.pgcopy import COPY_END, COPY_START, packed
from collector.tables.pgsql import Statements, plain, shown
from collector.tables.rows import BatchRow, Piece
from collector.tables.schema import VERSION

LOCKS = 0x1A3B  # the first of two keys of advisory locks, beside those of other programs in one database
GATEWAYS, NAMES = LOCKS + 1, LOCKS + 2
LOCK_TIMEOUT_MS = 5000  # another collector, or a verb, may write for a moment
CONNECT_SECONDS = 10
SAMPLES_OF_A_BATCH = 20  # bits: ext.limits.MAX_SAMPLES is under it; a sample's rowid is its batch's, then its place

_UNSTORABLE = (
    OverflowError,
    UnicodeError,
    pg.DataError,
    pg.IntegrityError,
    pg.ProgramLimitExceeded,  # a text too long for an index
)
_PASSING = (pg.OperationalError, pg.InternalError)
_BROKEN = (pg.DataCorrupted, pg.IndexCorrupted)


def translate(error: Exception, url: str) -> CollectorError:
    """The error of ours for one of psycopg's."""
    passing = isinstance(error, _PASSING) and not isinstance(error, _BROKEN)
    return (DatabaseBusy if passing else DatabaseBroken)(f"{shown(url)}: {str(error).strip()}")


class PostgresDatabase(Database):
    """A database on a server. It comes back by itself when its connection was lost."""

    path: str
    connection: Statements

    def __init__(self, url: str, connection: psycopg.Connection[Any], *, writes: bool) -> None:
        self.path = url
        self.connection = Statements(connection)
        self._partitions = partitions.Partitions(self.connection)
        self._writes = writes

    @classmethod
    def writer(cls, target: Target) -> "PostgresDatabase":
        """Connect, and make or renew the tables."""
        database = cls(str(target), _connect(str(target)), writes=True)
        try:
            with database.errors(), database.transaction() as db:
                pgschema.renew(db, database.path)
        except BaseException:  # nobody else would close it
            database.close()
            raise
        return database

    @classmethod
    def reader(cls, target: Target) -> "PostgresDatabase":
        """Connect for reading only; raises DatabaseMissing when the tables are not there."""
        database = cls(str(target), _connect(str(target)), writes=False)
        try:
            with database.errors():
                database.connection.raw.read_only = True
                found = pgschema.version(database.connection)
            if found is None:
                raise DatabaseMissing(f"{shown(database.path)}: no tables of a collector")
            if found != VERSION:
                raise DatabaseBroken(
                    f"{shown(database.path)}: not a collector's database of version {VERSION} (found {found})"
                )
        except BaseException:  # nobody else would close it
            database.close()
            raise
        return database

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise psycopg's errors as ours; a lost connection is made again for the next try."""
        try:
            self._come_back()
            yield
        except psycopg.Error as error:
            raise translate(error, self.path) from error

    @contextmanager
    def transaction(self, gateways: Collection[str] | None = None) -> Iterator[Statements]:
        """Locks in one order, so that collectors wait for, and never on, each other."""
        with self.errors():
            self.connection.execute("BEGIN")
            try:
                self._lock(gateways)
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:  # also a signal in between leaves everything as it was
                raw = self.connection.raw
                self._partitions.forget()
                if not raw.closed and raw.info.transaction_status is not TransactionStatus.IDLE:
                    self.connection.execute("ROLLBACK")
                raise

    def _lock(self, gateways: Collection[str] | None) -> None:
        if gateways is None:
            self.connection.execute(f"SELECT pg_advisory_xact_lock({LOCKS}, 0)")
            return
        self.connection.execute(f"SELECT pg_advisory_xact_lock_shared({LOCKS}, 0)")
        keys = sorted({_key(gateway) for gateway in gateways})
        if keys:
            self.connection.execute(
                "SELECT pg_advisory_xact_lock(?, k) FROM unnest(?::int[]) AS x(k)",  # one by one, in that order
                (GATEWAYS, keys),
            ).fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[Statements]:
        """A transaction that repeats what it has read."""
        with self.errors():
            self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield self.connection
            finally:
                self.connection.execute("ROLLBACK")

    @contextmanager
    def quiet(self) -> Iterator[Statements]:
        """Alone for a moment: every writer holds the lock, all together."""
        with self.transaction() as db:
            yield db

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Within a transaction: undo only this part when it raises."""
        self.connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException as error:  # whatever it was: only this part is undone
            if not self.connection.raw.closed:
                self.connection.execute("ROLLBACK TO part")
                self.connection.execute("RELEASE part")
            if isinstance(error, _UNSTORABLE):
                raise Unstorable(str(error).strip()) from error
            raise
        self.connection.execute("RELEASE part")

    def alone(self, what: str) -> None:
        """An advisory lock, held to the end of the transaction."""
        self.connection.execute("SELECT pg_advisory_xact_lock(?, ?)", (NAMES, _key(what)))

    def changes(self) -> int:
        """Counted by triggers, within the transactions that change something."""
        (number,) = self.connection.execute("SELECT number FROM changes").fetchone() or (0,)
        return int(number)

    def add_batches(self, rows: Sequence[BatchRow]) -> None:
        """By COPY; `rowid` counts them in the order given."""
        if not rows:
            return
        names = "gateway, stream, number, hash, previous, kind, boot, received_at, bytes"
        with self.connection.raw.cursor().copy(f"COPY batches ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "text", "int8", "text", "text", "text", "text", "int8", "bytea"])
            for row in rows:
                copy.write_row([plain(value) for value in row])

    def add_samples(self, pieces: Sequence[Piece]) -> None:
        """By COPY in binary, packed in C."""
        rows = self._rowids(pieces)
        self._partitions.make(pieces)
        names = "series, ts_ms, value, exact, text, quality, batch, rowid"
        with self.connection.raw.cursor().copy(f"COPY samples ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(COPY_START)
            for piece, row in zip(pieces, rows, strict=True):
                copy.write(packed(piece, row << SAMPLES_OF_A_BATCH))
            copy.write(COPY_END)

    def _rowids(self, pieces: Sequence[Piece]) -> list[int]:
        """Those of the batches."""
        keys = [(piece.gateway, piece.stream, piece.number) for piece in pieces]
        found = self.connection.execute(
            "SELECT b.gateway, b.stream, b.number, b.rowid FROM batches b"
            " JOIN unnest(?::text[], ?::text[], ?::int8[]) AS w(g, s, n)"
            " ON b.gateway = w.g AND b.stream = w.s AND b.number = w.n",
            [list(column) for column in zip(*keys, strict=True)],
        )
        rows = {(gateway, stream, number): rowid for gateway, stream, number, rowid in found}
        return [rows[key] for key in keys]

    def drop_samples(self, before_ms: int) -> int:
        """Whole days at once, the rest one by one."""
        return self._partitions.drop(before_ms)

    def _come_back(self) -> None:
        if self.connection.raw.closed or self.connection.raw.broken:
            self.connection.raw = _connect(self.path)
            self.connection.raw.read_only = None if self._writes else True

    def close(self) -> None:
        """Close the connection."""
        self.connection.raw.close()


def _key(name: str) -> int:
    """32 bits with a sign. Two gateways of one key wait for each other, no more."""
    found = crc32(name.encode())
    return found - (1 << 32) if found >> 31 else found


def _connect(url: str) -> psycopg.Connection[Any]:
    options = f"-c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC -c jit=off"
    try:
        return psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            options=options,
            application_name="lamppost-collector",
        )
    except psycopg.Error as error:
        raise translate(error, url) from error
