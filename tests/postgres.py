"""A PostgreSQL server of the tests' own, from Debian's package: a Unix socket, a new folder, no password."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from collector.tables.database import Database

USER = "postgres"  # the server refuses to run as root


def programs() -> Path | None:
    """Where `initdb` and `postgres` are: Debian keeps those of each version in a folder of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    other = shutil.which("initdb")
    return None if other is None else Path(other).resolve().parent


def why_not() -> str | None:
    """Why no server can be started here."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg (extra `postgres`) is not installed"
    if programs() is None:
        return "initdb is not installed (Debian package postgresql; see debian-packages.txt)"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "setpriv is not installed (Debian package util-linux)"
    return None


def _as_user(arguments: Sequence[str]) -> list[str]:
    if os.geteuid() != 0:
        return list(arguments)
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", *arguments]


class Server:
    """One cluster; each test takes a database of its own."""

    def __init__(self, *options: str, fsync: bool = False, folder: Path = Path("/tmp")) -> None:
        found = programs()
        assert found is not None
        self._bin = found
        self.folder = Path(tempfile.mkdtemp(prefix="lamppost-pg-", dir=folder))  # a socket's path has 107 characters
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            for path in (self.folder, self.data):
                shutil.chown(path, USER, USER)
        self._options = ["-c", f"fsync={'on' if fsync else 'off'}", *options]
        self._running: subprocess.Popen[bytes] | None = None
        self._made = 0
        initdb = [
            str(self._bin / "initdb"),
            "-D",
            str(self.data),
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        self._run([*initdb, *([] if fsync else ["--no-sync"])])

    def start(self) -> None:
        """Start it and wait until it lets clients in."""
        import psycopg

        arguments = [
            str(self._bin / "postgres"),
            "-D",
            str(self.data),
            "-k",
            str(self.folder),
            "-h",
            "",
            *self._options,
        ]
        with (self.folder / "log").open("ab") as log:
            self._running = subprocess.Popen(_as_user(arguments), stdout=log, stderr=log, cwd="/")
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert self._running.poll() is None, (self.folder / "log").read_text()
            else:
                return

    @property
    def runs(self) -> bool:
        """Whether it was started, and neither crashed nor stopped since."""
        return self._running is not None

    @property
    def pid(self) -> int:
        """Of the process that is the parent of all others."""
        assert self._running is not None
        return self._running.pid

    def url(self, name: str, user: str = USER) -> str:
        """The URL of one of its databases."""
        return f"postgresql://{user}@/{name}?host={self.folder}"

    def database(self) -> str:
        """The URL of a new database with the collector's tables."""
        if not self._made:
            self._create("tables", "template1")
            Database.open(self.url("tables")).close()
        self._made += 1
        self._create(f"test_{self._made}", "tables")
        return self.url(f"test_{self._made}")

    def _create(self, name: str, template: str) -> None:
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            statement = "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"
            connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(template)))

    def crash(self) -> None:
        """End it at once, as a power cut would."""
        self._end(3)  # SIGQUIT: immediate shutdown (PostgreSQL 15, 19.5)

    def stop(self) -> None:
        """End it in order, whoever is connected."""
        self._end(2)  # SIGINT: fast shutdown (PostgreSQL 15, 19.5)

    def _end(self, number: int) -> None:
        assert self._running is not None
        self._running.send_signal(number)
        self._running.wait(20)
        self._running = None

    def close(self) -> None:
        """Leave nothing behind."""
        if self._running is not None:
            self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def _run(arguments: Sequence[str]) -> None:
        done = subprocess.run(_as_user(arguments), capture_output=True, text=True, cwd="/", check=False)
        assert done.returncode == 0, done.stderr
