"""One timer for many deadlines: what is answered in time, as nearly all is, costs the event loop none of its own."""

import asyncio
from collections.abc import Callable
from math import inf


class Patience:
    """Calls `ended` when the deadline that stands has passed. Times are those of the event loop, in s.

    The timer runs on when a deadline is lifted, and looks at its end whether another stands then.
    """

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._deadline = inf
        self._timer: asyncio.TimerHandle | None = None
        self._ends = inf
        """When the timer does."""

    def until(self, deadline: float) -> None:
        """Let this be the deadline that stands."""
        self._deadline = deadline
        if deadline < self._ends:
            self._start()

    def lift(self) -> None:
        """No deadline stands."""
        self._deadline = inf

    def close(self) -> None:
        """End the timer too: the next deadline may be of another event loop."""
        self.lift()
        self._stop()

    def _start(self) -> None:
        self._stop()
        self._ends = self._deadline
        self._timer = asyncio.get_running_loop().call_at(self._ends, self._look)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._ends = None, inf

    def _look(self) -> None:
        ends = self._ends
        self._stop()
        if self._deadline <= ends:
            self.lift()
            self._ended()
        elif self._deadline < inf:
            self._start()
