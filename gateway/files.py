"""Small files that are there wholly or not at all, and files of others, which root reads without being held up."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def save(path: Path, data: bytes) -> None:
    """Put `data` on the disk in place of what was there; raises `OSError`, then that is as it was.

    Root may save into somebody else's folder: no link that lies there leads anywhere.
    """
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)  # of a save that was cut off
    with fresh.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_plain(path: Path, *, follow: bool = False) -> BinaryIO:
    """A regular file to read; raises `OSError` for all else, and waits for no pipe.

    A link at the end of the path is an `OSError` unless `follow` is set.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    found = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise OSError(errno.EINVAL, "it is no file", str(path))
    return os.fdopen(found, "rb")


def read_plain(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """What a regular file holds; raises `OSError` as `open_plain`, and for more than `limit` bytes."""
    with open_plain(path, follow=follow) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"more than {limit} bytes", str(path))
    return data
