"""One task owns each bus: it opens it, asks or listens, and keeps the health of the devices on it."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

from drivers.base import Driver
from drivers.errors import BusError
from ext import MAINTENANCE, NO_ANSWER
from gateway.keeping.recorder import Recorder
from gateway.polling.backoff import Backoff
from gateway.polling.health import Health, State

log = logging.getLogger(__name__)

REOPEN_FIRST_S = 0.5
REOPEN_MAX_S = 15.0
SETTLED_MS = 5_000
"""A bus that was open this long works: what breaks it then is news, and opened again at once."""
LENT_CHECK_S = 10.0
"""A task whose bus is lent says so within this: well below what counts as stuck."""


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
        self.lent = ""
        """Who has the bus in place of the agent; "" while it is the agent's."""
        self.was_lent = False
        """It was, until it was opened now: what its points say is that nobody asks."""
        self._serving: asyncio.Future[None] | None = None
        self._closed, self._returned = asyncio.Event(), asyncio.Event()
        self._closed.set()
        self._opened_at = 0
        self._told_down = self._told_close = False

    async def run(self) -> None:
        """Serve the bus until cancelled; a bus that breaks is opened again, with back-off."""
        backoff = Backoff(REOPEN_FIRST_S, REOPEN_MAX_S)
        while True:
            await self._while_lent()
            self._closed.clear()
            self._serving = asyncio.ensure_future(self._open_and_serve())
            try:
                await self._serving
            except BusError as error:
                self._broke(error, backoff)
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    raise
                if not self.lent:
                    self._broke(BusError("the driver cancelled itself"), backoff)
            except Exception as error:  # a driver's mistake costs its own bus, and no other
                if not self._told_down:
                    log.exception("bus %s: the driver failed", self.bus.id)
                self._broke(BusError(f"the driver failed: {error!r}"), backoff)
            finally:
                await self._close()
                self._closed.set()
            if not self.lent:
                await self._wait(backoff.next())

    async def lend(self, to: str) -> None:
        """Give the bus up: after this it is closed and stays so until `take_back`; its points have no values.

        Raises `BusError` when it is lent already.
        """
        if self.lent:
            raise BusError(f"bus {self.bus.id} is lent already: {self.lent}")
        self.lent = to
        self._returned.clear()
        try:
            await self.settled()
            if self._serving is not None:
                self._serving.cancel()
            await self._closed.wait()
        except asyncio.CancelledError:
            self.take_back()
            raise
        log.info("bus %s: lent (%s)", self.bus.id, to)
        self.up, self.error, self.was_lent = False, f"lent: {to}", True
        for device, health in self.health.items():
            health.unseen(self.now())
            self.recorder.fail_points(self.points[device], MAINTENANCE)

    def take_back(self) -> None:
        """The bus is the agent's again."""
        if not self.up:
            log.info("bus %s: taken back", self.bus.id)
            self.error = ""
        self.lent = ""
        self._returned.set()

    async def settled(self) -> None:  # noqa: B027 - who only listens has nothing of the kind
        """Wait for what must not be cut off halfway."""

    @abstractmethod
    async def serve(self) -> None:
        """Ask or listen until the bus breaks (`BusError`), or is lent."""

    def alive(self) -> None:
        """The task made progress: the watchdog may be fed."""
        self.progress_at = self.now()
        if self.up and self._told_down and self.progress_at - self._opened_at >= SETTLED_MS:
            self._told_down = False
            log.info("bus %s: open again", self.bus.id)

    async def _open_and_serve(self) -> None:
        await self.driver.open()
        self._opened()
        await self.serve()

    async def _while_lent(self) -> None:
        while self.lent:
            self.alive()
            with suppress(TimeoutError):
                async with asyncio.timeout(LENT_CHECK_S):
                    await self._returned.wait()

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
