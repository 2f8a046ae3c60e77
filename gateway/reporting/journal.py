"""The journal's native protocol: one datagram an entry (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/)."""

import os
import re
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
VALUE_MAX = 16 * 1024
"""Bytes of a field: a traceback has a quarter of it, and a datagram must fit the socket's buffer (212,992 on Linux)."""
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")  # of a field; those of one underscore in front are the journal's own


class Journal:
    """A socket to the journal; raises `OSError` where there is none."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def send(self, fields: Mapping[str, object]) -> None:
        """Send one entry; raises `OSError`, also when the journal takes nothing now (the caller's thread waits)."""
        self._socket.send(entry(fields))

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def entry(fields: Mapping[str, object]) -> bytes:
    """The bytes of an entry. Every value is sent with its length: no text can begin another field."""
    parts = []
    for name, value in fields.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"no name of a field: {name!r}")
        data = str(value).encode("utf-8", "replace")[:VALUE_MAX]
        parts.append(b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data))
    return b"".join(parts)


def is_ours(descriptor: int = 2) -> bool:
    """Whether the journal reads this descriptor: $JOURNAL_STREAM is its device and inode (systemd.exec(5))."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
