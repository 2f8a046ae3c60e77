"""Who may use the page: a file of names, roles and what scrypt makes of their passwords."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from collector.errors import FileFault, UsageError
from collector.files import read_bounded

FILE = Path("/var/lib/lamppost-collector-web/users.json")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
LEAST, MOST = 12, 128
"""Characters of a password; guesses are slowed down as well."""
MAX_FILE = 1 << 20
"""Thousands of people."""
COST, BLOCK, LANES = 1 << 15, 8, 3
"""scrypt (RFC 7914), one of the choices of the OWASP password storage cheat sheet: 32 MB each."""
SALT = 16


class Role(StrEnum):
    """What somebody may do: a viewer looks; an operator acknowledges alarms, relays signed commands, asks for proof."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody; without `salt` and `hash` (hex) no password fits, and only a proxy that is named can vouch for them."""

    role: Role
    salt: str = ""
    hash: str = ""


def with_password(role: Role, password: str) -> User:
    """A user with this password; raises UsageError for one too short or long."""
    if not LEAST <= len(password) <= MOST:
        raise UsageError(f"a password has {LEAST} to {MOST} characters")
    salt = secrets.token_bytes(SALT)
    return User(role, salt.hex(), _scrypt(password, salt).hex())


class Users:
    """The file; it is read again when it was changed. One that is not there names nobody."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._known: dict[str, User] = {}

    def all(self) -> Mapping[str, User]:
        """Everybody by name; raises FileFault when the file is not what it should be."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._seen, self._known = None, {}
            return self._known
        except OSError as error:
            raise FileFault(f"{self._path}: {error.strerror}") from error
        seen = status.st_mtime_ns, status.st_ino, status.st_size
        if seen != self._seen:
            self._known = _parse(self._path, read_bounded(self._path, MAX_FILE))
            self._seen = seen
        return self._known

    def put(self, name: str, user: User | None) -> None:
        """Enter somebody, or take them out; raises UsageError for a name that is none, and FileFault."""
        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name: letters, digits and . _ @ + -, at most 64")
        known = dict(self.all())
        if user is None and known.pop(name, None) is None:
            raise UsageError(f"{name} is not known")
        if user is not None:
            known[name] = user
        _write(self._path, json.dumps({name: asdict(one) for name, one in sorted(known.items())}, indent=1) + "\n")

    def fits(self, name: str, password: str) -> bool:
        """Whether this is the password of that user. Blocks for scrypt's time, also for a name that nobody has."""
        user = self.all().get(name)
        made = _scrypt(password[:MOST], bytes.fromhex(user.salt) if user is not None else bytes(SALT))
        wanted = bytes.fromhex(user.hash) if user is not None else b""
        return hmac.compare_digest(made, wanted) and bool(wanted) and len(password) <= MOST


def _scrypt(password: str, salt: bytes) -> bytes:
    said = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(said, salt=salt, n=COST, r=BLOCK, p=LANES, maxmem=64 << 20, dklen=32)


def _parse(path: Path, data: bytes) -> dict[str, User]:
    try:
        return {name: _user(told) for name, told in json.loads(data).items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FileFault(f"{path}: not a file of users: {error}") from error


def _user(told: dict[str, Any]) -> User:
    user = User(Role(told["role"]), told["salt"], told["hash"])
    bytes.fromhex(user.salt + user.hash)  # raises ValueError
    return user


def _write(path: Path, text: str) -> None:
    """As a whole or not at all; the folder's group may read it, nobody else."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o640)
        fresh.chmod(0o640)  # whatever the umask is
        fresh.write_text(text)
        fresh.replace(path)
    except OSError as error:
        raise FileFault(f"{path}: {error.strerror}") from error
