"""The health of one device, as its answers show it: online, suspect, offline."""

import logging
from dataclasses import dataclass, field
from enum import StrEnum

log = logging.getLogger(__name__)

OFFLINE_AFTER = 3
"""Failures in a row before a device counts as gone: one is noise, two are bad luck."""
DEAD_SHARE = 20
"""A device that does not answer may cost one part in twenty (5 %) of its bus's time."""
PROBE_MAX_MS = 60_000
"""A device that is back is noticed within this."""


class State(StrEnum):
    """What is known of a device."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    SUSPECT = "suspect"
    OFFLINE = "offline"


@dataclass(slots=True)
class Health:
    """Counts what a device did; logs once when it goes and once when it is back. Times are boot ms."""

    device: str
    state: State = State.UNKNOWN
    since: int = 0
    heard_at: int | None = None
    answers: int = 0
    failures: int = 0
    skipped: int = 0
    in_a_row: int = 0
    last_error: str = ""
    errors: dict[str, int] = field(default_factory=dict)
    probe_at: int = 0
    _probe_wait: int = 0

    def heard(self, now: int) -> None:
        """The device said something usable, or answered with an exception."""
        self.answers += 1
        self.in_a_row = 0
        self.heard_at = now
        self._probe_wait = 0
        if self.state is State.OFFLINE:
            log.warning("device %s: back", self.device)
        self._become(State.ONLINE, now)

    def failed(self, now: int, error: Exception, cost: int = 0) -> None:
        """The device did not deliver; `cost` is the bus time in ms that the try took."""
        self.failures += 1
        self.in_a_row += 1
        self.last_error = str(error)
        self.errors[type(error).__name__] = self.errors.get(type(error).__name__, 0) + 1
        if self.in_a_row < OFFLINE_AFTER:
            self._become(State.SUSPECT, now)
            return
        self._probe_wait = min(max(2 * self._probe_wait, cost * DEAD_SHARE), PROBE_MAX_MS)
        self.probe_at = now + self._probe_wait
        self.lost(now, str(error))

    def lost(self, now: int, why: str) -> None:
        """The device counts as gone from now on."""
        if self.state is not State.OFFLINE:
            log.warning("device %s: gone (%s)", self.device, why)
        self._become(State.OFFLINE, now)

    def _become(self, state: State, now: int) -> None:
        if state is not self.state:
            self.state = state
            self.since = now
