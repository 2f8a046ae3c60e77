"""What proves who somebody is: a password kept as scrypt's output, a token kept as its hash."""

import hashlib
import hmac
import json
import secrets
from pathlib import Path

from gateway.errors import FileDamaged, SetupFailed

FOLDER = Path("/var/lib/lamppost-web")
PASSWORD, TOKEN = "password", "metrics-token"
LEAST = 12
"""Characters of a password; guesses are slowed down as well."""
MOST = 128
MAX_FILE = 1024
N, R, P = 1 << 15, 8, 3
"""scrypt (RFC 7914): 32 MB and 0.3 s on a Raspberry Pi 4; one of the choices of the OWASP password storage sheet."""
MAX_MEMORY = 64 << 20


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=N, r=R, p=P, maxmem=MAX_MEMORY, dklen=32
    )


def digest(token: str) -> bytes:
    """What is kept of a token that we made: it is as good as a random number, and needs no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def set_password(folder: Path, password: str) -> None:
    """Keep it; raises `SetupFailed` for one too short or long, and `OSError`."""
    if not LEAST <= len(password) <= MOST:
        raise SetupFailed(f"a password has {LEAST} to {MOST} characters")
    salt = secrets.token_bytes(16)
    kept = {"scrypt": [N, R, P], "salt": salt.hex(), "hash": _scrypt(password, salt).hex()}
    _write(folder / PASSWORD, json.dumps(kept))


def new_token(folder: Path) -> str:
    """Make the token of the metrics, in place of the one before; only its hash is kept. Raises `OSError`."""
    token = secrets.token_urlsafe(24)
    _write(folder / TOKEN, digest(token).hex())
    return token


class Password:
    """The password that was set; it may be set anew while we run."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / PASSWORD

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return self._path is not None and self._path.exists()

    def fits(self, password: str) -> bool:
        """Whether this is it. Blocks for scrypt's time; raises `FileDamaged`."""
        if self._path is None or len(password) > MOST:
            return False
        try:
            kept = json.loads(_read(self._path))
            if kept["scrypt"] != [N, R, P]:
                raise ValueError("other costs than ours")
            salt, wanted = bytes.fromhex(kept["salt"]), bytes.fromhex(kept["hash"])
        except FileNotFoundError:
            return False
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise FileDamaged(f"{self._path} cannot be used: {error}", "sudo lamppost web password") from error
        return hmac.compare_digest(_scrypt(password, salt), wanted)


def token_fits(folder: Path | None, token: str) -> bool:
    """Whether this is the token of the metrics; none fits where none was made."""
    try:
        wanted = "" if folder is None else _read(folder / TOKEN).strip()
    except (OSError, ValueError):
        return False
    return bool(wanted) and hmac.compare_digest(digest(token).hex(), wanted)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_FILE).decode()


def _write(path: Path, text: str) -> None:
    """Its folder's group may read it, nobody else."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o640)
    fresh.chmod(0o640)  # whatever the umask is
    fresh.write_text(text + "\n")
    fresh.replace(path)
