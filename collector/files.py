"""Files of the command line: read within a bound, written as a whole or not at all."""

import os
import sys
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
    """Put `data` in the place of a file, synced; `-` is standard output; raises FileFault with the old one intact."""
    if path == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise FileFault(f"{path}: {error.strerror}") from error
