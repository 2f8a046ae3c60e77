"""What each scheduled point should have now, and what has been done about it. Pure: it is told the time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from buffer.calendar import Calendar, Switch
from buffer.command import Wanted

BACK_MS = 600_000
"""A clock that is set back by less makes no switch undone; one set back further was wrong before."""
AGAIN_MS = (10_000, 30_000, 60_000)
"""Pauses before what was not done is tried again; the last goes on until the next switch."""
NEVER = date.min


def unset(point: str, value: Wanted) -> Switch:
    """What stands in for a switch while nobody has told the time."""
    return Switch(0, point, value, -1, NEVER, 0)


@dataclass(slots=True)
class Standing:
    """How it stands with a point's switch; `number` is that of its result, which is not told yet (0: it is).

    `why` goes with it. `left` are switches before it that may lack a result.
    """

    switch: Switch | None = None
    ended: bool = False
    tries: int = 0
    next_at: int = 0
    number: int = 0
    why: str = ""
    left: "list[Standing]" = field(default_factory=list)
    told: bool = False
    state: str = "waiting"
    reason: str = ""

    def end(self, state: str, reason: str = "") -> None:
        """Nothing more is to be done for it."""
        self.ended, self.state, self.reason = True, state, reason

    def later(self, now: int, state: str, reason: str) -> None:
        """Try it again."""
        self.next_at = now + AGAIN_MS[min(self.tries, len(AGAIN_MS) - 1)]
        self.tries += 1
        self.state, self.reason = state, reason


class Timetable:
    """The switches of a calendar, one in force a point."""

    def __init__(self, calendar: Calendar, standings: dict[str, Standing] | None = None) -> None:
        """Begin; what was done for the same points by another calendar is not done again."""
        self.calendar = calendar
        old = standings or {}
        self.standings = {point: old.get(point, Standing()) for point in calendar.points}
        self._found: dict[str, tuple[int, Switch | None, int]] = {}
        self._looked = False

    def in_force(self, point: str, utc_ms: int) -> Switch | None:
        """The switch of `point` that counts at `utc_ms`."""
        known = self._found.get(point)
        if known is None or not known[0] <= utc_ms < known[2]:
            switch = self.calendar.in_force(point, utc_ms)
            after = self.calendar.following(utc_ms, 1, [point])
            end = after[0].utc_ms if after else utc_ms + 86_400_000
            known = self._found[point] = (utc_ms if switch is None else switch.utc_ms, switch, end)
        return known[1]

    def stale(self, utc_ms: int) -> list[str]:
        """The points of which `in_force` takes a while."""
        known = ((point, self._found.get(point)) for point in self.standings)
        return [point for point, one in known if one is None or not one[0] <= utc_ms < one[2]]

    def due(self, now: int, utc_ms: int | None, unset_value: Callable[[str], Wanted | None]) -> list[Switch]:
        """What is to be written at `now` (boot ms); `utc_ms` is None while nobody has told the time."""
        found, self._looked = [], True
        for point, standing in self.standings.items():
            switch = self._wanted(point, standing, utc_ms, unset_value)
            if switch is None:
                continue
            if not same(standing.switch, switch):
                self.standings[point] = standing = Standing(switch, left=[*standing.left, standing])
            if not standing.ended and now >= standing.next_at:
                found.append(switch)
        return found

    def _wanted(
        self, point: str, standing: Standing, utc_ms: int | None, unset_value: Callable[[str], Wanted | None]
    ) -> Switch | None:
        if utc_ms is None:
            if standing.switch is not None:
                return standing.switch  # the clock was known before: what it said then stays
            value = unset_value(point)
            return None if value is None else unset(point, value)
        had = standing.switch
        if had is not None and 0 < had.utc_ms - utc_ms <= BACK_MS:
            return had
        return self.in_force(point, utc_ms)

    @property
    def begun(self) -> bool:
        """Whether each point that has something in force has been tried."""
        tried = (one.ended or one.tries > 0 for one in self.standings.values() if one.switch is not None)
        return self._looked and all(tried)

    def json(self, point: str) -> dict[str, Any] | None:
        """A point's switch for people."""
        one = self.standings[point]
        if one.switch is None:
            return None
        return {"point": point, "since_ms": one.switch.utc_ms or None, "state": one.state, "reason": one.reason}


def same(one: Switch | None, other: Switch) -> bool:
    """Whether nothing is to be done when the one takes the other's place."""
    return one is not None and (one.utc_ms, one.value) == (other.utc_ms, other.value)
