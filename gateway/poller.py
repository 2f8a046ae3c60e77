"""One task owns each bus: it opens it, asks or listens, and keeps the health of the devices on it."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from drivers.base import AskingDriver, Driver, ListeningDriver, Read
from drivers.errors import BusError, DeviceError, ExceptionAnswer
from ext import NO_ANSWER
from gateway.backoff import Backoff
from gateway.health import DEAD_SHARE, Health, State
from gateway.recorder import Recorder
from gateway.schedule import Schedule

log = logging.getLogger(__name__)

REOPEN_FIRST_S = 0.5
REOPEN_MAX_S = 15.0
SETTLED_MS = 5_000
"""A bus that was open this long works: what breaks it then is news, and opened again at once."""
SILENT_PERIODS = 3
"""A listening device that misses this many of its expected periods counts as gone."""
SILENT_DEFAULT_MS = 300_000
"""... and one with no expected period after five minutes: slow beacons send once a minute."""
SILENCE_CHECK_S = 1.0


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
            log.warning("bus %s: %s", self.bus.id, error)
            backoff.reset()
        self._told_down = True
        self.up, self.error = False, str(error)
        for device, health in self.health.items():
            if health.state is not State.OFFLINE:
                health.lost(self.now(), f"bus {self.bus.id} is down")
                self.recorder.fail_points(self.points[device], NO_ANSWER)

    async def _close(self) -> None:
        try:
            await self.driver.close()
        except Exception:  # as above; and who cancels this task must not be kept from it
            if not self._told_close:
                log.exception("bus %s: the driver failed to close", self.bus.id)
            self._told_close = True


class PollingTask(BusTask):
    """Asks the devices of a bus, one read at a time, earliest deadline first."""

    def __init__(self, driver: AskingDriver, recorder: Recorder, now: Callable[[], int]) -> None:
        super().__init__(driver, recorder, now)
        self.asking = driver
        self.schedule = Schedule((), now())
        self._dead_until = 0

    async def serve(self) -> None:
        self.schedule = Schedule(self.asking.reads(), self.now())
        while True:
            due, now = self.schedule.next_due(), self.now()
            if due is not None and due <= now:
                await self._ask_due(now)
            elif (probe := self._probe(now)) is not None:
                await self._ask(probe)
            else:
                await self._wait(SILENCE_CHECK_S if due is None else min((due - now) / 1000, SILENCE_CHECK_S))
            self.alive()

    async def _ask_due(self, now: int) -> None:
        """The earliest read; one of a device that is gone is only counted."""
        read = self.schedule.take(now)
        health = self.health[read.device]
        if health.state is not State.OFFLINE:
            await self._ask(read)
        elif (probe := self._probe(now)) is not None:
            await self._ask(probe)
        health.skipped += health.state is State.OFFLINE

    def _probe(self, now: int) -> Read | None:
        """A read of the device that is gone and has waited longest; all of them have one part in twenty of the bus."""
        if now < self._dead_until:
            return None
        gone = [h for h in self.health.values() if h.state is State.OFFLINE and h.probe_at <= now]
        if not gone:
            return None
        longest = min(gone, key=lambda health: health.probe_at)
        return next((read for read in self.asking.reads() if read.device == longest.device), None)

    async def _ask(self, read: Read) -> None:
        health = self.health[read.device]
        began = self.now()
        try:
            await self.asking.ask(read, self.recorder)
        except ExceptionAnswer as error:  # an answer, and a sign of life
            health.heard(self.now())
            health.last_error = str(error)
            health.errors["ExceptionAnswer"] = health.errors.get("ExceptionAnswer", 0) + 1
            self._refused(read, error)
        except DeviceError as error:
            now = self.now()
            before = health.state
            health.failed(now, error, now - began)
            self._dead_until = now + (now - began) * DEAD_SHARE
            if health.state is State.OFFLINE and before is not State.OFFLINE:
                self.recorder.fail_points(self.points[read.device], error.quality)
            else:
                self.recorder.fail(read, error.quality)
        else:
            health.heard(self.now())

    def _refused(self, read: Read, error: ExceptionAnswer) -> None:
        """Narrower reads from now on, where the driver knows some: only what the device refuses shall suffer."""
        narrower = self.asking.narrower(read, error)
        if narrower:
            log.info("device %s: a read of %d points is split: %s", read.device, len(read.names), error)
            self.schedule.replace(read, narrower, self.now())
        else:
            self.recorder.fail(read, error.quality)


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
        health.last_error = str(error)
        health.errors[type(error).__name__] = health.errors.get(type(error).__name__, 0) + 1

    def _notice_silence(self, opened: int) -> None:
        now = self.now()
        for device, health in self.health.items():
            silent_for = now - max(opened, health.heard_at or 0)
            if health.state is not State.OFFLINE and silent_for > self.silent_after[device]:
                health.lost(now, f"silent for {silent_for // 1000} s")
                self.recorder.fail_points(self.points[device], NO_ANSWER)


def bus_task(driver: Driver, recorder: Recorder, now: Callable[[], int]) -> BusTask:
    """The task that fits the driver."""
    if isinstance(driver, AskingDriver):
        return PollingTask(driver, recorder, now)
    if isinstance(driver, ListeningDriver):
        return ListeningTask(driver, recorder, now)
    raise TypeError(f"{type(driver).__name__} neither asks nor listens")
