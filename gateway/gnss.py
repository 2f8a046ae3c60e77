"""When the time that a GNSS receiver tells is believed: after a run of tellings that the box's own seconds confirm."""

from dataclasses import dataclass, replace

RUN = 5
"""So many tellings in a row must agree: a damaged or made-up one is alone."""
RUN_MS = 5_000
"""They must span so much: a receiver that repeats one moment, or counts wrongly, is seconds off by then."""
ACCURACY_MAX_MS = 2_500
"""What is told less exactly cannot be told from a stopped clock within `RUN_MS`."""
EARLIEST_MS = 1_767_225_600_000
"""2026-01-01, before the first release: who says less has not found the time yet, or has lost count of the weeks."""
SPAN_MS = 1024 * 7 * 86_400_000
"""The week number that GPS sends has ten bits (IS-GPS-200, 20.3.3.3.1.1): receivers know a date modulo 19.6 years."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Tellings that agree: offset (wall clock - boot time) and time of the first, the largest offset, how many."""

    base_ms: int
    since: int
    offset_ms: int
    told: int = 1


class Tellings:
    """What receivers told last. No clock of its own; two receivers that disagree make no run."""

    def __init__(self) -> None:
        self._run: _Run | None = None

    def take(self, offset_ms: int, accuracy_ms: int, now: int, floor_ms: int) -> int | None:
        """The believed offset after being told `offset_ms` at boot time `now`; None while nothing is believed.

        A telling is never early and at most `accuracy_ms` late, so the largest offset of a run is the best. Dates below
        `floor_ms`, or a whole cycle of weeks and more above it, end the run.
        """
        if not 0 <= accuracy_ms <= ACCURACY_MAX_MS or not 0 <= offset_ms + now - floor_ms < SPAN_MS:
            self._run = None
            return None
        run = self._run
        if run is None or abs(offset_ms - run.base_ms) > accuracy_ms:
            self._run = _Run(offset_ms, now, offset_ms)
            return None
        self._run = run = replace(run, offset_ms=max(run.offset_ms, offset_ms), told=run.told + 1)
        return run.offset_ms if run.told >= RUN and now - run.since >= RUN_MS else None
