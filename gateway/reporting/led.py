"""A lamp of the board that tells how the agent does, for who has no laptop: three patterns (docs/technician.md).

Linux, Documentation/leds/leds-class.rst: /sys/class/leds/NAME has `brightness`, `max_brightness` and `trigger`, which
lists the triggers with the active one in brackets.
"""

import logging
import threading
import time
from contextlib import suppress
from enum import Enum
from pathlib import Path

log = logging.getLogger(__name__)

LEDS = Path("/sys/class/leds")
STALE_S = 10.0
"""An agent that says nothing for so long is not well, whatever it said last."""
STOP_S = 1.0
TRIGGERS_MAX = 64 * 1024
"""Bytes; a kernel that knows every trigger lists some two hundred."""


class Pattern(Enum):
    """What the lamp says: pairs of ms on and ms off, over and over."""

    DELIVERING = ((60, 1940),)
    """One short flash every two seconds: sampling and delivering."""
    NO_LINK = ((60, 240), (60, 1640))
    """Two short flashes: sampling, and what is sampled stays in the buffer."""
    FAULT = ((120, 120),)
    """Fast and without a pause: a bus, a device, the disk or a part of the agent is not well."""


class Led:
    """Blinks from a thread of its own: a lamp behind a slow bus holds up nothing. Never raises but from `start`."""

    def __init__(self, name: str, leds: Path = LEDS) -> None:
        self.folder = leds / name
        self._pattern = Pattern.FAULT
        self._said_at = time.monotonic()
        self._trigger = ""
        self._brightness = "0"
        self._on = "1"
        self._changed = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take the lamp from its trigger. Blocks; raises `OSError` where there is none, or this user may not."""
        self._on = _read(self.folder / "max_brightness") or "1"
        self._brightness = _read(self.folder / "brightness")
        self._trigger = active(_read(self.folder / "trigger"))
        self._put("trigger", "none")
        self._thread = threading.Thread(target=self._run, name="led", daemon=True)
        self._thread.start()

    def show(self, pattern: Pattern) -> None:
        """Show it from now on; to be said again at least every `STALE_S`."""
        self._said_at = time.monotonic()
        if pattern is not self._pattern:
            self._pattern = pattern
            self._changed.set()

    def stop(self) -> None:
        """Give the lamp back to its trigger. Blocks for `STOP_S` at most."""
        if self._thread is None:
            return
        self._stopping = True
        self._changed.set()
        self._thread.join(STOP_S)
        with suppress(OSError):
            self._put("trigger", self._trigger or "none")
            if self._trigger in ("", "none"):
                self._put("brightness", self._brightness or "0")

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._changed.clear()
                stale = time.monotonic() - self._said_at > STALE_S
                self._once(Pattern.FAULT if stale else self._pattern)
        except OSError as error:
            log.warning("led: %s; the lamp says nothing any more", error)

    def _once(self, pattern: Pattern) -> None:
        for on_ms, off_ms in pattern.value:
            self._put("brightness", self._on)
            ended = self._changed.wait(on_ms / 1000)
            self._put("brightness", "0")
            if ended or self._changed.wait(off_ms / 1000):
                return

    def _put(self, name: str, text: str) -> None:
        with (self.folder / name).open("w") as file:
            file.write(text)


def active(triggers: str) -> str:
    """The active one of a list such as `none [mmc0] timer`; "" for none."""
    return next((word[1:-1] for word in triggers.split() if word.startswith("[") and word.endswith("]")), "")


def _read(path: Path) -> str:
    with path.open() as file:
        return file.read(TRIGGERS_MAX).strip()
