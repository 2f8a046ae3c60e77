"""`lamppost top`"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import run_dir_option

RATE_S = 10.0
"""Rates are those of so long."""
REST_S = 0.1
"""An agent that answers slowly is let rest in between."""


@click.command("top")
@click.option("--every", "-d", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds.")
@run_dir_option
@click.pass_context
def command(ctx: click.Context, every: float, run_dir: Path) -> None:
    """Watch buses, devices, rates, errors, link and buffer live. Keys: q quits, p pauses, others sort and scroll.

    It needs a terminal; `lamppost status` and `lamppost metrics` do not.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("top needs a terminal; try: lamppost status")
    from gateway.cli.terminal import Terminal
    from gateway.cli.top_screen import View, lines, waiting

    view, feed = View(), Feed(run_dir, every)
    with Terminal() as terminal:
        feed.start(terminal.wake)
        try:
            while not terminal.ended:
                columns, height = terminal.size
                if not (view.paused and feed.drawn):
                    feed.shown = feed.pair()
                if feed.shown is None:
                    terminal.draw(waiting(feed.error, columns, height))
                else:
                    feed.drawn = True
                    now, before = feed.shown
                    terminal.draw(lines(now, before, view, columns, height, stale=feed.error))
                if not view.press(terminal.wait(60.0)):
                    break
        finally:
            feed.stop()
    ctx.exit(128 + terminal.ended if terminal.ended else 0)


class Feed:
    """Asks the agent from a thread: one that hangs does not hang the keys."""

    def __init__(self, run_dir: Path, every: float) -> None:
        self.error = "asking"
        self.shown: tuple[dict[str, Any], dict[str, Any]] | None = None
        self.drawn = False
        self._run_dir = run_dir
        self._every = every
        self._found: deque[dict[str, Any]] = deque(maxlen=max(int(RATE_S / every), 2))
        self._stopping = threading.Event()

    def start(self, wake: Callable[[], None]) -> None:
        """Ask from now on; `wake` is called after each answer."""
        threading.Thread(target=self._run, args=(wake,), daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()

    def pair(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The newest status, and one from some seconds before; None before the first."""
        found = list(self._found)
        return (found[-1], found[0]) if found else None

    def _run(self, wake: Callable[[], None]) -> None:
        from gateway.control.client import Client
        from gateway.control.sockets import status_socket
        from gateway.errors import GatewayError

        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                with Client(status_socket(self._run_dir)) as client:
                    status = client.call("status")
                if self._found and self._found[-1]["buffer"]["samples"] > status["buffer"]["samples"]:
                    self._found.clear()  # another life: its counts begin anew
                self._found.append(status)
                self.error = ""
            except (GatewayError, OSError, ValueError) as error:
                self.error = str(error)
            wake()
            self._stopping.wait(max(self._every - (time.monotonic() - began), REST_S))
