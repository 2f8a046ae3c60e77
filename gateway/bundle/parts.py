"""The parts of a support bundle: each looks at one thing, and may fail by itself."""

import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import VERSION
from gateway.bundle.hide import hidden, scrub, scrubbed, shown

if TYPE_CHECKING:
    from config.source import Source

LOG_LINES = 5000
LOG_S = 20
PART_MAX = 8 << 20
"""Bytes of one part: a log of 5,000 lines has a tenth of it."""
SECRET_FILE_MAX = 4096


@dataclass
class Sources:
    """Where the parts look, and what was found to be secret on the way."""

    config: Path
    run_dir: Path
    known: set[str] = field(default_factory=set)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Read the files of the configuration, unchecked, and note every text in them that is hidden."""
        from config.source import conf_d_files, is_folder, parse, read

        problems: list[Any] = []
        beside = self.config.parent / "conf.d"
        for file in [self.config, *(conf_d_files(beside, problems) if is_folder(beside) else ())]:
            self._take(file.name, read(file, problems))
        for name, text in self._pushed():
            self._take(f"from afar: {name}", parse(self.config.parent / name, text.encode(), problems))
        self.problems = [f"{Path(one.file).name}: {one.message}" for one in problems]

    def _take(self, name: str, source: "Source | None") -> None:
        if source is not None:
            self.tables[name] = source.table
            self.known |= hidden(source.table)
            self.known |= set(_contents(source.table, self.config.parent))

    def _pushed(self) -> Iterator[tuple[str, str]]:
        """The texts of the configurations that came from afar, the one on trial too."""
        from gateway.commands import pushed

        state = pushed.load(pushed.beside(self.store()))
        for push in (state.kept, state.trial):
            yield from () if push is None else push.texts

    def store(self) -> Path:
        """Where the buffer is, by the files as they are."""
        from config.models import Buffer

        path = Buffer().path
        for table in self.tables.values():
            named = table.get("buffer", {})
            if isinstance(named, dict) and isinstance(named.get("path"), str):
                path = self.config.parent / named["path"]
        return path


Part = Callable[[Sources], str]


def about(_: Sources) -> str:
    """Versions of everything that counts."""
    packages = {}
    for line in requires("lamppost") or ():
        name = "".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0]
        if "extra ==" not in line:
            packages[name] = _version(name)
    system = platform.uname()
    return _json({
        "lamppost": VERSION, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version,
        "system": f"{system.system} {system.release} {system.machine}", "distribution": _distribution(),
        "packages": packages, "user": "root" if os.geteuid() == 0 else "not root", "prefix": sys.prefix,
    })  # fmt: skip


def configuration(sources: Sources) -> str:
    """What the files say, by the allow-list; also of files that `check` refuses."""
    return _json({"files": {name: shown(table) for name, table in sources.tables.items()}} | _said(sources.problems))


def check(sources: Sources) -> str:
    """What `lamppost check` finds, without the values that it found."""
    from config import ConfigErrors
    from gateway.setup import installation

    try:
        installation.read(sources.config)
    except ConfigErrors as errors:
        return _json([{"file": Path(p.file).name, "path": p.path, "message": p.message} for p in errors.problems])
    return _json([])


def status(sources: Sources) -> str:
    """The agent's own state; values that are texts are a device's, and stay here."""
    from gateway.control.client import Client
    from gateway.control.sockets import status_socket

    with Client(status_socket(sources.run_dir)) as client:
        found: dict[str, Any] = client.call("status")
    for point in found["points"]:
        point["value"] = None if isinstance(point["value"], str) else point["value"]
    found["commands"]["locks"] = len(found["commands"]["locks"])
    return _json(found)


def doctor(sources: Sources) -> str:
    """What the doctor finds."""
    from gateway.doctor.doctor import examined
    from gateway.doctor.finding import told

    return _json([finding.json() for finding in told(examined(sources.config, sources.run_dir))])


def buffer(sources: Sources) -> str:
    """The files beside the store: names, sizes, ages."""
    path = sources.store()
    rows = []
    for file in sorted(path.parent.iterdir()):
        if file.name.startswith(path.name) or file.suffix == ".json":
            told = file.stat()
            rows.append({"name": file.name, "bytes": told.st_size, "changed": int(told.st_mtime)})
    return _json(rows)


def log(_: Sources) -> str:
    """The last lines of the service in the journal."""
    words = ["journalctl", "--unit=lamppost", f"--lines={LOG_LINES}", "--no-pager", "--output=short-iso", "--quiet"]
    done = subprocess.run(words, capture_output=True, timeout=LOG_S, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.decode(errors="replace").strip()[:200] or f"journalctl ended with {done.returncode}")
    return done.stdout.decode(errors="replace")


PARTS: dict[str, Part] = {
    "about.json": about, "config.json": configuration, "check.json": check, "status.json": status,
    "doctor.json": doctor, "buffer.json": buffer, "log.txt": log,
}  # fmt: skip
"""All that a bundle may hold, and its manifest."""


def clean(text: str, name: str, sources: Sources) -> bytes:
    """The bytes of a part: every text scrubbed once more, and no more than `PART_MAX`."""
    if name.endswith(".json"):
        data = _json(scrubbed(json.loads(text), sources.known)).encode()
        if len(data) > PART_MAX:
            raise ValueError(f"it has {len(data)} bytes")
        return data
    lines = (scrubbed(line, sources.known) for line in scrub(text, sources.known).splitlines())
    return "".join(f"{line}\n" for line in lines).encode()[-PART_MAX:]


def _contents(table: object, folder: Path) -> Iterator[str]:
    """What the files say that keys such as `password_file` name: a log may have told it."""
    for key, value in table.items() if isinstance(table, dict) else ():
        if isinstance(value, str) and (key.endswith("_file") or key == "key"):
            try:
                with (folder / value).open("rb") as file:
                    text = file.read(SECRET_FILE_MAX).decode(errors="replace")
            except (OSError, ValueError):
                continue
            yield from (word for word in (text.strip(), *text.split()) if len(word) >= 6)
        else:
            yield from _contents(value, folder)


def _said(problems: list[str]) -> dict[str, list[str]]:
    return {"problems": problems} if problems else {}


def _json(value: object) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""
