"""One task owns each bus: it opens it, asks or listens, and keeps the health of the devices on it."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from drivers.base import Driver
from drivers.errors import BusError
from ext import NO_ANSWER
from gateway.backoff import Backoff
from gateway.health import Health, State
from gateway.recorder import Recorder

log = logging.getLogger(__name__)

REOPEN_FIRST_S = 0.5
REOPEN_MAX_S = 15.0
SETTLED_MS = 5_000
"""A bus that was open this long works: what breaks it then is news, and opened again at once."""


class BusTask(ABC):
    """Owns one bus for the life of the agent."""

    def __init__(self, driver: Driver, recorder: Recorder, now: Callable[[], int]) -> None:
        self.driver = driver
        self.bus = driver.setup.bus
        self.recorder = recorder
        self.now = now
        self.health = {d.device.id: Health(d.device.id, since=now()) for d in driver.setup.devices}
        self.points = {d.device.id: tuple(p.point.id for p in d.points) for d in driver.setup.devices}
        self.up = False
        self.error = ""
        self.progress_at = now()
        self._opened_at = 0
        self._told_down = self._told_close = False

    async def run(self) -> None:
        """Serve the bus until cancelled; a bus that breaks is opened again, with back-off."""
        backoff = Backoff(REOPEN_FIRST_S, REOPEN_MAX_S)
        while True:
            try:
                await self.driver.open()
                self._opened()
                await self.serve()
            except BusError as error:
                self._broke(error, backoff)
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    raise
                self._broke(BusError("the driver cancelled itself"), backoff)
            except Exception as error:  # a driver's mistake costs its own bus, and no other
                if not self._told_down:
                    log.exception("bus %s: the driver failed", self.bus.id)
                self._broke(BusError(f"the driver failed: {error!r}"), backoff)
            finally:
                await self._close()
            await self._wait(backoff.next())

    @abstractmethod
    async def serve(self) -> None:
        """Ask or listen until the bus breaks (`BusError`)."""

    def alive(self) -> None:
        """The task made progress: the watchdog may be fed."""
        self.progress_at = self.now()
        if self.up and self._told_down and self.progress_at - self._opened_at >= SETTLED_MS:
            self._told_down = False
            log.info("bus %s: open again", self.bus.id)

    async def _wait(self, seconds: float) -> None:
        self.alive()
        await asyncio.sleep(seconds)
        self.alive()

    def _opened(self) -> None:
        if not self.up and not self._told_down:
            log.info("bus %s: open", self.bus.id)
        self.up, self.error = True, ""
        self._opened_at = self.now()
        self.alive()

    def _broke(self, error: BusError, backoff: Backoff) -> None:
        if not self._told_down:
            log.warning("bus %s: %s; its devices (%d) are out of reach", self.bus.id, error, len(self.health))
            backoff.reset()
        self._told_down = True
        self.up, self.error = False, str(error)
        for device, health in self.health.items():
            if health.state is not State.OFFLINE:
                health.out_of_reach(self.now())
                self.recorder.fail_points(self.points[device], NO_ANSWER)

    async def _close(self) -> None:
        try:
            await self.driver.close()
        except Exception:  # as above; and who cancels this task must not be kept from it
            if not self._told_close:
                log.exception("bus %s: the driver failed to close", self.bus.id)
            self._told_close = True
