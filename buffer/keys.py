"""Ed25519 keys (RFC 8032): private ones as PKCS#8 PEM files, public ones as one line of JSON."""

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from buffer.errors import KeyFileError, SignatureError

KID_BYTES = 8
KEY_BYTES = 32  # RFC 8032, 5.1.5
SIGNATURE_BYTES = 64  # RFC 8032, 5.1.6
MAX_KEY_FILE = 4096  # an Ed25519 PKCS#8 PEM has 119 bytes, a public line under 300
ROLES = frozenset({"batch", "acknowledge", "command", "configure", "update", "authority"})
ID = re.compile(r"[a-z0-9-]{1,32}")


def key_id(raw: bytes) -> bytes:
    """The first 8 bytes of SHA-256 of the raw public key."""
    return hashlib.sha256(raw).digest()[:KID_BYTES]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Whose signature to believe, and for what. `gateway` and `site` are empty for a key of the platform."""

    gateway: str
    site: str
    role: str
    kid: bytes
    raw: bytes

    def __post_init__(self) -> None:
        """Raise `KeyFileError` for a key that contradicts itself."""
        if self.role not in ROLES:
            raise KeyFileError(f"unknown role {self.role!r}; known: {', '.join(sorted(ROLES))}")
        for name, value in (("gateway", self.gateway), ("site", self.site)):
            if not ID.fullmatch(value) and (value or self.role == "batch"):
                raise KeyFileError(f"{name} {value!r} is not 1 to 32 of a-z, 0-9 and '-'")
        if len(self.raw) != KEY_BYTES:
            raise KeyFileError(f"a public key has {KEY_BYTES} bytes, this one {len(self.raw)}")
        if self.kid != key_id(self.raw):
            raise KeyFileError(f"kid {self.kid.hex()} does not belong to the public key ({key_id(self.raw).hex()})")

    @classmethod
    def of(cls, raw: bytes, role: str) -> Self:
        """A key of the platform; raises `KeyFileError`."""
        return cls("", "", role, key_id(raw), raw)

    def to_json(self) -> str:
        """One line of JSON: gateway, site, role, kid and public_key (both hex)."""
        return json.dumps(
            {
                "gateway": self.gateway,
                "site": self.site,
                "role": self.role,
                "kid": self.kid.hex(),
                "public_key": self.raw.hex(),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; raises `KeyFileError`."""
        if len(text) > MAX_KEY_FILE:
            raise KeyFileError(f"a public key is one line of JSON, this has {len(text)} characters")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise KeyFileError(f"not a public key (one line of JSON): {error}") from error
        names = ("gateway", "site", "role", "kid", "public_key")
        if not isinstance(found, dict) or set(found) != set(names):
            raise KeyFileError(f"a public key is a JSON object with exactly {', '.join(names)}")
        for name in names:
            if not isinstance(found[name], str):
                raise KeyFileError(f"{name} of a public key is text, found {found[name]!r}")
        kid, raw = _hex("kid", found["kid"]), _hex("public_key", found["public_key"])
        return cls(found["gateway"], found["site"], found["role"], kid, raw)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of one line of JSON; raises `KeyFileError`, naming the file."""
        try:
            with path.open("rb") as file:
                return cls.from_json(file.read(MAX_KEY_FILE + 1).decode())
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise KeyFileError(f"{path}: {error}") from error

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raise `SignatureError` unless `signature` is this key's over `data`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except InvalidSignature:
            raise SignatureError(f"not signed by key {self.kid.hex()}, or altered since") from None


class SigningKey:
    """A private key; it leaves this object when it is made, and never after."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.kid = key_id(self._raw)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a PKCS#8 PEM file that only its owner can read; raises `KeyFileError`."""
        return cls.parse(_read_private(located(path)), str(path))

    @classmethod
    def parse(cls, pem: bytes, where: str) -> Self:
        """A PKCS#8 PEM that was read from `where`; raises `KeyFileError`."""
        try:
            private = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyFileError(f"{where}: not an unencrypted PKCS#8 PEM private key: {error}") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyFileError(f"{where}: not an Ed25519 key")
        return cls(private)

    @classmethod
    def generate(cls) -> tuple[Self, bytes]:
        """A new key and its PKCS#8 PEM, on no disk."""
        key = cls(Ed25519PrivateKey.generate())
        return key, key._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new key and its file (mode 0600, synced); never overwrites; raises `KeyFileError`."""
        key, pem = cls.generate()
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from error
        return key

    def sign(self, data: bytes) -> bytes:
        """The 64-byte signature over `data`."""
        return self._private.sign(data)

    def public(self, gateway: str = "", site: str = "", role: str = "batch") -> PublicKey:
        """The public half, named."""
        return PublicKey(gateway, site, role, self.kid, self._raw)


def located(path: Path) -> Path:
    """The file, or where there is none what systemd gave the service by its name (systemd.exec(5), Credentials)."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    given = Path(folder) / path.name if folder else path
    return given if not path.exists() and given.exists() else path


def _read_private(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_unheld) as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(MAX_KEY_FILE + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise KeyFileError(f"{path}: not a regular file")
    if len(pem) > MAX_KEY_FILE:
        raise KeyFileError(f"{path}: larger than {MAX_KEY_FILE} bytes, no private key")
    allowed = 0o440 if _is_credential(path) else 0o700
    if stat.S_IMODE(mode) & ~allowed:
        raise KeyFileError(f"{path}: mode {stat.S_IMODE(mode):04o} lets others in; remedy: chmod 600 {path}")
    return pem


def _unheld(path: str, flags: int) -> int:
    """No pipe in the place of a key holds its reader up."""
    return os.open(path, flags | os.O_NONBLOCK)


def _is_credential(path: Path) -> bool:
    """Whether systemd put the file there: it shows credentials as 0400, or 0440 behind an ACL (systemd.exec(5))."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.absolute().parent == Path(folder or "/").absolute()


def _hex(name: str, text: str) -> bytes:
    if not re.fullmatch(r"(?:[0-9a-f]{2})*", text):
        raise KeyFileError(f"{name} of a public key is lower-case hex, found {text!r}")
    return bytes.fromhex(text)
