"""What to do about a radio that fell silent: a table of rungs. Sans-IO; times are boot or monotonic ms."""

from enum import StrEnum

REST_MS = 3_600_000
"""After the last rung the ladder is climbed again each hour: what only a later try cures is cured by it."""


class State(StrEnum):
    """Where on the ladder the radio is."""

    NOTHING_YET = "nothing heard since start"
    HEARING = "hearing"
    RESTARTED = "scan restarted"
    CYCLED = "adapter power-cycled"
    TOLD = "nothing helped"
    SPENT = "bluetoothd restarted"


class Step(StrEnum):
    """What is to be done now."""

    RESTART_SCAN = "restart-scan"
    POWER_CYCLE = "power-cycle"
    SAY_SO = "say-so"
    RESTART_BLUEZ = "restart-bluetoothd"


LADDER: dict[State, tuple[Step, State]] = {
    State.HEARING: (Step.RESTART_SCAN, State.RESTARTED),
    State.RESTARTED: (Step.POWER_CYCLE, State.CYCLED),
    State.CYCLED: (Step.SAY_SO, State.TOLD),
    State.TOLD: (Step.RESTART_BLUEZ, State.SPENT),
    State.SPENT: (Step.RESTART_SCAN, State.RESTARTED),
}
"""The step that a silence of the state's length asks for, and the state after it."""


class Healer:
    """Takes how many advertisements were heard so far; tells each step once, in order, and counts it.

    A street that was silent since start asks for nothing. `loud` is whether the last step is news: the first time up
    the ladder is told, the times after it are counted only.
    """

    def __init__(self, silence_ms: int, *, may_restart: bool) -> None:
        self._silence = silence_ms
        self._may_restart = may_restart
        self._heard = 0
        self._since = 0
        self.state = State.NOTHING_YET
        self.loud = True
        self.recovered = False
        self.counts = dict.fromkeys(Step, 0)

    def resume(self, now: int) -> None:
        """The scan begins, or begins again: what was before is no silence."""
        self._since = now

    def tick(self, now: int, heard: int) -> Step | None:
        """What to do now; `heard` counts advertisements and never falls."""
        self.recovered = heard != self._heard and self.state not in (State.NOTHING_YET, State.HEARING)
        if heard != self._heard:
            self._heard, self._since = heard, now
            self.state, self.loud = State.HEARING, True
            return None
        if self.state not in LADDER or now - self._since < self._patience():
            return None
        if self.state is State.SPENT or (self.state is State.TOLD and not self._may_restart):
            self.loud = False
            return self._take(now, LADDER[State.SPENT])
        return self._take(now, LADDER[self.state])

    def _take(self, now: int, rung: tuple[Step, State]) -> Step:
        step, self.state = rung
        self._since = now
        self.counts[step] += 1
        return step

    def _patience(self) -> int:
        """How long this state may be silent: nothing is waited for between saying so and the last resort."""
        if self.state is State.TOLD and self._may_restart:
            return 0
        return REST_MS if self.state in (State.TOLD, State.SPENT) else self._silence
