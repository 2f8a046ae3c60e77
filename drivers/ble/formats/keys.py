"""Bind keys in files: hex, for their owner's eyes only. No error here holds a digit of one."""

import os
import re
import stat
from pathlib import Path

MAX_KEY_FILE = 256  # bytes: 32 hex digits, a line end, and room for what an editor adds


class KeyFileError(ValueError):
    """A key file that cannot be used, and why."""


def load_key(path: Path, lengths: frozenset[int]) -> bytes:
    """The key in a file of mode 0600 or less, of one of `lengths` in bytes; raises `KeyFileError`."""
    if not lengths:
        raise KeyFileError(f"{path}: the format has no encryption")
    if not path.is_absolute():
        raise KeyFileError(f"{path}: must be an absolute path")
    text = _read(path)
    found = re.fullmatch(rb"\s*((?:[0-9A-Fa-f]{2})+)\s*", text)
    key = bytes.fromhex(found[1].decode("ascii")) if found else b""
    if len(key) not in lengths:
        wanted = " or ".join(str(2 * length) for length in sorted(lengths))
        raise KeyFileError(f"{path}: not a key of {wanted} hex digits")
    return key


def _read(path: Path) -> bytes:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a pipe would wait for its writer
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(MAX_KEY_FILE + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(mode) or len(text) > MAX_KEY_FILE:
        raise KeyFileError(f"{path}: not a file of one key")
    allowed = 0o440 if _is_credential(path) else 0o700
    if stat.S_IMODE(mode) & ~allowed:
        raise KeyFileError(f"{path}: mode {stat.S_IMODE(mode):04o} lets others in; remedy: chmod 600 {path}")
    return text


def _is_credential(path: Path) -> bool:
    """Whether systemd put the file there: it shows credentials as 0400, or 0440 behind an ACL (systemd.exec(5))."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.absolute().parent == Path(folder or "/").absolute()
