"""Small files that are there wholly or not at all."""

import os
from pathlib import Path


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
