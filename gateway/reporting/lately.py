"""What the agent logged lately: its state changes, for those who cannot read the journal."""

import logging
import time
from collections import deque
from typing import Any

LINES = 200
TEXT_MAX = 300
"""Characters of a line; a longer one is cut."""
PACKAGES = ("drivers", "buffer", "gateway")


class Lately(logging.Handler):
    """The last lines at INFO and above; equal ones in a row are one line with a count."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[dict[str, Any]] = deque(maxlen=LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        text = record.getMessage()[:TEXT_MAX]
        now = time.time_ns() // 1_000_000
        last = self._lines[-1] if self._lines else None
        if last is not None and last["text"] == text:
            last.update(utc_ms=now, times=last["times"] + 1)
            return
        self._lines.append({"utc_ms": now, "level": record.levelname.lower(), "text": text, "times": 1})

    def start(self) -> None:
        """Listen to our own packages; what libraries say is not a state of ours."""
        for package in PACKAGES:
            logging.getLogger(package).addHandler(self)

    def stop(self) -> None:
        """Listen no more."""
        for package in PACKAGES:
            logging.getLogger(package).removeHandler(self)

    async def events(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        """The lines, the newest first."""
        self.acquire()  # other threads log too
        try:
            return [dict(line) for line in reversed(self._lines)]
        finally:
            self.release()
