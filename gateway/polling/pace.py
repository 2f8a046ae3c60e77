"""Running figures of a bus: how often a read is answered, and how busy the bus is."""

from array import array
from dataclasses import dataclass
from statistics import fmean, median

KEPT = 32
"""Intervals that are remembered of each read: half a minute at one a second, in 128 bytes."""
WINDOW_MS = 60_000
"""How long a bus is watched for one figure."""


@dataclass(frozen=True, slots=True)
class Achieved:
    """What the last intervals between answers were, in ms."""

    median: float
    mean: float
    worst: int


class Pace:
    """The intervals between the last answers to one read."""

    __slots__ = ("_intervals", "_last", "_next")

    def __init__(self) -> None:
        self._intervals = array("Q")
        self._last: int | None = None
        self._next = 0

    def note(self, now: int) -> None:
        """It was answered at `now` (boot ms)."""
        last, self._last = self._last, now
        if last is None:
            return
        if len(self._intervals) < KEPT:
            self._intervals.append(now - last)
        else:
            self._intervals[self._next] = now - last
            self._next = (self._next + 1) % KEPT

    def achieved(self) -> Achieved | None:
        """None before the second answer."""
        intervals = self._intervals
        return Achieved(median(intervals), fmean(intervals), max(intervals)) if intervals else None


class Busy:
    """The part of the time in which a bus is in use."""

    def __init__(self, now: int) -> None:
        self._began = now
        self._used = 0
        self._share: float | None = None

    def used(self, began: int, now: int) -> None:
        """It was in use from `began` until `now` (boot ms)."""
        self._used += now - began
        if now - self._began >= WINDOW_MS:
            self._share, self._began, self._used = self._so_far(now), now, 0

    def share(self, now: int) -> float:
        """Of the last whole window, or of the time so far; 0 to 1."""
        stale = now - self._began >= 2 * WINDOW_MS
        return self._so_far(now) if self._share is None or stale else self._share

    def _so_far(self, now: int) -> float:
        return min(self._used / max(now - self._began, 1), 1.0)
