"""The task of a bus whose devices are asked: writes first, then reads by their deadlines."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from buffer.errors import NotAllowed
from drivers.base import AskingDriver, Driver, ListeningDriver, Read
from drivers.errors import BusError, DeviceError, DriverError, ExceptionAnswer, NotAsked
from drivers.signs import Elsewhere
from ext import Value
from gateway.keeping.recorder import Recorder
from gateway.polling.bus import BusTask
from gateway.polling.health import SLOW_PART, Health, State
from gateway.polling.listener import ListeningTask
from gateway.polling.load import Load, load
from gateway.polling.pace import Busy
from gateway.polling.schedule import phase_of
from gateway.polling.turns import Turn, Turns

log = logging.getLogger(__name__)

IDLE_MAX_S = 10.0
"""A bus with nothing to do says so within this: well below what counts as stuck."""
MAX_WRITES = 64
"""Writes that wait for one bus: more than a command holds; one that finds the queue full is refused."""

MAX_FRESH = 64
"""Reads out of their turn that wait for one bus: a person asks for a few devices."""


READ_BACK_MS = 5
"""Whoever has written reads back before others are asked, if it says so within this."""


@dataclass(frozen=True, slots=True)
class _Write:
    point: str
    value: Value
    allowed: Callable[[], None]
    done: "asyncio.Future[None]"


@dataclass(frozen=True, slots=True)
class _Fresh:
    read: Read
    done: "asyncio.Future[None]"


class PollingTask(BusTask):
    """Asks the devices of a bus, one request at a time."""

    def __init__(self, driver: AskingDriver, recorder: Recorder, now: Callable[[], int], phase: int = 0) -> None:
        super().__init__(driver, recorder, now)
        self.phase = phase
        self.asking = driver
        self.turns: Turns | None = None
        self.load = Load(0, 0.0)
        self.busy = Busy(now())
        self._writes: deque[_Write] = deque()
        self._fresh: deque[_Fresh] = deque()
        self._free = asyncio.Event()  # clear while a write is under way
        self._free.set()
        self._looks: deque[tuple[Elsewhere, asyncio.Future[bool]]] = deque()
        self._sleep: asyncio.Future[None] | None = None

    async def write(self, point: str, value: Value, allowed: Callable[[], None] = lambda: None) -> None:
        """Give `point` (full id) that value, as the next thing on the bus; `allowed` is called at that moment.

        Raises `NotAllowed` that `allowed` raises, `NotWritable`, `DeviceError` or `BusError`: after one of the last two
        nobody knows whether the device has it, if `allowed` was called. A caller that is cancelled while it waits takes
        its write back; one that has begun is finished.
        """
        self._must_be_up()
        if len(self._writes) >= MAX_WRITES:
            raise BusError(f"bus {self.bus.id}: {MAX_WRITES} writes wait already")
        write = _Write(point, value, allowed, asyncio.get_running_loop().create_future())
        self._writes.append(write)
        self._wake()
        await write.done

    async def ask(self, read: Read) -> None:
        """Ask `read` as the next thing on the bus but for writes; what it says is recorded like any other answer.

        Raises `DeviceError` or `BusError`.
        """
        self._must_be_up()
        if len(self._fresh) >= MAX_FRESH:
            raise BusError(f"bus {self.bus.id}: {MAX_FRESH} reads wait already")
        wait = self.asking.not_before(read) - self.now()
        if wait > 0:
            await asyncio.sleep(wait / 1000)
            self._must_be_up()
        fresh = _Fresh(read, asyncio.get_running_loop().create_future())
        self._fresh.append(fresh)
        self._wake()
        await fresh.done

    async def settled(self) -> None:
        """A write is finished: else nobody would know whether the device has it."""
        while not self._free.is_set():
            await self._free.wait()

    async def look(self, place: Elsewhere) -> bool:
        """Whether something answers at `place`: asked between two turns. False when the bus goes."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._looks.append((place, done))
        self._wake()
        return await done

    async def serve(self) -> None:
        turns = self._begin()
        try:
            while not self.lent:
                now = self.now()
                if self._writes:
                    await self._give(self._writes.popleft())
                    await self._rest(self.now() + READ_BACK_MS, self.now())
                elif self._fresh:
                    await self._answer(self._fresh.popleft(), turns)
                elif (turn := turns.next(now)) is not None:
                    await self._ask(turn, turns)
                else:
                    await self._rest(turns.wake(now), now)
                if self._looks:
                    await self._look(*self._looks.popleft())
                self.alive()
        finally:
            self._refuse_all()

    def _must_be_up(self) -> None:
        if not self.up or self.lent:
            raise BusError(f"bus {self.bus.id} is down: {self.lent or self.error or 'not open yet'}")

    def _wake(self) -> None:
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)

    def _begin(self) -> Turns:
        """The plan is made once: what is due when the bus is opened again follows from what was read before."""
        if self.turns is None:
            self.turns = Turns(self.asking, self.health, self.now(), self.phase)
            self.load = load(self.asking)
            if self.load.too_much:
                log.warning("bus %s: %s", self.bus.id, self.load)
        self.turns.opened(self.now(), lent=self.was_lent)
        self.was_lent = False
        return self.turns

    async def _rest(self, until: int | None, now: int) -> None:
        """Sleep until then, or until somebody writes."""
        seconds = IDLE_MAX_S if until is None else min((until - now) / 1000, IDLE_MAX_S)
        loop = asyncio.get_running_loop()
        self._sleep = sleep = loop.create_future()
        timer = loop.call_later(seconds, _end, sleep)
        try:
            await sleep
        finally:
            timer.cancel()
            self._sleep = None

    async def _ask(self, turn: Turn, turns: Turns) -> DeviceError | None:
        """Ask, and record what comes of it; the error that the device made."""
        read, health = turn.read, self.health[turn.read.device]
        began = self.now()
        error = None
        try:
            await self.asking.ask(read, self.recorder)
        except DeviceError as found:
            error = found
        now = self.now()
        self.busy.used(began, now)
        self._judge(health, read, error, began, now)
        turns.done(turn, began, now)
        if error is None and turn.slot is not None:
            turn.slot.pace.note(now)
        elif isinstance(error, ExceptionAnswer):
            self._refused(turns, read, error)
        return error

    async def _give(self, write: _Write) -> None:
        """Hand one write to the driver, and what comes of it to whoever waits."""
        if write.done.done():
            return
        began = self.now()
        self._free.clear()
        try:
            write.allowed()
            await self.asking.write(write.point, write.value)
        except (DriverError, NotAllowed) as error:
            _fail(write, error)
            if isinstance(error, BusError):
                raise
        else:
            if not write.done.done():
                write.done.set_result(None)
        finally:
            _fail(write, BusError(f"bus {self.bus.id}: given up while writing"))
            self._free.set()
            self.busy.used(began, self.now())

    async def _look(self, place: Elsewhere, done: "asyncio.Future[bool]") -> None:
        began, found = self.now(), False
        try:
            if not done.done():
                await place.ask()
                found = True
        except DeviceError:
            pass  # nobody there
        finally:
            _say(done, found=found)
            self.busy.used(began, self.now())

    async def _answer(self, fresh: _Fresh, turns: Turns) -> None:
        """Ask what somebody waits for."""
        if fresh.done.done():
            return
        try:
            error = await self._ask(Turn(fresh.read, None), turns)
        except BaseException:  # whatever it was, whoever waits must learn of it
            _fail(fresh, BusError(f"bus {self.bus.id}: given up while asking"))
            raise
        if error is not None:
            _fail(fresh, error)
        elif not fresh.done.done():
            fresh.done.set_result(None)

    def _refuse_all(self) -> None:
        """Nobody shall wait for a bus that is gone."""
        while self._writes:
            _fail(self._writes.popleft(), BusError(f"bus {self.bus.id} is down"))
        while self._fresh:
            _fail(self._fresh.popleft(), BusError(f"bus {self.bus.id} is down"))
        while self._looks:
            _say(self._looks.popleft()[1], found=False)

    def _judge(self, health: Health, read: Read, error: DeviceError | None, began: int, now: int) -> None:
        """What the outcome of a read says of its device."""
        if log.isEnabledFor(logging.DEBUG):
            log.debug("device %s: %d points in %d ms: %s", read.device, len(read.names), now - began, error or "good")
        if error is None or isinstance(error, ExceptionAnswer):  # which is an answer, and a sign of life
            health.heard(now, slow=SLOW_PART * (now - began) > self.asking.patience(read) > 0)
            if error is not None:
                health.complained(error)
            return
        if isinstance(error, NotAsked):  # which says nothing of the device
            health.complained(error)
            self.recorder.fail(read, error.quality)
            return
        was = health.state
        health.failed(now, error, now - began)
        if (health.state is State.OFFLINE and was is not State.OFFLINE) or health.rest_until > now:
            self.recorder.fail_points(self.points[read.device], error.quality)
        else:
            self.recorder.fail(read, error.quality)

    def _refused(self, turns: Turns, read: Read, error: ExceptionAnswer) -> None:
        """Narrower reads from now on, where the driver knows some: only what the device refuses shall suffer."""
        narrower = self.asking.narrower(read, error)
        if narrower:
            log.info("device %s: a read of %d points is split: %s", read.device, len(read.names), error)
            turns.schedule.replace(read, narrower, self.now())
        else:
            self.recorder.fail(read, error.quality)


def bus_task(driver: Driver, recorder: Recorder, now: Callable[[], int], number: int = 0) -> BusTask:
    """The task that fits the driver; `number` counts the buses."""
    if isinstance(driver, AskingDriver):
        return PollingTask(driver, recorder, now, phase_of(number))
    if isinstance(driver, ListeningDriver):
        return ListeningTask(driver, recorder, now)
    raise TypeError(f"{type(driver).__name__} neither asks nor listens")


def _end(sleep: "asyncio.Future[None]") -> None:
    if not sleep.done():
        sleep.set_result(None)


def _say(done: "asyncio.Future[bool]", *, found: bool) -> None:
    if not done.done():
        done.set_result(found)


def _fail(waiting: _Write | _Fresh, error: DriverError | NotAllowed) -> None:
    """Tell whoever waits, unless the outcome is known or nobody waits."""
    if not waiting.done.done():
        waiting.done.set_exception(error)
