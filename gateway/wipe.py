"""Destroys what makes this box a gateway: its keys, and what it keeps of its devices."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

KEYS = Path("/etc/lamppost/keys")
SEALED = Path("/etc/lamppost/sealed")
STATE = Path("/var/lib/lamppost")
WEB = Path("/var/lib/lamppost-web")
"""The page's password, and the token of the metrics."""
PIECE = 1 << 20
BESIDE = ("configuration.cbor", "keyring.cose", "schedule.cbor", "locks.json")
"""What lies beside a store, wherever that is; what begins with the store's own name goes too."""

PROMISE = """\
What flash cannot promise: a card or an SSD writes elsewhere than it is told, so copies of what was overwritten
may be left in cells that no program reaches. Revoke this gateway's key at the platform (gateways revoke), tell the
card to forget (fstrim, below), and destroy the card where that is not enough."""


def files(store: Path, named: tuple[Path, ...], folders: tuple[Path, ...]) -> list[Path]:
    """All that is to go: whatever the folders have, secrets that are named, the store and all beside it."""
    found: dict[Path, None] = {}
    for path in _below(*folders):
        found[path] = None
    if store.parent.is_dir():
        for path in sorted(store.parent.iterdir()):
            if path.name.startswith(store.name) or path.name in BESIDE:
                found[path] = None
    found.update(dict.fromkeys(named))
    return [path for path in found if os.path.lexists(path) and (path.is_symlink() or not path.is_dir())]


def destroy(path: Path) -> None:
    """Overwrite with random bytes, have that on the disk, and unlink; a link is only unlinked. Raises `OSError`."""
    if _is_file(path):
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        with path.open("r+b", buffering=0) as file:
            left = os.fstat(file.fileno()).st_size
            while left > 0:
                left -= file.write(os.urandom(min(PIECE, left)))
            os.fsync(file.fileno())
    path.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for place, _, names in os.walk(folder):
            yield from (Path(place) / name for name in sorted(names))
