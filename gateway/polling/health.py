"""The health of one device, as its answers show it: online, suspect, offline; and what it costs the others."""

import logging
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.polling.schedule import Standing

log = logging.getLogger(__name__)

OFFLINE_AFTER = 3
"""Failures in a row before a device counts as gone: one is noise, two are bad luck."""
DEAD_SHARE = 20
"""A device that does not answer may cost one part in twenty (5 %) of its bus's time."""
PROBE_MIN_MS = 1_000
"""A refusal that takes no time is not asked for again and again."""
PROBE_MAX_MS = 60_000
"""A device that is back is noticed within this, or within twenty times its timeout where that is longer."""
TRUSTED_AFTER = 20
"""Answers in a row before a device that failed goes with the others again."""
RECENT = 32
"""So many outcomes say how a device is doing: one bad one in them is noise."""
SLOW_PART = 2
"""A device that needs more than half of its timeout to answer is slow: the others go first."""


class State(StrEnum):
    """What is known of a device."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    SUSPECT = "suspect"
    OFFLINE = "offline"


@dataclass(slots=True)
class Health:
    """Counts what a device did; logs once when it goes and once when it is back. Times are boot ms.

    A device that failed is doubted until it has answered often enough: the others go first. The bus time lost to it is
    owed, and paid off by a twentieth of the time that passes; one that owes much is let rest.
    """

    device: str
    state: State = State.UNKNOWN
    since: int = 0
    heard_at: int | None = None
    answers: int = 0
    failures: int = 0
    in_a_row: int = 0
    last_error: str = ""
    errors: dict[str, int] = field(default_factory=dict)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    """The last outcomes: "" for an answer, else the class of the error."""
    probe_at: int = 0
    timeout: int = 0
    """How long the last try took that was not answered, in ms."""
    slow: bool = False
    rest_until: int = 0
    told: bool = False
    """That it is gone is in the log."""
    _doubts: int = 0
    _probe_wait: int = 0
    _owed: int = 0
    _owed_at: int = 0

    def heard(self, now: int, *, slow: bool = False) -> None:
        """The device said something usable, or answered with an exception."""
        self.answers += 1
        self.in_a_row = 0
        self.recent.append("")
        self._doubts = max(self._doubts - 1, 0)
        self.heard_at = now
        self.slow = slow
        if self._probe_wait and self.state is State.ONLINE and now - self.since > PROBE_MAX_MS:
            self._probe_wait = 0
        if self.told:
            log.warning("device %s: back", self.device)
        self.told = False
        self._become(State.ONLINE, now)

    def complained(self, error: Exception) -> None:
        """What it said was no value: shown and counted."""
        self.last_error = str(error)
        self.recent.append(type(error).__name__)
        self.errors[type(error).__name__] = self.errors.get(type(error).__name__, 0) + 1

    def failed(self, now: int, error: Exception, cost: int = 0) -> None:
        """The device did not deliver; `cost` is the bus time in ms that the try took."""
        self.failures += 1
        self.in_a_row += 1
        self.timeout = cost
        self._doubts = TRUSTED_AFTER
        self.complained(error)
        if self.state is State.OFFLINE or self.in_a_row >= OFFLINE_AFTER:
            self._probe_wait = min(max(2 * self._probe_wait, cost * DEAD_SHARE, PROBE_MIN_MS), PROBE_MAX_MS)
            self.probe_at = now + max(self._probe_wait, cost * DEAD_SHARE)
            self.lost(now, str(error))
            return
        self._owe(now, cost)
        self._become(State.SUSPECT, now)

    def lost(self, now: int, why: str) -> None:
        """The device counts as gone from now on."""
        if not self.told:
            log.warning("device %s: gone (%s)", self.device, why)
        self.told = True
        self._become(State.OFFLINE, now)

    def unseen(self, now: int) -> None:
        """Nobody asks it for a while, so nobody knows."""
        if self.state is not State.OFFLINE:
            self._become(State.UNKNOWN, now)

    def out_of_reach(self, now: int) -> None:
        """Its bus is gone, which the log tells once for all that are on it."""
        self._become(State.OFFLINE, now)

    def within_reach(self, now: int) -> None:
        """Its bus is open again: a device that was lost with it alone is asked like any other."""
        if self.state is State.OFFLINE and self.in_a_row < OFFLINE_AFTER:
            self._become(State.UNKNOWN, now)

    def standing(self, now: int) -> Standing:
        """How it stands with the others on its bus."""
        if self.state is State.OFFLINE or now < self.rest_until:
            return Standing.ABSENT
        if self.slow or self._doubts:
            return Standing.DOUBTED
        return Standing.TRUSTED

    def _owe(self, now: int, cost: int) -> None:
        """A device is let rest that cost the others more, all in all, than it takes to be found gone."""
        paid = (now - self._owed_at) // DEAD_SHARE
        self._owed, self._owed_at = max(self._owed - paid, 0) + cost, now
        self.rest_until = now + max(self._owed - OFFLINE_AFTER * cost, 0) * DEAD_SHARE

    def _become(self, state: State, now: int) -> None:
        if state is not self.state:
            self.state = state
            self.since = now
