"""A terminal that is drawn on line by line, and is afterwards as it was, however the program ends."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Self

_ENTER = (
    "\x1b[?1049h\x1b[?25l\x1b[?7l"  # alternate screen, no cursor, no wrapping: ctlseqs of xterm, "DEC private modes"
)
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
BOLD, REVERSE, PLAIN = "\x1b[1m", "\x1b[7m", "\x1b[0m"
KEYS_MAX = 64
"""Bytes of one look at the keyboard."""


class Terminal:
    """Standard input and output as a screen with keys. TERM, HUP and INT end `wait` and set `ended`."""

    def __init__(self) -> None:
        self.ended = 0
        """The signal that ended it; 0: none."""
        self._suspend = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._before = termios.tcgetattr(sys.stdin)
        self._old: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            self._old[number] = signal.signal(number, self._end)
        self._old[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._stop)
        self._old[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: self.wake())
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        self._hide()
        for number, handler in self._old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() itself gave
        os.close(self._reader)
        os.close(self._writer)

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines, now."""
        try:
            found = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            found = os.terminal_size((0, 0))
        return found if all(found) else os.terminal_size((80, 24))

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, cut to the screen; what was there goes. A line has no control characters but ours."""
        self._write("\x1b[H" + "\x1b[K\r\n".join(lines[: self.size.lines]) + "\x1b[K\x1b[J")

    def wake(self) -> None:
        """End a `wait` from another thread or a signal."""
        with suppress(OSError):  # full: it wakes anyhow; closed: nobody waits
            os.write(self._writer, b"!")

    def wait(self, seconds: float) -> str:
        """The keys that were pressed; "" after this time, a signal, `wake`, or when the terminal is gone."""
        ready, _, _ = select.select([sys.stdin, self._reader], [], [], max(seconds, 0))
        if self._reader in ready:
            os.read(self._reader, KEYS_MAX)
        if self._suspend:
            self._sleep()
        if sys.stdin not in ready:
            return ""
        found = os.read(sys.stdin.fileno(), KEYS_MAX)
        if not found:
            self.ended = signal.SIGHUP
        return found.decode(errors="replace")

    def _show(self) -> None:
        tty.setcbreak(sys.stdin)
        self._write(_ENTER)

    def _hide(self) -> None:
        with suppress(OSError, termios.error):  # the terminal is gone
            self._write(_LEAVE)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def _sleep(self) -> None:
        """Ctrl-Z: the shell gets its terminal as it was, and gives it back."""
        self._suspend = False
        self._hide()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._show()

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def _end(self, number: int, _: FrameType | None) -> None:
        self.ended = number
        self.wake()

    def _stop(self, _number: int, _: FrameType | None) -> None:
        self._suspend = True
        self.wake()
