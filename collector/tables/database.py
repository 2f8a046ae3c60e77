"""The collector's database, whichever it is: what the rest of the collector asks of it.

SQL is written once, for both: placeholders `?`, `?1` or `:name`, `ON CONFLICT (...)`, `RETURNING`, no function that
only one of them has. What differs (views, bulk rows, locks) is behind this class.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collector.tables.rows import BatchRow, Piece

Target: TypeAlias = Path | str
"""The file of an SQLite database, or the URL of one of PostgreSQL."""

SCHEMES = ("postgresql://", "postgres://")


class Found(Protocol):
    """What a statement found."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""

    @property
    def description(self) -> Any:  # noqa: ANN401 - sequences that begin with the column's name
        """The columns."""

    def fetchone(self) -> Any:  # noqa: ANN401 - a tuple, or None
        """The next row."""

    def fetchall(self) -> list[Any]:
        """All that are left."""

    def __iter__(self) -> Iterator[Any]:
        """One by one."""


class Sql(Protocol):
    """One connection."""

    def execute(self, sql: str, arguments: Sequence[Any] | Mapping[str, Any] = ..., /) -> Found:
        """Run one statement."""

    def executemany(self, sql: str, arguments: Sequence[Sequence[Any]], /) -> object:
        """Run it for each."""


class Database(ABC):
    """One connection, for one thread at a time."""

    connection: Sql
    path: Target

    @staticmethod
    def open(target: Target) -> "Database":
        """Open for writing and make or renew the tables; a commit is on the disk when it returns."""
        return _backend(target).writer(target)

    @staticmethod
    def read(target: Target) -> "Database":
        """Open for reading only; raises DatabaseMissing when there is none."""
        return _backend(target).reader(target)

    @classmethod
    @abstractmethod
    def writer(cls, target: Target) -> "Database":
        """As `open`."""

    @classmethod
    @abstractmethod
    def reader(cls, target: Target) -> "Database":
        """As `read`."""

    @abstractmethod
    def errors(self) -> AbstractContextManager[None]:
        """Raise the database's errors as ours."""

    @abstractmethod
    def transaction(self, gateways: Collection[str] | None = None) -> AbstractContextManager[Sql]:
        """Write alone: of all writers, or of those that write what these gateways sent. Commit at the end, or undo."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Sql]:
        """Read everything as it is at one moment, whatever others write."""

    @abstractmethod
    def quiet(self) -> AbstractContextManager[Sql]:
        """Within it, nobody has begun to write what is not committed: numbers that count themselves have no holes."""

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[None]:
        """Within a transaction: undo only this part when it raises; Unstorable for a value that no column takes."""

    @abstractmethod
    def alone(self, what: str) -> None:
        """Within a transaction: wait until no other one that asked for the same is under way."""

    @abstractmethod
    def changes(self) -> int:
        """A number that differs when another connection changed the registry or the ids of series."""

    @abstractmethod
    def add_batches(self, rows: "Sequence[BatchRow]") -> None:
        """Enter batches in their order of arrival."""

    @abstractmethod
    def add_samples(self, pieces: "Sequence[Piece]") -> None:
        """Enter the samples of batches that were entered before."""

    @abstractmethod
    def drop_samples(self, before_ms: int) -> int:
        """Remove the samples before a time (UTC); return how many, or as near as is cheap to know."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""


def is_url(target: Target) -> bool:
    """Whether it names a PostgreSQL."""
    return isinstance(target, str) and target.startswith(SCHEMES)


def _backend(target: Target) -> type[Database]:
    if is_url(target):
        from collector.tables.postgres import PostgresDatabase  # psycopg is an extra

        return PostgresDatabase
    from collector.tables.sqlite import SqliteDatabase

    return SqliteDatabase
