"""The buses of an installation, in virtual or real time; nothing reaches a disk."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from drivers.base import Driver
from drivers.errors import DeviceError
from ext import Value, unpack
from gateway.clock import System
from gateway.keeping import series
from gateway.keeping.recorder import Recorder
from gateway.polling.bus import BusTask
from gateway.polling.listener import ListeningTask
from gateway.polling.poller import PollingTask, bus_task
from gateway.polling.turns import Turns
from tests.gateway.support import VirtualLoop


class Scene:
    """The bus tasks of `drivers` by the clock of a virtual loop, or the real one."""

    def __init__(self, clock: VirtualLoop | System, drivers: Sequence[Driver]) -> None:
        found = [p.point for driver in drivers for v in driver.setup.devices for p in v.points]
        self.points = {point.id: point for point in found}
        self.numbers = {name: number for number, name in enumerate(self.points, 1)}
        self.recorder = Recorder(clock.boot_ms, series.compile_series(self.points, self.numbers), self.points)
        self.tasks = [bus_task(driver, self.recorder, clock.boot_ms) for driver in drivers]
        self.recorder.on_heard = self._heard
        self.recorder.on_failed = self._failed

    @property
    def bus(self) -> BusTask:
        """The first bus."""
        return self.tasks[0]

    @property
    def turns(self) -> Turns:
        """Of the first bus, which is asked."""
        assert isinstance(self.bus, PollingTask)
        assert self.bus.turns is not None
        return self.bus.turns

    def _heard(self, name: str) -> None:
        for task in self.tasks:
            if isinstance(task, ListeningTask) and name in task.health:
                task.heard(name)

    def _failed(self, name: str, error: DeviceError) -> None:
        for task in self.tasks:
            if isinstance(task, ListeningTask) and name in task.health:
                task.failed(name, error)

    def samples(self, point: str) -> list[tuple[Value, int]]:
        """(value, quality) recorded of a point since the last time."""
        found = [sample for part in self.recorder.commit() for sample in unpack([part.data])]
        for priority in ("critical", "normal", "bulk"):
            self.recorder.seal(priority)
        return [(value, quality) for number, _, value, quality in found if number == self.numbers[point]]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All bus tasks, cancelled at the end."""
        work = [asyncio.ensure_future(task.run()) for task in self.tasks]
        try:
            yield
            assert not any(task.done() for task in work), "a bus task ended"
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)
