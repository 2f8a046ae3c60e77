"""The bus tasks that run; which they are may change while they do."""

import asyncio
from collections.abc import Iterable, Sequence

from drivers.errors import DeviceError
from gateway.polling.bus import BusTask
from gateway.polling.listener import ListeningTask


class Buses:
    """Runs one task for each bus; stopping one disturbs no other."""

    def __init__(self, tasks: Sequence[BusTask]) -> None:
        self.tasks = list(tasks)
        self._running: dict[BusTask, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._listen()

    async def run(self) -> None:
        """Until cancelled; raises what a task of a bus cannot live with."""
        async with asyncio.TaskGroup() as self._group:
            for task in self.tasks:
                self._start(task)
            await asyncio.Event().wait()

    async def stop(self, tasks: Iterable[BusTask]) -> None:
        """Stop these: a write is finished, and the bus closed when this returns."""
        for task in tasks:
            await task.settled()
            doing = self._running.pop(task, None)
            if doing is not None:
                doing.cancel()
                await asyncio.wait([doing])
            task.up, task.error = False, "not configured any longer"

    def rearrange(self, tasks: Sequence[BusTask]) -> None:
        """These are the buses from now on; those that do not run yet begin to."""
        self.tasks[:] = tasks
        self._listen()
        for task in self.tasks:
            if task not in self._running:
                self._start(task)

    def heard(self, device: str) -> None:
        """A device that nobody asks said something."""
        if device in self._listening:
            self._listening[device].heard(device)

    def failed(self, device: str, error: DeviceError) -> None:
        """... something that is not usable."""
        if device in self._listening:
            self._listening[device].failed(device, error)

    def _listen(self) -> None:
        self._listening = {d: task for task in self.tasks if isinstance(task, ListeningTask) for d in task.health}

    def _start(self, task: BusTask) -> None:
        if self._group is not None:
            self._running[task] = self._group.create_task(task.run())
