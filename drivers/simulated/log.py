"""The devices' own account: one line of JSON for each sample that was handed to a transport."""

import json
import os
import time
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

Served = bool | int | float | Decimal


class ServedLog:
    """An append-only file, written straight to the kernel: it loses nothing when its process is killed."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, samples: Iterable[tuple[str, Served]]) -> None:
        """Note (point, value) pairs as said now; a decimal is a string, so that no digit changes."""
        utc_ms = time.time_ns() // 1_000_000
        data = b"".join(_line(point, utc_ms, value) for point, value in samples)
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _line(point: str, utc_ms: int, value: Served) -> bytes:
    shown = format(value, "f") if isinstance(value, Decimal) else value
    return json.dumps({"point": point, "utc_ms": utc_ms, "value": shown}).encode() + b"\n"
