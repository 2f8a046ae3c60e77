"""Whom root believes about a new version: an authority that root pinned, and a keyring that it signed.

The agent's user owns its keyring and the authority that it pinned. Whoever took the agent over could put others there,
so the authority of updates is a file of root's, and the number of the keyring never falls.
"""

import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

from buffer.errors import NotAllowed
from buffer.keyring import Keyring
from buffer.keys import PublicKey
from buffer.update import Manifest
from gateway.errors import UpdateRefused
from gateway.files import read_plain, save

ETC = Path("/etc/lamppost")
AUTHORITY = "update-authority.json"
STORE = "/var/lib/lamppost/buffer.db"
KEYRING = "keyring.cose"
MAX_KEYRING = 1 << 18  # as in gateway/commands/ring.py
MAX_CONFIG = 1 << 20  # bytes; a thousand devices have a tenth of it
MAX_AUTHORITY = 4096  # bytes; one has about 150


@dataclass(frozen=True, slots=True)
class Here:
    """The site and gateway that a key's scopes are about, and where the agent keeps its keyring."""

    site: str
    gateway: str
    keyring: Path


def here(etc: Path = ETC) -> Here:
    """By the files of the configuration, whatever else is wrong in them; raises `UpdateRefused`."""
    tables: dict[str, dict[str, str]] = {"gateway": {}, "buffer": {}}
    try:
        for file in (etc / "lamppost.toml", *sorted(etc.glob("conf.d/*.toml"))):
            found = tomllib.loads(read_plain(file, MAX_CONFIG, follow=True).decode())
            for name, table in tables.items():
                table |= found.get(name, {})
        store = Path(tables["buffer"].get("path", STORE))
        return Here(tables["gateway"]["site"], tables["gateway"]["id"], etc / store.with_name(KEYRING))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UpdateRefused(f"{etc} does not say which gateway this is: {error}", "sudo lamppost check") from error


def authority(etc: Path = ETC) -> PublicKey:
    """The key that signs keyrings, as root pinned it; raises `UpdateRefused`."""
    path = etc / AUTHORITY
    remedy = f"sudo install -m 644 AUTHORITY.json {path}"
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
            raise UpdateRefused(f"{path} could be written by others than root: it proves nothing", remedy)
        key = PublicKey.from_json(read_plain(path, MAX_AUTHORITY).decode())
    except (OSError, ValueError) as error:
        raise UpdateRefused(f"no authority for updates is pinned: {error}", remedy) from error
    if key.role != "authority":
        raise UpdateRefused(f"{path}: a key of role {key.role!r}, not 'authority'", remedy)
    return key


def pin(key: PublicKey, etc: Path = ETC) -> bool:
    """As root: believe this authority from now on, where none is pinned; False where that is so already.

    Raises `UpdateRefused` where another one is pinned: that is exchanged by hand alone. Raises `OSError`.
    """
    path = etc / AUTHORITY
    if path.exists() or path.is_symlink():
        if authority(etc).raw != key.raw:
            raise UpdateRefused(
                f"{path} is another authority for updates than the platform's: it stays", f"less {path}"
            )
        return False
    save(path, (key.to_json() + "\n").encode())
    path.chmod(0o644)
    return True


def keyring(where: Here, pinned: PublicKey, lowest: int) -> Keyring:
    """The keyring that the agent has; raises `UpdateRefused`, `NotAllowed`, `SignatureError` or `BatchFormatError`."""
    try:
        ring = Keyring.read(read_plain(where.keyring, MAX_KEYRING), pinned)  # a folder of the agent's user
    except OSError as error:
        remedy = "lamppost-collector keyring relay"
        raise UpdateRefused(f"no keyring says who may sign updates: {error}", remedy) from error
    if ring.number < lowest:
        raise NotAllowed("keyring", f"{where.keyring} is keyring {ring.number}, and {lowest} was here")
    return ring


def verify(message: bytes, where: Here, ring: Keyring, now_ms: int) -> Manifest:
    """The manifest; raises as `Manifest.read`. No clock is believed that is behind the keyring."""
    return Manifest.read(message, ring, max(now_ms, ring.issued_ms), where.site, where.gateway)[0]
