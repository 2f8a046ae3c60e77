"""The collectors' database, how it is broken, and what it says."""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from collector.errors import CollectorError
from collector.tables.database import Database, Target
from tests.postgres import Server, why_not

NEWEST = "SELECT max(t) FROM (SELECT (SELECT max(ts_ms) FROM samples WHERE series = series.id) AS t FROM series) AS x"
WAITING = "SELECT count(*) FROM waiting WHERE state IN ('ready', 'clock', 'catalogue')"


class Stored(ABC):
    """One database. All methods but `broken` block."""

    target: Target
    keep = True
    """Whether the data stay after `close`, for who looks for a fault."""

    def start(self) -> None:
        """Make it, with the collector's tables."""
        Database.open(self.target).close()

    @abstractmethod
    def broken(self, kind: str) -> AbstractAsyncContextManager[None]:
        """A fault, from entering to leaving."""

    @abstractmethod
    def close(self) -> None:
        """Leave no process behind."""

    def newest(self) -> int | None:
        """The newest sample's time; None while the database says nothing."""
        return self._number(NEWEST)

    def waiting(self) -> int | None:
        """Batches whose samples wait to be decoded; None while the database says nothing."""
        return self._number(WAITING)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with closing(Database.read(self.target)) as database:
            return [tuple(row) for row in database.connection.execute(sql)]

    def _number(self, sql: str) -> int | None:
        try:
            with closing(Database.read(self.target)) as database, database.errors():
                found = database.connection.execute(sql).fetchone()
        except (CollectorError, sqlite3.Error):
            return None
        return None if found is None or found[0] is None else int(found[0])


class Postgres(Stored):
    """A cluster of its own, with fsync as in earnest."""

    def __init__(self, folder: Path) -> None:
        reason = why_not()
        if reason is not None:
            raise RuntimeError(reason)
        self._server = Server(fsync=True)
        (folder / "postgres").symlink_to(self._server.folder)
        self.target = ""

    def start(self) -> None:
        """Make it, with the collector's tables."""
        self._server.start()
        self.target = self._server.database()

    @asynccontextmanager
    async def broken(self, kind: str) -> AsyncIterator[None]:
        """An immediate stop or an orderly one; or nobody may connect, and who is connected is thrown out."""
        if kind == "database refuses":
            await asyncio.to_thread(self._let_in, allowed=False)
        elif kind == "database restart":
            await asyncio.to_thread(self._server.stop)
        else:
            await asyncio.to_thread(self._server.crash)
        try:
            yield
        finally:
            if kind == "database refuses":
                await asyncio.to_thread(self._let_in, allowed=True)
            else:
                await asyncio.to_thread(self._server.start)

    def close(self) -> None:
        """End it; the cluster goes with it, unless it is kept."""
        if not self.keep:
            self._server.close()
        elif self._server.runs:
            self._server.stop()

    def _let_in(self, *, allowed: bool) -> None:
        import psycopg
        from psycopg import sql

        name = str(self.target).partition("?")[0].rpartition("/")[2]
        with psycopg.connect(self._server.url("postgres"), autocommit=True) as connection:
            words = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
            connection.execute(words.format(sql.Identifier(name), sql.Literal(allowed)))
            if not allowed:
                ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                connection.execute(ends, (name,))


class Sqlite(Stored):
    """A file."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "collector.db"

    @asynccontextmanager
    async def broken(self, kind: str) -> AsyncIterator[None]:  # noqa: ARG002 - there is one kind
        """Somebody else writes and does not come to an end."""
        with closing(sqlite3.connect(self.target, isolation_level=None, check_same_thread=False)) as other:
            other.execute("PRAGMA busy_timeout = 60000")
            await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
            yield

    def close(self) -> None:
        """The file stays in the folder."""


def open_stored(database: str, folder: Path) -> Stored:
    """The one that is called so: `postgresql` or `sqlite`."""
    return Postgres(folder) if database == "postgresql" else Sqlite(folder)
