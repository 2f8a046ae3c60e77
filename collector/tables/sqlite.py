"""The collector's SQLite file: opening it, transactions, and which of SQLite's errors are worth another try."""

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import itemgetter
from pathlib import Path

from collector.errors import CollectorError, DatabaseBroken, DatabaseBusy, DatabaseMissing, Unstorable
from collector.tables import views
from collector.tables.database import Database, Target
from collector.tables.rows import BatchRow, Piece
from collector.tables.schema import STEPS, VERSION, statements

BUSY_TIMEOUT_MS = 5000  # a verb of the command line may hold the write lock for a moment
CACHE_KIB = 65536  # the index of the samples is written at as many places as there are series

_UNSTORABLE = (
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


def _make_for_the_service(path: Path) -> None:
    """What root makes belongs to whom the folder belongs to; what SQLite makes beside it then does as well."""
    if os.geteuid() != 0:
        return
    with suppress(OSError):  # it is there already, or SQLite says what is wrong
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            owner = path.parent.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
        finally:
            os.close(handle)


VIEWS = (
    """CREATE VIEW IF NOT EXISTS command_results AS
    SELECT gateway, stream,
        CASE json_type(result, '$.number') WHEN 'integer' THEN json_extract(result, '$.number') END AS number,
        CASE json_type(result, '$.status') WHEN 'text' THEN json_extract(result, '$.status') END AS status,
        CASE json_type(result, '$.reason') WHEN 'text' THEN json_extract(result, '$.reason') END AS reason,
        CASE json_type(result, '$.source') WHEN 'text' THEN json_extract(result, '$.source') END AS source,
        CASE json_type(result, '$.finished_ms') WHEN 'integer' THEN json_extract(result, '$.finished_ms') END
            AS finished_ms,
        ts_ms, result, batch
    FROM (
        SELECT s.gateway, s.stream, x.ts_ms, x.batch, CASE WHEN json_valid(x.text) THEN x.text END AS result
        FROM series s JOIN samples x ON x.series = s.id
        WHERE s.device = 'gateway' AND s.point = 'command-result' AND x.text IS NOT NULL)""",
    """CREATE VIEW IF NOT EXISTS asset_readings AS
    SELECT *, (CAST(rssi AS INTEGER) << 50) - sample AS rank FROM (
    SELECT s.asset_id, s.device, s.point, s.unit, x.ts_ms, x.value, x.exact, x.text, x.quality,
        (SELECT y.value FROM series c JOIN samples y ON y.series = c.id AND y.ts_ms = x.ts_ms
            WHERE c.asset_id = s.asset_id AND c.point IN ('sequence', 'packet-id', 'advertisements')
                AND c.gateway = s.gateway AND c.stream = s.stream AND c.device = s.device LIMIT 1) AS counter,
        (SELECT y.value FROM series r JOIN samples y ON y.rowid =
                (SELECT z.rowid FROM samples z WHERE z.series = r.id AND z.ts_ms BETWEEN x.ts_ms - 3600000 AND x.ts_ms
                ORDER BY z.ts_ms DESC LIMIT 1)
            WHERE r.asset_id = s.asset_id AND r.point = 'rssi'
                AND r.gateway = s.gateway AND r.stream = s.stream AND r.device = s.device
            ORDER BY r.number DESC LIMIT 1) AS rssi,
        s.gateway, s.stream, x.batch, x.rowid AS sample
    FROM series s JOIN samples x ON x.series = s.id WHERE s.asset_id <> '')""",
    *views.made("strftime('%Y-%m-%dT%H:%M:%fZ', x.ts_ms / 1000.0, 'unixepoch')", "CREATE VIEW IF NOT EXISTS"),
)
"""What the gateways say of what they did, derived from the samples of gateway/command-result; of a field of another
type than it should have there is null. And samples of devices that have an asset id: `counter` is what the sensor
counted its message as, `rssi` (dBm) how well the gateway heard it, or heard it last within the hour; of two gateways'
readings the one with the higher `rank` was heard better, or came first."""


class SqliteDatabase(Database):
    """A file."""

    path: Path
    connection: sqlite3.Connection

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection

    @classmethod
    def writer(cls, target: Target) -> "SqliteDatabase":
        """Open for writing and make the tables if the file is new."""
        path = Path(target)
        _make_for_the_service(path)
        try:
            database = cls(path, sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        except sqlite3.Error as error:
            raise translate(error, path) from error
        try:
            database._prepare()
        except BaseException:  # nobody else would close it
            database.close()
            raise
        return database

    @classmethod
    def reader(cls, target: Target) -> "SqliteDatabase":
        """Open for reading only; raises DatabaseMissing when there is none."""
        path = Path(target)
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
                self._renew()
            self._check_version()

    def _renew(self) -> None:
        """Make the tables of a new file, or those that an older version lacks; what they hold comes by a rebuild."""
        version = self._version()
        if version >= VERSION or (version == 0 and self._tables()):
            return
        for step in STEPS[version:]:
            for statement in statements(step):
                self.connection.execute(statement)
        for name in views.PUBLIC:
            self.connection.execute(f"DROP VIEW IF EXISTS {name}")
        for view in VIEWS:
            self.connection.execute(view)
        self.connection.execute(f"PRAGMA user_version = {VERSION}")

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
    def transaction(self, gateways: Collection[str] | None = None) -> Iterator[sqlite3.Connection]:  # noqa: ARG002
        """Hold the write lock, of which there is one; commit at the end, or leave everything as it was."""
        with self.errors():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:  # also a signal in between leaves everything as it was
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A read transaction; the log grows meanwhile."""
        with self.errors():
            self.connection.execute("BEGIN")
            try:
                yield self.connection
            finally:
                self.connection.execute("ROLLBACK")

    @contextmanager
    def quiet(self) -> Iterator[sqlite3.Connection]:
        """There is one writer, and what it commits is in the order of its numbers."""
        with self.errors():
            yield self.connection

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Within a transaction: undo only this part when it raises."""
        self.connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException as error:  # whatever it was: only this part is undone
            if self.connection.in_transaction:  # a full disk ends the whole transaction
                self.connection.execute("ROLLBACK TO part")
                self.connection.execute("RELEASE part")
            if isinstance(error, _UNSTORABLE):
                raise Unstorable(str(error)) from error
            raise
        self.connection.execute("RELEASE part")

    def alone(self, what: str) -> None:
        """The write lock is held."""

    def changes(self) -> int:
        """Counts every commit of others."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def add_batches(self, rows: Sequence[BatchRow]) -> None:
        """Rows in their order."""
        self.connection.executemany("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_samples(self, pieces: Sequence[Piece]) -> None:
        """Series by series, as their index wants them."""
        for piece in pieces:
            rows = sorted(piece.rows(), key=itemgetter(0))
            self.connection.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def drop_samples(self, before_ms: int) -> int:
        """One by one; the file keeps its size and uses the room again."""
        return self.connection.execute("DELETE FROM samples WHERE ts_ms < ?", (before_ms,)).rowcount

    def close(self) -> None:
        """Close the connection; SQLite writes its log back when it is the last one."""
        self.connection.close()
