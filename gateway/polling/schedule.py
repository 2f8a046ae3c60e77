"""Which read of a bus is due, and by when: earliest deadline first, nothing replayed. Pure: it only ever counts."""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from drivers.base import Read
from gateway.polling.pace import Pace

BEAT_MS = 1_000
"""Reads become due on a common beat: what is due together wakes the process once, and leaves the bus one long pause."""
TOGETHER = 50
"""So many buses share a beat: more at once would keep each other waiting for over 10 ms."""
SPREAD = 4
"""Slow reads of one period are spread over a quarter of it: none comes earlier than its period for that."""


class Standing(StrEnum):
    """How a device stands with the others on its bus."""

    TRUSTED = "trusted"
    DOUBTED = "doubted"
    """It is asked when no trusted one is due."""
    ABSENT = "absent"
    """Its reads are passed over, and counted."""


_SERVED_AS = {
    Standing.TRUSTED: (Standing.TRUSTED,),
    Standing.DOUBTED: (Standing.DOUBTED, Standing.TRUSTED),  # it was doubted when it became due
}


@dataclass(slots=True)
class Slot:
    """One read in the schedule; times are boot ms. It is due again at `following`."""

    read: Read
    deadline: int
    following: int
    pace: Pace = field(default_factory=Pace)
    served: int = 0
    waits: bool = True


def phase_of(bus: int) -> int:
    """Where the beat of the bus with that number lies, in ms; any number of groups is spread evenly."""
    return round(bus // TOGETHER * BEAT_MS * (5**0.5 - 1) / 2) % BEAT_MS  # the golden ratio leaves no gap twice as wide


def trust(_: str) -> Standing:
    """Every device is as good as any other."""
    return Standing.TRUSTED


class Schedule:
    """The reads of one bus. `phase` (boot ms) is where its beat lies."""

    def __init__(
        self, reads: Sequence[Read], now: int, *, phase: int = 0, standing: Callable[[str], Standing] = trust
    ) -> None:
        self.missed = 0
        self.passed: Counter[str] = Counter()
        self._standing = standing
        self._slots: dict[int, Slot] = {}
        self._number = 0
        self._waiting: list[tuple[int, int]] = []
        self._due: dict[Standing, list[tuple[int, int, int]]] = {Standing.TRUSTED: [], Standing.DOUBTED: []}
        for read, later in _spread(reads):
            beat = min(read.every, BEAT_MS)
            following = _aligned(now + read.every - beat // 2 + later, beat, phase)
            self._add(Slot(read, now + read.every, following), now)

    @property
    def slots(self) -> Iterable[Slot]:
        """All reads, those of absent devices too."""
        return self._slots.values()

    def next_due(self) -> int | None:
        """When the earliest of the reads that are not due yet will be; None when there is none."""
        return self._waiting[0][0] if self._waiting else None

    def next_trusted(self) -> int | None:
        """The same for those of trusted devices; looks at all of them."""
        slots = self._slots
        times = (at for at, n in self._waiting if n in slots and self._stands(slots[n]) is Standing.TRUSTED)
        return min(times, default=None)

    def first(self, standing: Standing, now: int) -> Slot | None:
        """The due read of that standing with the earliest deadline, of several the one that has waited longest.

        It stays until it is taken or put off.
        """
        while self._waiting and self._waiting[0][0] <= now:
            self._place(heapq.heappop(self._waiting)[1], now)
        due = self._due[standing]
        while due:
            number = due[0][2]
            slot = self._slots.get(number)
            if slot is not None and self._stands(slot) in _SERVED_AS[standing]:
                return slot
            heapq.heappop(due)
            self._place(number, now)
        return None

    def take(self, slot: Slot, now: int) -> Read:
        """The read, put back for its next period; periods that passed by are counted, never made up for."""
        number = self._pull(slot)
        slot.served = now
        self.missed += self._rearm(slot, number, now) - 1
        return slot.read

    def put_off(self, slot: Slot, until: int) -> None:
        """It must not be asked before `until`; its deadline stays."""
        number = self._pull(slot)
        slot.waits = True
        heapq.heappush(self._waiting, (until, number))

    def hasten(self, devices: Collection[str], now: int, *, again: bool = False) -> None:
        """Reads of devices that are back are due now, but none comes in less than half its period.

        Those of `again` do, since what they said last counts no more.
        """
        hastened = set()
        for number, slot in self._slots.items():
            half, due = slot.read.every // 2, slot.deadline - slot.read.every
            if (
                slot.waits
                and slot.read.device in devices
                and (again or slot.served + half <= now)
                and now <= due - half
            ):
                slot.deadline = slot.following = due
                hastened.add(number)
        self._waiting = [(now if number in hastened else at, number) for at, number in self._waiting]
        heapq.heapify(self._waiting)

    def answered(self, read: Read, now: int) -> None:
        """It was asked out of turn."""
        for slot in self._slots.values():
            if slot.read == read:
                slot.served = now

    def replace(self, old: Read, new: Sequence[Read], now: int) -> None:
        """`new` reads stand for `old` from now on; nothing when it is none of these."""
        number = next((number for number, slot in self._slots.items() if slot.read is old), None)
        if number is None:
            return
        gone = self._slots.pop(number)
        due = max(gone.deadline - gone.read.every, now + 1)
        for read in new:
            self._add(Slot(read, now + read.every, due), now)

    def _add(self, slot: Slot, due: int) -> None:
        self._number += 1
        self._slots[self._number] = slot
        heapq.heappush(self._waiting, (due, self._number))

    def _stands(self, slot: Slot) -> Standing:
        return self._standing(slot.read.device)

    def _place(self, number: int, now: int) -> None:
        """Among the due reads of its standing; that of an absent device is passed over until its next period."""
        slot = self._slots.get(number)
        if slot is None:
            return
        stands = self._stands(slot)
        if stands is Standing.ABSENT:
            self.passed[slot.read.device] += self._rearm(slot, number, now)
        else:
            slot.waits = False
            heapq.heappush(self._due[stands], (slot.deadline, slot.served, number))

    def _pull(self, slot: Slot) -> int:
        """Take the slot, a first of the due ones, out of them."""
        for due in self._due.values():
            if due and self._slots.get(due[0][2]) is slot:
                return heapq.heappop(due)[2]
        raise ValueError("only the first of the due reads can be taken")

    def _rearm(self, slot: Slot, number: int, now: int) -> int:
        """Due again at its next period after `now`; how many periods that ends."""
        every, periods = slot.read.every, 1
        if slot.following <= now:
            periods += (now - slot.following) // every + 1
        due = slot.following + (periods - 1) * every
        slot.deadline = slot.following = due + every
        slot.waits = True
        heapq.heappush(self._waiting, (due, number))
        return periods


def _spread(reads: Sequence[Read]) -> list[tuple[Read, int]]:
    """Each read with how much later it comes than its period: none where that is less than a beat."""
    totals = Counter(read.every for read in reads)
    seen: Counter[int] = Counter()
    found = []
    for read in reads:
        found.append((read, read.every * seen[read.every] // (SPREAD * totals[read.every]) // BEAT_MS * BEAT_MS))
        seen[read.every] += 1
    return found


def _aligned(at: int, beat: int, phase: int) -> int:
    """The first beat that is not before `at`."""
    return at + (phase - at) % beat
