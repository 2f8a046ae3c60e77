"""Files of the command line: read within a bound, written as a whole or not at all."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from collector.errors import FileFault

STANDARD = Path("-")


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a file, `-` being standard input; raises FileFault, also for more than `limit`."""
    try:
        if path == STANDARD:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with path.open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise FileFault(f"{path}: {error.strerror}") from error
    if len(data) > limit:
        raise FileFault(f"{path}: larger than {limit} bytes")
    return data


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk; raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` in the place of a file, synced; `-` is standard output; raises FileFault with the old one intact.

    Nobody may read it who may not read the old one. Root may write into somebody else's folder: no link that lies there
    leads anywhere.
    """
    if path == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    fresh = path.with_name(f".{path.name}.new")
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666
        fresh.unlink(missing_ok=True)  # of a write that was cut off
        with open(fresh, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise FileFault(f"{path}: {error.strerror}") from error
