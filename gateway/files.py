"""Small files that are there wholly or not at all."""

import os
from pathlib import Path


def save(path: Path, data: bytes) -> None:
    """Put `data` on the disk in place of what was there; raises `OSError`, then that is as it was."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
