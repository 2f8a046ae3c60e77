"""Destroys what makes this box a gateway: its keys, and what it keeps of its devices."""

import errno
import os
import stat
from collections.abc import Iterator
from io import FileIO
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
    found: dict[Path, None] = dict.fromkeys(_below(*folders))
    if store.parent.is_dir():
        for path in sorted(store.parent.resolve().iterdir()):
            if path.name.startswith(store.name) or path.name in BESIDE:
                found[path] = None
    found.update(dict.fromkeys(map(unlinked, named)))
    return [path for path in found if os.path.lexists(path) and (path.is_symlink() or not path.is_dir())]


def unlinked(path: Path) -> Path:
    """The same by a path that leads over no link; it may be one itself."""
    return path.parent.resolve() / path.name


def destroy(path: Path) -> None:
    """Overwrite with random bytes, have that on the disk, and unlink; a link is only unlinked. Raises `OSError`.

    Also for a path that leads over a link: where the agent's user has put one, it leads to what is not ours.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if Path(f"/proc/self/fd/{folder}").readlink() != path.parent:
            raise OSError(errno.ELOOP, "a link leads there", str(path))
        if stat.S_ISREG(os.lstat(path.name, dir_fd=folder).st_mode):
            _overwrite(path.name, folder)
        os.unlink(path.name, dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)


def _overwrite(name: str, folder: int) -> None:
    with _opened(name, folder, "rb") as file:
        os.fchmod(file.fileno(), stat.S_IRUSR | stat.S_IWUSR)  # who is not root writes by this only
    with _opened(name, folder, "r+b") as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(os.urandom(min(PIECE, left)))
        os.fsync(file.fileno())


def _opened(name: str, folder: int, mode: str) -> FileIO:
    """A regular file, whatever was put in its place a moment ago; raises `OSError` for all else."""
    extra = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    file = FileIO(name, mode, opener=lambda path, flags: os.open(path, flags | extra, dir_fd=folder))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no file", name)
    return file


def _below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for place, _, names in os.walk(folder.resolve()):
            yield from (Path(place) / name for name in sorted(names))
