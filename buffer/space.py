"""The low-disk guard: how far the store may grow before the file system has less free than it must keep."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

CHECK_S = 1.0
"""Between two looks: what the store writes in that time is small beside anything worth keeping free."""
EDGE = 10**6
"""Bytes: with less to grow by, the largest batch finds no room."""
SHARE = 10
"""A tenth of a file system is kept free at most: a small one for the buffer alone must be of use too."""
RECOVERED = 8
"""It is over when an eighth more than needed is free: a file system at the edge must not be told of every second."""


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Bytes of a file system: in all, and what an ordinary user may still take."""

    size: int
    free: int

    @classmethod
    def of(cls, path: Path) -> "FileSystem":
        """The one that holds `path`; raises `OSError`."""
        found = os.statvfs(path.parent)
        return cls(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


class Space:
    """Looks at the file system now and then. `keep_free` is bytes, a tenth of all at most; 0: all may be taken."""

    def __init__(self, path: Path, keep_free: int, look: Callable[[Path], FileSystem] = FileSystem.of) -> None:
        self._path = path
        self.keep_free = keep_free
        """Bytes; known for good after the first look."""
        self._look = look
        self._looked_at = -CHECK_S
        self._free = 0
        self.low = False
        """Whether the store may not grow for the file system's sake."""

    def growth(self) -> int | None:
        """Bytes by which the store may grow now, 0 or more; None: no bound but its own."""
        if not self.keep_free:
            return None
        now = time.monotonic()
        if now - self._looked_at >= CHECK_S:
            self._looked_at = now
            try:
                found = self._look(self._path)
            except OSError:  # a disk that cannot say so much says more at the next write
                return None
            self._free, self.keep_free = found.free, min(self.keep_free, found.size // SHARE)
            self._judge()
        return max(self._free - self.keep_free, 0)

    def _judge(self) -> None:
        if not self.low and self._free < self.keep_free + EDGE:
            self.low = True
            log.error("buffer: %d MB free on the file system, %d are kept free: the buffer does not grow",
                      self._free // 10**6, self.keep_free // 10**6)  # fmt: skip
        elif self.low and self._free > self.keep_free + max(self.keep_free // RECOVERED, 2 * EDGE):
            self.low = False
            log.warning("buffer: %d MB free on the file system again", self._free // 10**6)
