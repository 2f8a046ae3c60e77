"""What the card has written: counted by the kernel, summed up over the lives of the store."""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SECTOR_BYTES = 512  # of the kernel's statistics, whatever the device's own are (Documentation/block/stat.rst)
WRITE_SECTORS = 6  # "write sectors", the seventh field there
BLOCK_DEVICES = Path("/sys/dev/block")
OWN_IO = Path("/proc/self/io")


@dataclass(frozen=True, slots=True)
class Wear:
    """Bytes written, and the milliseconds in which they were."""

    bytes: int = 0
    ms: int = 0

    def __add__(self, other: "Wear") -> "Wear":
        return Wear(self.bytes + other.bytes, self.ms + other.ms)

    @classmethod
    def kept(cls, connection: sqlite3.Connection) -> "Wear":
        """What was written since the store was made, as far as it was kept."""
        return cls(*connection.execute("SELECT written_bytes, written_ms FROM state").fetchone())

    def keep(self, connection: sqlite3.Connection) -> None:
        """Have the store remember it; in the caller's transaction."""
        connection.execute("UPDATE state SET written_bytes = ?, written_ms = ?", (self.bytes, self.ms))


class Counter(Protocol):
    """Counts bytes written since some moment."""

    name: str
    """What counts: a block device, or `process`."""

    def read(self) -> int:
        """The count; raises `OSError` or `ValueError`."""


class DeviceCounter:
    """A whole block device, whoever writes to it: what the life of a card depends on."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self._stat = folder / "stat"

    def read(self) -> int:
        return int(self._stat.read_text().split()[WRITE_SECTORS]) * SECTOR_BYTES


class ProcessCounter:
    """What this process alone had written (proc(5), write_bytes); the file system's own records are not in it."""

    name = "process"

    def read(self) -> int:
        found = dict(line.split(": ") for line in OWN_IO.read_text().splitlines())
        return int(found["write_bytes"])


def counter_for(path: Path, devices: Path = BLOCK_DEVICES) -> Counter:
    """The one for the card that holds `path`: its block device; this process where there is none to be seen."""
    device = path.parent.stat().st_dev
    folder = (devices / f"{os.major(device)}:{os.minor(device)}").resolve()
    if (folder / "partition").exists():
        folder = folder.parent
    return DeviceCounter(folder) if (folder / "stat").exists() else ProcessCounter()


class WearMeter:
    """Adds what was written since it was made to what was before. One thread uses it."""

    def __init__(self, counter: Counter, before: Wear, now_ms: int) -> None:
        self.source = counter.name
        self._counter = counter
        self._before = before
        self._began_ms = now_ms
        self._began_at = self._last = self._read(0)

    def total(self, now_ms: int) -> Wear:
        """Since the store was made; `now_ms` by the same clock."""
        self._last = self._read(self._last)
        return self._before + Wear(max(self._last - self._began_at, 0), max(now_ms - self._began_ms, 0))

    def _read(self, known: int) -> int:
        try:
            return self._counter.read()
        except (OSError, ValueError, LookupError):  # a figure for people: nothing fails for its want
            return known
