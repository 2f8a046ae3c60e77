"""How far the file of a store may grow: its own limit, the log included, and what the file system is to keep free."""

import sqlite3
from pathlib import Path

from buffer.database import PAGE_BYTES, translated
from buffer.space import Space

MIN_SIZE = 1_000_000  # bytes; below it the log and the reserve leave no room for data
LOG_PAGES = 8000  # the log is copied into the file when it has as many; small stores take an eighth of their size
GROWTH_PAGES = 128  # what a commit or a seal takes beside its blocks, at most


class Room:
    """Bounds the pages of a file that is open. `size_limit` and `keep_free` are bytes."""

    def __init__(self, connection: sqlite3.Connection, path: Path, size_limit: int, keep_free: int) -> None:
        self._connection = connection
        self._path = path
        self.space = Space(path, keep_free)
        pages = size_limit // PAGE_BYTES
        self.log = min(LOG_PAGES, pages // 8)
        """Pages of the log at which it is copied into the file."""
        self._all = pages - 2 * self.log  # the log grows by one transaction over its mark
        self._data = self._all - max(32, pages // 32)  # the rest is for seals, the ledger and freeing
        with translated(path):
            connection.execute(f"PRAGMA wal_autocheckpoint={self.log}")
            connection.execute(f"PRAGMA journal_size_limit={2 * self.log * PAGE_BYTES}")

    def limit(self, *, admin: bool) -> None:
        """Set how far the file may grow now: data leave a reserve to what is not data, all of it some of the disk."""
        pages = self._all if admin else self._data
        growth = self.space.growth()
        with translated(self._path):
            if growth is not None:
                (used,) = self._connection.execute("PRAGMA page_count").fetchone()
                reserve = self._all - self._data if admin else 0
                pages = min(pages, used + growth // PAGE_BYTES + reserve)
            self._connection.execute(f"PRAGMA max_page_count={pages}")

    def capped(self, size: int) -> bool:
        """Whether `size` bytes find no room for the limit set: a full file system is a fault that passes instead."""
        with translated(self._path):
            limit, pages, free = (
                self._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("max_page_count", "page_count", "freelist_count")
            )
        return bool(limit - pages + free < size // PAGE_BYTES * 2 + GROWTH_PAGES)
