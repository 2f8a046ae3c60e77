"""Whose turn it is on a bus: what is due, then those that failed lately, then a probe of those that are gone. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.base import AskingDriver, Read
from gateway.polling.health import DEAD_SHARE, PROBE_MIN_MS, Health, State
from gateway.polling.schedule import Schedule, Slot, Standing

PROBE_BY_MS = 5_000
"""A probe waits so long for a pause of the bus that it fits into; then it takes the next one."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A read to ask now. A probe stands in no schedule: it has no slot."""

    read: Read
    slot: Slot | None
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class _Doubted:
    """What may go when nothing trusted is due, and will go at `by`."""

    read: Read
    health: Health
    by: int
    slot: Slot | None


class Turns:
    """The reads of one bus in their order. Times are boot ms.

    A device that failed lately waits until no other is due, and then for a pause that is as long as its timeout. So it
    delays the others by one timeout at most; they delay it by its period at most, and one part in twenty of the time is
    its own whatever they need.
    """

    def __init__(self, driver: AskingDriver, health: Mapping[str, Health], now: int, phase: int = 0) -> None:
        self._driver = driver
        self._health = health
        self._now = now
        self._gone: set[str] = set()
        self._probe_from = self._claim_from = now
        self.schedule = Schedule(driver.reads(), now, phase=phase, standing=self._standing)

    def next(self, now: int) -> Turn | None:
        """What to ask now, taken out of the schedule; None when nothing may be asked."""
        self._now = now
        slot = self._first(Standing.TRUSTED, now)
        doubted = self._doubted(now)
        if doubted is not None and (self._fits(doubted, now) if slot is None else self._claims(doubted, now)):
            if doubted.slot is not None:
                self.schedule.take(doubted.slot, now)
            return Turn(doubted.read, doubted.slot, doubted=True)
        return None if slot is None else Turn(self.schedule.take(slot, now), slot)

    def wake(self, now: int) -> int | None:
        """When there may be a turn again, after there was none; None when never."""
        times = [] if (due := self.schedule.next_due()) is None else [due]
        if (doubted := self._doubted(now)) is not None:
            times.append(doubted.by)
        times += [max(self._health[device].probe_at, self._probe_from) for device in self._gone]
        return min((at for at in times if at > now), default=None)

    def done(self, turn: Turn, began: int, now: int) -> None:
        """The turn was used, from `began` until `now`, and its device's health says how."""
        health, took = self._health[turn.read.device], now - began
        back = health.device in self._gone and health.state is not State.OFFLINE
        self._note(health)
        if turn.doubted:
            self._claim_from = now + took * DEAD_SHARE
        if turn.slot is None and not back:
            self._probe_from = now + max(took * DEAD_SHARE, PROBE_MIN_MS)
        if back:
            self.schedule.answered(turn.read, now)
            self.schedule.hasten((health.device,), now)

    def opened(self, now: int, *, lent: bool = False) -> None:
        """The bus is open again: what was lost with it is asked now; all of it, after it was `lent`."""
        lost = {health.device for health in self._health.values() if health.state is State.OFFLINE}
        for health in self._health.values():
            health.within_reach(now)
            self._note(health)
        self.schedule.hasten(self._health.keys() - self._gone if lent else lost - self._gone, now, again=lent)

    def _note(self, health: Health) -> None:
        if health.state is State.OFFLINE:
            self._gone.add(health.device)
        else:
            self._gone.discard(health.device)

    def _standing(self, device: str) -> Standing:
        return self._health[device].standing(self._now)

    def _first(self, standing: Standing, now: int) -> Slot | None:
        """The first that the driver has nothing against."""
        while (slot := self.schedule.first(standing, now)) is not None:
            until = self._driver.not_before(slot.read)
            if until <= now:
                return slot
            self.schedule.put_off(slot, until)
        return None

    def _doubted(self, now: int) -> _Doubted | None:
        """The read of a doubted device or the probe that has the earlier deadline."""
        slot, gone = self._first(Standing.DOUBTED, now), self._longest_gone(now)
        if gone is not None:
            probe, by = self._driver.probe(gone.device), max(gone.probe_at, self._probe_from) + PROBE_BY_MS
            if probe is not None and (slot is None or by < slot.deadline) and self._driver.not_before(probe) <= now:
                return _Doubted(probe, gone, by, None)
        return None if slot is None else _Doubted(slot.read, self._health[slot.read.device], slot.deadline, slot)

    def _longest_gone(self, now: int) -> Health | None:
        if not self._gone or now < self._probe_from:
            return None
        due = (self._health[device] for device in self._gone if self._health[device].probe_at <= now)
        return min(due, key=lambda health: health.probe_at, default=None)

    def _fits(self, doubted: _Doubted, now: int) -> bool:
        """Whether it may fail and delay nobody, or has waited long enough; one that answers is let go at once."""
        if doubted.health.state is State.ONLINE or now >= doubted.by:
            return True
        following = self.schedule.next_trusted()
        longest = self._driver.patience(doubted.read) or doubted.health.timeout
        return following is None or now + longest <= following

    def _claims(self, doubted: _Doubted, now: int) -> bool:
        """Whether it goes before those that are trusted: the bus is never free, and it had no turn for long."""
        return now >= doubted.by and now >= self._claim_from
