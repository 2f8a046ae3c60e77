"""Which read is due next on a bus: earliest deadline first, phases spread, nothing replayed."""

import heapq
from collections.abc import Sequence

from drivers.base import Read


class Schedule:
    """The reads of one bus and when each is due, in boot ms."""

    def __init__(self, reads: Sequence[Read], now: int) -> None:
        self._reads = list(reads)
        self._due: list[tuple[int, int]] = []
        self.missed = 0
        for index, read in enumerate(self._reads):
            phase = read.every * index // len(self._reads)
            heapq.heappush(self._due, (now + phase, index))

    def next_due(self) -> int | None:
        """When the earliest read is due; None when there is none at all."""
        return self._due[0][0] if self._due else None

    def replace(self, old: Read, new: Sequence[Read], now: int) -> None:
        """`new` reads stand for `old` from now on."""
        gone = next(index for index, read in enumerate(self._reads) if read is old)
        self._due = [(due, index) for due, index in self._due if index != gone]
        self._due += [(now, len(self._reads) + offset) for offset in range(len(new))]
        heapq.heapify(self._due)
        self._reads += new

    def take(self, now: int) -> Read:
        """The earliest read, put back for its next period; periods that passed by are counted, never made up for."""
        due, index = self._due[0]
        read = self._reads[index]
        following = due + read.every
        if following <= now:
            late = (now - following) // read.every + 1
            self.missed += late
            following += late * read.every
        heapq.heapreplace(self._due, (following, index))
        return read
