"""What a store holds at one moment, in sum: for status, not for delivery."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from buffer import cbor
from buffer import header as headers
from buffer.delivery import Backlog, backlog
from buffer.errors import BatchFormatError
from buffer.header import Clock
from buffer.recovery import SUFFIXES


@dataclass(frozen=True, slots=True)
class Oldest:
    """The oldest samples that are sealed and not acknowledged: their batch, and when they were taken (boot ms)."""

    number: int
    clock: Clock
    first_ms: int


@dataclass(frozen=True, slots=True)
class MadeRoom:
    """Samples as they were committed that were thinned, and samples evicted (thinned before or not), for room."""

    thinned: int = 0
    evicted: int = 0

    def plus(self, other: "MadeRoom") -> "MadeRoom":
        """The sum."""
        return MadeRoom(self.thinned + other.thinned, self.evicted + other.evicted)


@dataclass(frozen=True, slots=True)
class Stock:
    """`bytes`: on disk, log included. `history`: delivered and kept. `ledger`: entries that no batch has yet.

    `made_room` is since this life of the store began; nobody else knows it.
    """

    bytes: int = 0
    held: Backlog = field(default_factory=Backlog)
    oldest: Oldest | None = None
    history: Backlog = field(default_factory=Backlog)
    ledger: int = 0
    made_room: MadeRoom = field(default_factory=MadeRoom)


def take(connection: sqlite3.Connection, path: Path, acked: Collection[int] = ()) -> Stock:
    """Count; of what the file holds, `acked` is delivered. The caller translates SQLite's errors. Raises `OSError`."""
    return Stock(
        bytes=disk_bytes(path),
        held=backlog(connection, acked),
        oldest=_oldest(connection),
        history=_history(connection),
        ledger=connection.execute("SELECT count(*) FROM ledger").fetchone()[0],
    )


def disk_bytes(path: Path) -> int:
    """What the files of a store take; raises `OSError`."""
    files = (Path(f"{path}{suffix}") for suffix in SUFFIXES if suffix != "-shm")  # which is memory, by its name
    return sum(file.stat().st_size for file in files if file.exists())


def _oldest(connection: sqlite3.Connection) -> Oldest | None:
    query = "SELECT number, header FROM batches WHERE acked_utc_ms = 0 AND samples > 0 ORDER BY number LIMIT 1"
    row = connection.execute(query).fetchone()
    if row is None:
        return None
    try:
        header = headers.decode(cbor.loads(row[1], "a header"))
    except BatchFormatError:  # a damaged row is told of by whoever sends or verifies it
        return None
    return Oldest(row[0], Clock(header.boot, header.clock_ms, header.clock_state), header.first_ms)


def _history(connection: sqlite3.Connection) -> Backlog:
    query = (
        "SELECT count(*), coalesce(sum(samples), 0), coalesce(sum(size), 0), 0"
        " FROM batches WHERE acked_utc_ms > 0 AND signature != x''"
    )
    return Backlog(*connection.execute(query).fetchone())
