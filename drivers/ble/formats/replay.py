"""Refuses advertisements that were recorded and sent again, by the counter that the sender authenticates. Sans-IO."""

from enum import Enum

# A sensor counts from 0 again after a change of its battery, which a counter below this is taken for.
RESTART_BELOW = 100
MAX_EARLY = 1000  # advertisements with such a counter that are remembered: ten restarts in one life of the agent
BITS_OF_SHORT = 8  # a counter of these passes 0 every few minutes, which says nothing


class Verdict(Enum):
    """What a counter says of its advertisement."""

    NEW = "new"
    REPEATED = "repeated"
    """The last one once more: senders repeat each, and nothing new is said."""
    REPLAYED = "replayed"
    """Older than what was heard already."""


class Counter:
    """The counter of one device, from the agent's start on; the first one heard is believed.

    A restart of the sensor cannot be told from a replay of its first advertisements, so each of those is taken once
    only: what was heard already, bytes and all, is refused for good. After a restart, though, what was recorded before
    it and counts higher cannot be told from what the sensor says now.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._early: set[tuple[int, bytes]] = set()

    def judge(self, counter: int, tag: bytes, bits: int = 32) -> Verdict:
        """Judge `counter` (of `bits` bits, modulo) of an authenticated advertisement whose check value is `tag`."""
        if counter == self._last:
            return Verdict.REPEATED
        early = bits > BITS_OF_SHORT and counter < RESTART_BELOW
        if early and ((counter, tag) in self._early or len(self._early) >= MAX_EARLY):
            return Verdict.REPLAYED
        if self._last is not None and not early and not _newer(counter, self._last, bits):
            return Verdict.REPLAYED
        self._last = counter
        if early:
            self._early.add((counter, tag))
        return Verdict.NEW


def _newer(counter: int, last: int, bits: int) -> bool:
    """Whether it is ahead by less than half the counter's range, as RFC 1982, 3.2 compares serial numbers."""
    return 0 < (counter - last) % (1 << bits) < 1 << (bits - 1)
