"""A disk that loses power: one file in a FUSE file system, behind a write cache that only a flush empties.

`python -m tests.power.disk FOLDER BYTES` mounts it and reads commands from stdin: `cut SEED KEEP` drops what was not
flushed, but for each sector with probability KEEP, and fails everything until `on`; the end of stdin unmounts it.
"""

import errno
import random
import stat
import subprocess
import sys
import threading
from pathlib import Path

import mfusepy  # type: ignore[import-untyped]

SECTOR = 512  # what a disk writes whole or not at all
NAME = "disk"


class CachedDisk:
    """Sectors: those that are on the medium, and those that are only in the cache."""

    def __init__(self, size: int) -> None:
        self._medium = bytearray(size)
        self._cache: dict[int, bytes] = {}
        self._dead = False
        self._lock = threading.Lock()
        self.size = size

    def read(self, size: int, offset: int) -> bytes:
        """Bytes as they were last written, flushed or not."""
        with self._lock:
            end = min(offset + size, self.size)
            found = bytearray(self._medium[offset:end])
            for sector in range(offset // SECTOR, (end + SECTOR - 1) // SECTOR) if self._cache else ():
                if (data := self._cache.get(sector)) is not None:
                    start = sector * SECTOR - offset
                    low, high = max(start, 0), min(start + SECTOR, end - offset)
                    found[low:high] = data[low - start : high - start]
            return bytes(found)

    def write(self, data: bytes, offset: int) -> None:
        """Into the cache; raises OSError when the power is off, or for less than whole sectors."""
        with self._lock:
            self._check()
            if offset % SECTOR or len(data) % SECTOR:
                raise OSError(errno.EINVAL, "not whole sectors")
            for at in range(0, len(data), SECTOR):
                self._cache[(offset + at) // SECTOR] = data[at : at + SECTOR]

    def flush(self) -> None:
        """From the cache to the medium; raises OSError when the power is off."""
        with self._lock:
            self._check()
            self._write_through(self._cache)

    def cut(self, seed: int, keep: float) -> int:
        """Power off; how many sectors were lost."""
        with self._lock:
            chance = random.Random(seed)
            kept = {sector: data for sector, data in self._cache.items() if chance.random() < keep}
            lost = len(self._cache) - len(kept)
            self._write_through(kept)
            self._cache = {}
            self._dead = True
            return lost

    def on(self) -> None:
        """Power on, with an empty cache."""
        with self._lock:
            self._cache = {}
            self._dead = False

    def _check(self) -> None:
        if self._dead:
            raise OSError(errno.EIO, "no power")

    def _write_through(self, sectors: dict[int, bytes]) -> None:
        for sector, data in sectors.items():
            self._medium[sector * SECTOR : (sector + 1) * SECTOR] = data
        self._cache = {}


class DiskFile(mfusepy.Operations):  # type: ignore[misc]
    """The file system: a folder with the disk in it."""

    use_ns = True

    def __init__(self, disk: CachedDisk) -> None:
        self._disk = disk

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        """The attributes of the folder or the disk."""
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path != f"/{NAME}":
            raise mfusepy.FuseOSError(errno.ENOENT)
        return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": self._disk.size}

    def readdir(self, path: str, fh: int) -> list[str]:
        """What is in the folder."""
        return [".", "..", NAME]

    def open(self, path: str, flags: int) -> int:
        """Nothing to do."""
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """A disk keeps its size."""
        return 0

    def flush(self, path: str, fh: int) -> int:
        """What a close asks for; a disk knows nothing of it."""
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """A read of the loop device."""
        return self._disk.read(size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """A write of the loop device."""
        try:
            self._disk.write(data, offset)
        except OSError as error:
            raise mfusepy.FuseOSError(error.errno) from error
        return len(data)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """What the loop device makes of a flush of the block layer."""
        try:
            self._disk.flush()
        except OSError as error:
            raise mfusepy.FuseOSError(error.errno) from error
        return 0


def obey(disk: CachedDisk, folder: Path) -> None:
    """Do what stdin says and answer each line; unmount at its end."""
    for line in sys.stdin:
        word, *arguments = line.split()
        if word == "cut":
            answer = str(disk.cut(int(arguments[0]), float(arguments[1])))
        else:
            disk.on()
            answer = word
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def main(folder: Path, size: int) -> None:
    """Serve until stdin ends."""
    disk = CachedDisk(size)
    threading.Thread(target=obey, args=(disk, folder), daemon=True).start()
    mfusepy.FUSE(DiskFile(disk), str(folder), foreground=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
