"""Whether the disk takes what it is given: refusals and stalls, told of once when they begin and once at their end."""

import logging
from collections.abc import Callable
from enum import StrEnum

log = logging.getLogger(__name__)

STALL_MS = 3_000
"""Longer than a good card ever takes for a flush: its own housekeeping is over within a second or two."""


class DiskState(StrEnum):
    """How the last call on the store went, or goes."""

    OK = "ok"
    REFUSES = "refuses"
    STALLS = "stalls"


class Disk:
    """The spells in which the disk takes nothing. Times are boot ms."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._asked_at: int | None = None
        self._refusal = ""
        self._told = False
        self.since = now()
        """When the present spell began; when the last ended, if there is none."""

    @property
    def state(self) -> DiskState:
        """As it is now."""
        if self._stalls():
            return DiskState.STALLS
        return DiskState.REFUSES if self._refusal else DiskState.OK

    @property
    def error(self) -> str:
        """Why it takes nothing; empty when it does."""
        if self._stalls() and self._asked_at is not None:
            return f"the disk has not answered for {(self._now() - self._asked_at) / 1000:.0f} s"
        return self._refusal

    def asked(self) -> None:
        """A call on the store begins."""
        self._asked_at = self._now()

    def refused(self, why: str) -> None:
        """The call ended with an error."""
        self._begin(why)
        self._asked_at = None
        self._refusal = why

    def took(self) -> None:
        """The call ended well."""
        self._asked_at = None
        self._refusal = ""
        if self._told:
            log.warning("buffer: the disk takes samples again, after %d s", (self._now() - self.since) // 1000)
            self._told = False
            self.since = self._now()

    def watch(self) -> None:
        """Tell of a call that does not come back; to be called every second or so."""
        if self._stalls():
            self._begin(self.error)

    def _begin(self, why: str) -> None:
        if not self._told:
            log.error("buffer: %s; samples wait in memory", why)
            self.since = self._now() if self._asked_at is None else self._asked_at
            self._told = True

    def _stalls(self) -> bool:
        return self._asked_at is not None and self._now() - self._asked_at > STALL_MS
