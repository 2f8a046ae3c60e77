"""The verb `frames`: what goes over the buses, while somebody looks."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from drivers.tap import Monitor, Shown
from gateway.clock import AgentClock
from gateway.control.server import Args
from gateway.errors import BadRequest
from gateway.polling.bus import BusTask

QUEUE = 2_000
"""Pieces that may wait for a slow reader, each of 4 kB at most; what does not fit is counted and told."""
PAUSE_S = 0.05
"""What comes within it belongs together: longer than any pause in a frame, shorter than any between two telegrams."""


class Frames:
    """Listens on the buses of one agent."""

    def __init__(self, buses: Sequence[BusTask], clock: AgentClock) -> None:
        self._buses = buses
        self._clock = clock

    def frames(self, args: Args) -> AsyncGenerator[dict[str, Any], None]:
        """Every frame on `buses` (all without it); first, a row for each bus that says what it is."""
        names, known = args.get("buses") or [], {task.bus.id: task for task in self._buses}
        if not isinstance(names, list) or not set(map(str, names)) <= known.keys():
            raise BadRequest(f"buses: a list of some of: {', '.join(known)}")
        return self._frames([known[str(name)] for name in names or known])

    async def _frames(self, tasks: Sequence[BusTask]) -> AsyncGenerator[dict[str, Any], None]:
        queue: asyncio.Queue[tuple[str, float, bool, bytes]] = asyncio.Queue(QUEUE)
        monitors = {task.bus.id: task.driver.monitor() for task in tasks}
        ears = [_Ear(task.bus.id, self._clock, queue) for task in tasks]
        stops = [task.driver.tap.listen(ear) for task, ear in zip(tasks, ears, strict=True)]
        try:
            for task in tasks:
                transport = task.bus.options.get("transport")
                yield {"bus": task.bus.id, "driver": task.bus.driver, "transport": transport}
            while True:
                for bus, shown in await self._next(queue, monitors):
                    yield self._row(bus, shown)
                if missed := sum(ear.take_missed() for ear in ears):
                    yield {"missed": missed}
        finally:
            for stop in stops:
                stop()

    async def _next(
        self, queue: "asyncio.Queue[tuple[str, float, bool, bytes]]", monitors: dict[str, Monitor]
    ) -> list[tuple[str, Shown]]:
        """What the next piece completes, or a pause."""
        try:
            async with asyncio.timeout(PAUSE_S if any(monitor.holds for monitor in monitors.values()) else None):
                bus, at, sent, data = await queue.get()
        except TimeoutError:
            return [(bus, shown) for bus, monitor in monitors.items() for shown in monitor.flush()]
        return [(bus, shown) for shown in monitors[bus].feed(at, sent, data)]

    def _row(self, bus: str, shown: Shown) -> dict[str, Any]:
        utc_ms = self._clock.utc_ms() - (self._clock.now() - shown.at)
        return {
            "bus": bus, "utc_ms": round(utc_ms), "sent": shown.sent, "hex": shown.data.hex(" "), "what": shown.what,
            **shown.fields,
        }  # fmt: skip


class _Ear:
    """Puts what it hears into the queue, or counts it."""

    def __init__(self, bus: str, clock: AgentClock, queue: "asyncio.Queue[tuple[str, float, bool, bytes]]") -> None:
        self._bus = bus
        self._clock = clock
        self._queue = queue
        self._missed = 0

    def __call__(self, sent: bool, data: bytes) -> None:
        if self._queue.full():
            self._missed += 1
        else:
            self._queue.put_nowait((self._bus, self._clock.now(), sent, data))

    def take_missed(self) -> int:
        """Pieces that were not kept since the last call."""
        missed, self._missed = self._missed, 0
        return missed
