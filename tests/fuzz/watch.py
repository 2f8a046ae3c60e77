"""What each input may cost, and what the dearest did."""

import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST_SECONDS: Final = 0.1  # of CPU, for one call
TRIES: Final = 5
MOST_GROWTH: Final = 32 << 20  # bytes resident, of the peak above what the process held before
SUSPICIOUS_GROWTH: Final = 4 << 20  # of the peak so far, with sanitizers: worth another look
PEAK_RESET: Final = "5"  # to clear_refs: VmHWM begins anew (proc(5))


class Overspent(AssertionError):
    """An input took more time or memory than it may."""


@dataclass(slots=True)
class Figures:
    """What a run did; times in seconds, growth in bytes."""

    inputs: int = 0
    calls: int = 0
    accepted: int = 0
    compared: int = 0
    slowest: float = 0.0
    growth: int = 0

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


class Watch:
    """Times each call. With sanitizers it only gets dearer: there, what looks dear is kept for a look without them."""

    def __init__(self, suspects: Path | None) -> None:
        self.figures = Figures()
        self.suspects = suspects
        self.peak = 0
        self.last = 0.0
        self.dear = False

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The call's result or error. Without a folder for suspects, Overspent where it was too dear.

        The function is called again when it was slow: on a busy machine a call may take twice the CPU time it needs.
        """
        before = self._before()
        start = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            self.last = time.thread_time() - start
            growth = peak_bytes() - before
            if self.suspects is None and self.last > MOST_SECONDS:
                self.last = min(seconds_of(function, *args, **kwargs) for _ in range(TRIES))
            self._note(growth)

    def _before(self) -> int:
        if self.suspects is not None:
            self.peak = self.peak or peak_bytes()
            return self.peak
        Path("/proc/self/clear_refs").write_text(PEAK_RESET)
        return peak_bytes()

    def _note(self, growth: int) -> None:
        figures = self.figures
        figures.calls += 1
        figures.slowest = max(figures.slowest, self.last)
        figures.growth = max(figures.growth, growth)
        if self.suspects is None:
            if self.last > MOST_SECONDS:
                raise Overspent(f"{1000 * self.last:.0f} ms of CPU; at most {1000 * MOST_SECONDS:.0f}")
            if growth > MOST_GROWTH:
                raise Overspent(f"{growth >> 20} MB more resident; at most {MOST_GROWTH >> 20}")
            return
        self.dear |= self.last > MOST_SECONDS or growth > SUSPICIOUS_GROWTH
        self.peak = max(self.peak, self.peak + growth if growth > SUSPICIOUS_GROWTH else 0)

    def input_done(self, data: bytes) -> None:
        """One input is through; a dear one goes to the suspects."""
        self.figures.inputs += 1
        if self.dear and self.suspects is not None:
            self.dear = False
            (self.suspects / f"{len(list(self.suspects.iterdir())):04}").write_bytes(data)


def seconds_of(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    """The CPU time of a call, whatever comes of it."""
    start = time.thread_time()
    with suppress(Exception):  # it was raised before, and goes its way
        function(*args, **kwargs)
    return time.thread_time() - start


def peak_bytes() -> int:
    """The most that this process ever had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
