"""Make a store file or bring it to this version, in a child process: `python -m buffer.migrate PATH`.

sqlite-utils costs 17 MB of memory, and a daemon that found the file in order never loads it.
"""

import errno
import sqlite3
import subprocess
import sys
from pathlib import Path

from buffer.database import APPLICATION_ID, connect, translate, translated
from buffer.errors import StoreError, StoreMismatch

VERSION = 7  # of the tables, in the low 16 bits of PRAGMA user_version
OLDEST = 7
"""The oldest version whose program works with these tables too, in the high 16 bits (0: the same)."""
TIMEOUT_S = 600  # rewriting a full store on a slow card
QUERIES = ("PRAGMA user_version", "PRAGMA application_id", "SELECT count(*) FROM sqlite_master")


def ensure(path: Path) -> None:
    """Make or migrate the file when it needs it; raises `StoreCorrupt`, `StoreMismatch` or `StoreError`."""
    version, oldest = versions_of(path)
    if oldest > VERSION:
        message = f"the store is of version {version}, this program knows {VERSION}; remedy: install the newer program"
        raise StoreMismatch(errno.EINVAL, message, str(path))
    if version < VERSION:
        _run_child(path)


def stamp(version: int, oldest: int) -> int:
    """What stands in PRAGMA user_version."""
    return version if version == oldest else oldest << 16 | version


def versions_of(path: Path, *, read_only: bool = False) -> tuple[int, int]:
    """The version of the tables, and the oldest that works with them; 0 when the file is missing or empty."""
    if not path.exists():
        return 0, 0
    connection = connect(path, read_only=read_only)
    try:
        with translated(path):
            version, application, tables = (int(connection.execute(query).fetchone()[0]) for query in QUERIES)
    finally:
        connection.close()
    if application != APPLICATION_ID and (version or tables):
        message = "an SQLite file, but no store of this program; remedy: name another path in [buffer]"
        raise StoreMismatch(errno.EINVAL, message, str(path))
    return version & 0xFFFF, version >> 16 or version


def _run_child(path: Path) -> None:
    command = [sys.executable, "-m", "buffer.migrate", str(path.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(errno.EIO, f"cannot make or migrate the store: {error}", str(path)) from error
    if done.returncode:
        raise StoreError(errno.EIO, f"cannot make or migrate the store: {done.stderr.strip()[-500:]}", str(path))


def main(arguments: list[str]) -> int:
    """Migrate the one file named; 0, or an exit code of sysexits with the reason on stderr."""
    from buffer.schema import migrate

    path = Path(arguments[0])
    try:
        migrate(path, VERSION)
    except sqlite3.Error as error:
        failure = translate(path, error)
        sys.stderr.write(f"{failure}\n")
        return failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
