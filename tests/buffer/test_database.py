"""SQLite's errors in our words."""

import errno
import sqlite3
from pathlib import Path

import pytest

from buffer.database import connect, transaction, translate
from buffer.errors import StoreCorrupt, StoreError, StoreFull


@pytest.mark.parametrize(
    ("code", "kind", "number"),
    [
        (sqlite3.SQLITE_FULL, StoreFull, errno.ENOSPC),
        (sqlite3.SQLITE_CORRUPT, StoreCorrupt, errno.EIO),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreCorrupt, errno.EIO),
        (sqlite3.SQLITE_NOTADB, StoreCorrupt, errno.EIO),
        (sqlite3.SQLITE_IOERR, StoreError, errno.EIO),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreError, errno.EIO),
        (sqlite3.SQLITE_READONLY, StoreError, errno.EROFS),
        (sqlite3.SQLITE_BUSY, StoreError, errno.EIO),
    ],
)
def test_each_code_has_its_error(code: int, kind: type[StoreError], number: int) -> None:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = code
    found = translate(Path("/var/lib/lamppost/buffer.db"), error)
    assert type(found) is kind
    assert (found.errno, found.filename) == (number, "/var/lib/lamppost/buffer.db")
    assert "what SQLite says" in str(found)
    assert isinstance(found, OSError)


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    connection = connect(path)
    try:
        with pytest.raises(StoreError, match="no such table"), transaction(connection, path):  # noqa: PT012
            connection.execute("INSERT INTO ledger (entry) VALUES (x'00')")
            connection.execute("INSERT INTO absent VALUES (1)")
        assert not connection.in_transaction
        assert connection.execute("SELECT count(*) FROM ledger").fetchone() == (0,)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    finally:
        connection.close()


def test_connect_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="CANTOPEN"):
        connect(tmp_path / "absent")
    assert not list(tmp_path.iterdir())
