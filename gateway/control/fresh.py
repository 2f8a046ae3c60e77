"""The verb `read`: asks devices now, by their bus's own queue, and says what they answer."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from drivers.base import Read
from drivers.errors import DriverError
from ext import describe
from gateway.clock import AgentClock
from gateway.control.server import Args
from gateway.control.status import value_json
from gateway.errors import BadRequest
from gateway.keeping.recorder import Recorder
from gateway.polling.bus import BusTask
from gateway.polling.poller import PollingTask

WANTED_MAX = 64
"""Devices and points of one request: a person reads the answer."""


class Fresh:
    """Reads on the buses of one agent."""

    def __init__(
        self, buses: Sequence[BusTask], recorder: Recorder, clock: AgentClock, units: Mapping[str, str]
    ) -> None:
        self._buses = buses
        self._recorder = recorder
        self._clock = clock
        self._units = units

    def read(self, args: Args) -> AsyncGenerator[dict[str, Any], None]:
        """Ask for `points`, each a device or `device/point`; a row a point, as its read is answered or fails."""
        names = args.get("points")
        if not isinstance(names, list) or not 1 <= len(names) <= WANTED_MAX:
            raise BadRequest(f"points: a list of 1 to {WANTED_MAX} devices and points")
        return self._read([self._wanted(name) for name in names])

    def _wanted(self, name: object) -> tuple[PollingTask, list[str]]:
        device = str(name).partition("/")[0]
        task = next((task for task in self._buses if device in task.points), None)
        points = [] if task is None else [p for p in task.points[device] if name in (device, p)]
        if task is None or not points:
            raise BadRequest(f"there is no device or point {name!r}", "lamppost status")
        if not isinstance(task, PollingTask):
            raise BadRequest(f"{device} cannot be asked, it speaks by itself", f"lamppost tail '{device}/*'")
        return task, points

    async def _read(self, wanted: Sequence[tuple[PollingTask, list[str]]]) -> AsyncGenerator[dict[str, Any], None]:
        for task, points in wanted:
            missing, error = dict.fromkeys(points), ""
            for _ in range(2 * len(points)):  # as many reads, had each its own, and as many that were split before
                read = _next(task, missing)
                if read is None:
                    break
                began = self._clock.now()
                try:
                    await task.ask(read)
                    error = ""
                except DriverError as failed:
                    error = str(failed)
                    if read not in task.asking.reads():
                        continue  # it was split: its parts are asked
                for name in [name for name in read.names if name in missing]:
                    del missing[name]
                    yield self._row(name, began, error)
            for name in missing:
                yield self._row(name, self._clock.now() + 1, error or "not read")

    def _row(self, name: str, since: int, error: str) -> dict[str, Any]:
        """What the point said since then."""
        last = self._recorder.last(name)
        row: dict[str, Any] = {"point": name, "unit": self._units[name]}
        if last is None or last[0] < since:
            return {**row, "value": None, "quality": "none", "utc_ms": None, "error": error}
        at, value, quality = last
        utc_ms = self._clock.utc_ms() - (self._clock.now() - at)
        return {**row, "value": value_json(value), "quality": describe(quality), "utc_ms": utc_ms, "error": error}


def _next(task: PollingTask, missing: Mapping[str, object]) -> Read | None:
    """The first read that carries one of the points that are missing."""
    return next((read for read in task.asking.reads() if not missing.keys().isdisjoint(read.names)), None)
