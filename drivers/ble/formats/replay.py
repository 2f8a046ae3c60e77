"""Refuses advertisements that were recorded and sent again, by the counter that the sender authenticates. Sans-IO."""

from enum import Enum

# A sensor counts from 0 again after a change of its battery, which a counter below this is taken for.
RESTART_BELOW = 100
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
    only: one that was heard already, bytes and all, is refused for good. Remembers 100 short byte strings at most.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._early: dict[int, bytes] = {}

    def judge(self, counter: int, tag: bytes, bits: int = 32) -> Verdict:
        """Judge `counter` (of `bits` bits, modulo) of an authenticated advertisement whose check value is `tag`."""
        if self._last is not None:
            if counter == self._last:
                return Verdict.REPEATED
            if not self._newer(counter, bits) and not self._restarts(counter, tag, bits):
                return Verdict.REPLAYED
        self._last = counter
        if counter < RESTART_BELOW:
            self._early[counter] = tag
        return Verdict.NEW

    def _newer(self, counter: int, bits: int) -> bool:
        """Whether it is ahead by less than half the counter's range, as RFC 1982, 3.2 compares serial numbers."""
        ahead = (counter - (self._last or 0)) % (1 << bits)
        return 0 < ahead < 1 << (bits - 1)

    def _restarts(self, counter: int, tag: bytes, bits: int) -> bool:
        return bits > BITS_OF_SHORT and counter < RESTART_BELOW and self._early.get(counter) != tag
