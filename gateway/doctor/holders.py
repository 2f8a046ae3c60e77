"""Which programs have a port open."""

import os
from pathlib import Path

OURS_MAX = 5  # names in one sentence


def holders(path: str, but: int = 0) -> list[str]:
    """The programs, but for the process `but`, that have the device file `path` open: "minicom (pid 812)".

    Only those that this user may look into; root sees all.
    """
    try:
        wanted = Path(path).stat().st_rdev
    except OSError:
        return []
    if not wanted:  # no device at all
        return []
    running = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    others = [process for process in running if process not in (but, os.getpid()) and _has(process, wanted)]
    return [f"{_name(process)} (pid {process})" for process in others[:OURS_MAX]]


def _has(process: int, wanted: int) -> bool:
    try:
        return any(_device(entry) == wanted for entry in Path(f"/proc/{process}/fd").iterdir())
    except OSError:  # gone, or not ours to look into
        return False


def _device(link: Path) -> int:
    try:
        return link.stat().st_rdev
    except OSError:
        return 0


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return "a program"
