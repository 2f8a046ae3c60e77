"""The tables of the store and how one version becomes the next. Loaded only by the process of `buffer.migrate`."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlite_utils import Database

from buffer.cose import Kind
from buffer.database import APPLICATION_ID, PAGE_BYTES
from buffer.header import KIND_CODES, STREAM_BYTES
from buffer.migrate import OLDEST, stamp


def migrate(path: Path, target: int) -> None:
    """Make the file, or bring it to version `target`; a version is there wholly or not at all."""
    connection = sqlite3.connect(path)
    try:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")  # of a new file; no effect later
        database = Database(connection, recursive_triggers=False)
        database.enable_wal()
        connection.execute("PRAGMA synchronous=FULL")
        (stamped,) = connection.execute("PRAGMA user_version").fetchone()
        version = stamped & 0xFFFF
        for step in range(version, target):
            with database.atomic():
                STEPS[step](database)
                connection.execute(f"PRAGMA user_version={stamp(step + 1, min(step + 1, OLDEST))}")
    finally:
        connection.close()


def _create(database: Database) -> None:
    """Version 1. `part` is the code of the priority, 3 for catalogues; an `acked_utc_ms` of 0 is "not yet"."""
    database.execute(f"PRAGMA application_id={APPLICATION_ID}")
    for name, (key, columns) in TABLES.items():
        database.table(name).create(columns, pk=key)
    database.table("series").create_index(["definition"], unique=True)
    database.execute(f"CREATE INDEX catalogues ON batches (hash) WHERE kind = {KIND_CODES[Kind.CATALOGUE]}")
    database.execute("CREATE INDEX held ON batches (number) WHERE acked_utc_ms = 0")
    state: dict[str, object] = dict.fromkeys(TABLES["state"][1], 0)
    state |= {"id": 1, "gateway": "", "stream": os.urandom(STREAM_BYTES), "boot": b"", "clean": 1}
    database.table("state").insert(state | {"next_series": 1, "clock_state": -1})


def _wear(database: Database) -> None:
    """Version 3. What was written to the card since the store was made, and in how many ms of running."""
    for column in ("written_bytes", "written_ms"):
        database.execute(f"ALTER TABLE state ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")


def _retention(database: Database) -> None:
    """Version 4. `window`: of thinned batches in ms, -1 of batches that replace others and have no samples, else 0."""
    database.execute("ALTER TABLE batches ADD COLUMN window INTEGER NOT NULL DEFAULT 0")
    database.execute("CREATE INDEX spare ON batches (part, window, number, size) WHERE acked_utc_ms = 0 AND part >= 2")
    database.execute("CREATE INDEX aside ON batches (number) WHERE acked_utc_ms = 0 AND refused != ''")


TABLES: dict[str, tuple[str, dict[str, type]]] = {
    "blocks": (
        "id",
        {
            "id": int,
            "part": int,
            "boot": bytes,
            "clock_ms": int,
            "clock_state": int,
            "samples": int,
            "first_ms": int,
            "last_ms": int,
            "data": bytes,
        },
    ),
    "batches": (
        "number",
        {
            "number": int,
            "kind": int,
            "part": int,
            "samples": int,
            "size": int,
            "catalogue": int,
            "first_block": int,
            "last_block": int,
            "acked_utc_ms": int,
            "refused": str,
            "kid": bytes,
            "hash": bytes,
            "signature": bytes,
            "header": bytes,
            "sealed_to": bytes,
            "floor_ms": int,
        },
    ),
    "series": ("number", {"number": int, "definition": bytes}),
    "ledger": ("id", {"id": int, "entry": bytes}),
    "state": (
        "id",
        {
            "id": int,
            "gateway": str,
            "stream": bytes,
            "catalogue": int,
            "next_series": int,
            "boot": bytes,
            "since_ms": int,
            "clean": int,
            "clock_ms": int,
            "clock_state": int,
            "floor_ms": int,
        },
    ),
}
"""Key and columns of each table of version 1."""


def _add_digest(database: Database) -> None:
    """Version 2. `digest` is `Block.digest`; null in a block of version 1."""
    database.table("blocks").add_column("digest", int)


def _orders(database: Database) -> None:
    """Version 5. What `buffer.orders` keeps; `quiet` has one row."""
    for name, (key, columns) in ORDERS.items():
        database.table(name).create(columns, pk=key)
    database.execute("CREATE INDEX rated ON rates (point, at_ms)")
    database.table("quiet").insert({"id": 1, "quiet_ms": 0, "heard_ms": 0, "boot": b"", "boot_ms": 0, "utc_ms": 0})


ORDERS: dict[str, tuple[str, dict[str, type]]] = {
    "commands": (
        "number",
        {"number": int, "expires_ms": int, "accepted_ms": int, "message": bytes, "result": str, "final": int},
    ),
    "rates": ("id", {"id": int, "point": str, "at_ms": int}),
    "reverts": ("point", {"point": str, "written_ms": int}),
    "quiet": (
        "id",
        {"id": int, "quiet_ms": int, "heard_ms": int, "boot": bytes, "boot_ms": int, "utc_ms": int},
    ),
}
"""Key and columns of each table that version 5 adds."""


def _floors(database: Database) -> None:
    """Version 6. What `buffer.floors` keeps."""
    database.table("floors").create({"name": str, "number": int}, pk="name")


def _usage(database: Database) -> None:
    """Version 7. What `buffer.usage` keeps, in one row; indexes for what is asked of a large backlog."""
    database.execute("DROP INDEX held")
    database.execute(
        "CREATE INDEX held ON batches (number, kind, part, samples, size, refused, window, acked_utc_ms)"
        " WHERE acked_utc_ms = 0"
    )
    database.execute("CREATE INDEX history ON batches (number) WHERE acked_utc_ms > 0 AND signature != x''")
    columns = {"id": int, "day": str, "day_bytes": int, "month": str, "month_bytes": int}
    database.table("usage").create(columns, pk="id")
    database.table("usage").insert({"id": 1, "day": "", "day_bytes": 0, "month": "", "month_bytes": 0})


STEPS: tuple[Callable[[Database], None], ...] = (_create, _add_digest, _wear, _retention, _orders, _floors, _usage)
"""The n-th brings a file of version n to version n + 1."""
