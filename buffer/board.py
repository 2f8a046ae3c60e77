"""On which board a store is written: prints of its serial number and network addresses, rows of the table `floors`.

Each function takes the store's connection: `Store.ask` to read, `Store.change` to write.
"""

import hashlib
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from buffer.running import TOLD

SERIAL, ADDRESS = "serial", "address"
KINDS = (SERIAL, ADDRESS)
"""What a print may be of, the surest first."""
MAX_PRINTS = 64  # rows: a board has a few network interfaces; more that come later are not remembered
_ROWS = "board/"


@dataclass(frozen=True, slots=True)
class Heritage:
    """What a store takes over from the one before it; `rows` by table, of those that have any."""

    rows: Mapping[str, Sequence[tuple[object, ...]]]
    floor_ms: int
    written_bytes: int
    written_ms: int


def print_of(kind: str, value: str) -> str:
    """What stands for the board's own `value`, which is not kept itself: `kind:` and 64 bits of a hash."""
    return f"{kind}:{hashlib.sha256(f'{kind} {value}'.encode()).hexdigest()[:16]}"


def known(connection: sqlite3.Connection) -> frozenset[str]:
    """The prints of the board on which the store was written so far; empty when none could be read there."""
    query = "SELECT substr(name, ?) FROM floors WHERE name GLOB ?"
    return frozenset(name for (name,) in connection.execute(query, (len(_ROWS) + 1, f"{_ROWS}*")))


def remember(connection: sqlite3.Connection, board: Collection[str]) -> None:
    """The store is written on `board`; what it knew of it before stays, as an interface may come up late."""
    rows = [(f"{_ROWS}{one}",) for one in sorted(board)[: MAX_PRINTS - len(known(connection))]]
    connection.executemany("INSERT OR IGNORE INTO floors VALUES (?, 0)", rows)


def moved(before: Collection[str], now: Collection[str]) -> bool:
    """Whether it is certainly another board: judged by the surest kind that both have, and none of it is the same."""
    for kind in KINDS:
        old, new = ({one for one in board if one.startswith(f"{kind}:")} for board in (before, now))
        if old and new:
            return old.isdisjoint(new)
    return False


def heritage(before: sqlite3.Connection) -> Heritage:
    """What is the gateway's and not the stream's: commands done, numbers that never go back, what was sent and written.

    Of the board, and of what the stream was told to have, nothing.
    """
    rows = {
        table: before.execute(f"SELECT * FROM {table} WHERE {where}").fetchall()  # noqa: S608
        for table, where in _INHERITED.items()
    }
    filled = {table: found for table, found in rows.items() if found}
    return Heritage(filled, *before.execute("SELECT floor_ms, written_bytes, written_ms FROM state").fetchone())


def inherit(connection: sqlite3.Connection, found: Heritage) -> None:
    """Give it to a new store."""
    for table, rows in found.rows.items():
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)  # noqa: S608
    row = (found.floor_ms, found.written_bytes, found.written_ms)
    connection.execute("UPDATE state SET floor_ms = ?, written_bytes = ?, written_ms = ?", row)


_INHERITED = {
    "commands": "true",
    "rates": "true",
    "reverts": "true",
    "quiet": "true",
    "usage": "true",
    "floors": f"name NOT GLOB '{_ROWS}*' AND name != '{TOLD}'",
}
"""Tables and which of their rows. None has more than some thousand."""
