"""Waiting longer each time, and never all at the same moment."""

import random


class Backoff:
    """Delays in seconds that double from `first` up to `most`, each shortened by up to half at random."""

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._next = first

    def next(self) -> float:
        """The delay before the next try."""
        delay = self._next
        self._next = min(self._next * 2, self._most)
        return delay * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked: the next delay is the first again."""
        self._next = self._first
