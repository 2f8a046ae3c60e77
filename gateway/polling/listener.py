"""The task of a bus whose devices speak by themselves."""

import asyncio
from collections.abc import Callable

from drivers.base import ListeningDriver
from drivers.errors import DeviceError
from ext import NO_ANSWER
from gateway.keeping.recorder import Recorder
from gateway.polling.bus import BusTask
from gateway.polling.health import State

SILENT_PERIODS = 3
"""A listening device that misses this many of its expected periods counts as gone."""
SILENT_DEFAULT_MS = 300_000
"""... and one with no expected period after five minutes: slow beacons send once a minute."""
SILENCE_CHECK_S = 1.0


class ListeningTask(BusTask):
    """Takes what the devices of a bus say by themselves, and notices those that fell silent."""

    def __init__(self, driver: ListeningDriver, recorder: Recorder, now: Callable[[], int]) -> None:
        super().__init__(driver, recorder, now)
        self.listening = driver
        self.silent_after = {
            d.device.id: SILENT_PERIODS * d.device.every if d.device.every else SILENT_DEFAULT_MS
            for d in driver.setup.devices
        }

    async def serve(self) -> None:
        opened = self.now()
        listener = asyncio.ensure_future(self.listening.listen(self.recorder))
        try:
            while not listener.done():
                await asyncio.wait([listener], timeout=SILENCE_CHECK_S)
                self.alive()
                self._notice_silence(opened)
            listener.result()
        finally:
            listener.cancel()
            await asyncio.wait([listener])

    def heard(self, device: str) -> None:
        """The device said something."""
        self.health[device].heard(self.now())

    def failed(self, device: str, error: DeviceError) -> None:
        """The device said something that is not usable: counted; a device that talks nonsense is not gone."""
        health = self.health[device]
        health.failures += 1
        health.complained(error)

    def _notice_silence(self, opened: int) -> None:
        now = self.now()
        for device, health in self.health.items():
            silent_for = now - max(opened, health.heard_at or 0)
            if health.state is not State.OFFLINE and silent_for > self.silent_after[device]:
                health.lost(now, f"silent for {silent_for // 1000} s")
                self.recorder.fail_points(self.points[device], NO_ANSWER)
