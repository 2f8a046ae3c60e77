"""Does what was accepted: lock, time, interlock, write, read back, compare. Nothing is written twice on a guess."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from decimal import Decimal

from buffer.command import Wanted
from buffer.errors import NotAllowed
from config import Condition
from drivers.errors import BusError, DeviceError, DriverError, ExceptionAnswer, NoAnswer, NotAsked, NotWritable
from ext import GOOD, NO_ANSWER, Value
from ext.quality import describe
from gateway.clock import AgentClock
from gateway.commands.locks import Locks
from gateway.commands.rules import Rules
from gateway.commands.task import DONE, Done, Outcome, Planned, Status, Task, readable
from gateway.keeping.recorder import Recorder
from gateway.polling.listener import ListeningTask
from gateway.polling.poller import PollingTask

SETTLE_S = (0.0, 0.2, 0.5, 1.0, 2.0)
"""Pauses before each look at what was written: relays and dimmers take a moment."""
NOT_ASKED_S = 0.25
"""How long to wait before a question that must not be put yet is tried again."""
NOT_ASKED_TRIES = 20
HEARD_S = 10.0
"""How long an interlock waits for a device that speaks by itself."""


class Executor:
    """Does tasks, one at a time on each bus."""

    def __init__(self, rules: Rules, locks: Locks, recorder: Recorder, clock: AgentClock) -> None:
        self._rules = rules
        self._locks = locks
        self._recorder = recorder
        self._clock = clock
        self._turns: dict[str, asyncio.Lock] = {}

    async def run(self, task: Task) -> Outcome:
        """Do its writes in order until one fails."""
        done: list[Done] = []
        buses = {planned.bus.bus.id for planned in task.writes}
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(max(task.deadline - self._clock.now(), 0) / 1000):
                    await stack.enter_async_context(self.alone(buses))
            except TimeoutError:
                return Outcome(Status.EXPIRED, "others were written to the same bus until its time was over")
            for planned in task.writes:
                began = self._clock.now()
                one = await self._guarded(task, planned)
                done.append(replace(one, ms=self._clock.now() - began))
                if one.status not in DONE:
                    break
        return Outcome.of(done)

    @asynccontextmanager
    async def alone(self, buses: Iterable[str]) -> AsyncIterator[None]:
        """Nothing else is written to `buses` within."""
        async with AsyncExitStack() as stack:
            for bus in sorted(set(buses)):  # in one order: two who want several never wait in a ring
                await stack.enter_async_context(self._turns.setdefault(bus, asyncio.Lock()))
            yield

    def allowed(self, task: Task, planned: Planned) -> None:
        """Raise `NotAllowed` (`lock`, `expired`) unless it may be written at this very moment."""
        self._locks.check(planned.device)
        late = self._clock.now() >= task.deadline
        if task.expires_ms:
            late |= max(self._clock.trusted_ms(), self._clock.floor_ms) >= task.expires_ms
        if late:
            raise NotAllowed("expired", "its time was over before it could be written")
        if not task.wanted():
            raise NotAllowed("superseded", "somebody else has written it meanwhile")

    async def _guarded(self, task: Task, planned: Planned) -> Done:
        try:
            self.allowed(task, planned)
            for condition in planned.rule.requires:
                await self._require(condition)
            return await (self._look(task, planned) if task.dry_run else _Attempt(self, task, planned).run())
        except NotAllowed as error:
            status = Status.EXPIRED if error.reason == "expired" else Status.REFUSED
            return Done(planned.point, planned.value, status, f"{error.reason}: {error}")

    async def _look(self, task: Task, planned: Planned) -> Done:
        """A dry run: what would be written over."""
        self.allowed(task, planned)
        try:
            value, _ = await self.fresh(planned.bus, planned.point)
        except DriverError as error:
            return Done(planned.point, planned.value, Status.FAILED, f"cannot be read: {error}")
        return Done(planned.point, planned.value, Status.VERIFIED, "dry run: nothing was written", value)

    async def _require(self, condition: Condition) -> None:
        """Raise `NotAllowed` (`interlock`) unless it holds on a fresh good read."""
        try:
            value, quality = await self._now(condition.point)
        except (DriverError, TimeoutError) as error:
            raise NotAllowed("interlock", f"{condition}: {condition.point} cannot be read: {error}") from error
        number = number_of(value)
        if quality != GOOD or number is None:
            raise NotAllowed("interlock", f"{condition}: {condition.point} is {describe(quality)}")
        if not condition.holds(number):
            raise NotAllowed("interlock", f"{condition} does not hold: it is {readable(value)}")

    async def _now(self, point: str) -> tuple[Value, int]:
        bus = self._rules.bus_of(point)
        if isinstance(bus, PollingTask):
            return await self.fresh(bus, point)
        if isinstance(bus, ListeningTask):
            return await self._heard(point)
        raise NotWritable(f"{point} cannot be asked for")

    async def _heard(self, point: str) -> tuple[Value, int]:
        """The next value that the device says by itself; raises `TimeoutError`."""
        heard: asyncio.Future[tuple[Value, int]] = asyncio.get_running_loop().create_future()

        def listener(name: str, _: int, value: Value, quality: int) -> None:
            if name == point and not heard.done():
                heard.set_result((value, quality))

        stop = self._recorder.listen(listener)
        try:
            async with asyncio.timeout(HEARD_S):
                return await heard
        except TimeoutError:
            raise TimeoutError(f"it has said nothing for {HEARD_S:g} s") from None
        finally:
            stop()

    async def fresh(self, bus: PollingTask, point: str) -> tuple[Value, int]:
        """What the device says of `point` now, and its quality; raises `DriverError`."""
        carrying = [read for read in bus.asking.reads() if point in read.names]
        if not carrying:
            raise NotWritable(f"{point} is in none of the reads of bus {bus.bus.id}")
        read, began = min(carrying, key=bus.asking.cost), self._clock.now()
        for patience in reversed(range(NOT_ASKED_TRIES)):
            try:
                await bus.ask(read)
                break
            except NotAsked:  # a late answer to what was asked before could be taken for the answer
                if not patience:
                    raise
                await asyncio.sleep(NOT_ASKED_S)
        boot_ms, value, quality = self._recorder.last(point) or (-1, None, NO_ANSWER)
        if boot_ms < began:
            raise NoAnswer(f"the answer says nothing of {point}")
        return value, quality

    def last(self, point: str) -> Value:
        """The last good value of `point` that is known; None for none."""
        _, value, quality = self._recorder.last(point) or (0, None, GOOD)
        return value if quality == GOOD else None


class _Attempt:
    """One write of one value."""

    def __init__(self, executor: Executor, task: Task, planned: Planned) -> None:
        self._executor = executor
        self._task = task
        self._planned = planned
        self._begun = False

    async def run(self) -> Done:
        """Write and read back; once more only if the write got no answer and the old value is still there."""
        old = self._executor.last(self._planned.point)
        answered = await self._write()
        if isinstance(answered, Done):
            return answered
        if self._planned.rule.kind == "pulse":
            return self._done(Status.WRITTEN) if answered is None else self._lost(answered)
        done = await self._compare(answered, old)
        repeat = answered is not None and done.status is Status.FAILED and old is not None
        if repeat and same(done.read_back, old, Decimal(0)):
            answered = await self._write()
            done = answered if isinstance(answered, Done) else await self._compare(answered, old)
        return done

    async def _write(self) -> Done | DriverError | None:
        """None when the device confirmed it, the error when nobody knows, else what came of it."""
        while True:
            self._begun = False
            try:
                await self._planned.bus.write(self._planned.point, to_driver(self._planned.value), self._moment)
            except NotWritable as error:
                return self._done(Status.REFUSED, f"not-writable: {error}")
            except NotAsked:  # nothing was sent
                await asyncio.sleep(NOT_ASKED_S)
                continue
            except ExceptionAnswer as error:
                return replace(self._done(Status.FAILED, str(error)), answered=True)
            except (DeviceError, BusError) as error:
                return error if self._begun else self._done(Status.FAILED, str(error))
            return None

    def _moment(self) -> None:
        """It is this write's turn on the bus."""
        self._executor.allowed(self._task, self._planned)
        self._begun = True

    async def _compare(self, lost: DriverError | None, old: Value) -> Done:
        """Read back until it is as written, or it has had its time; `lost` is why the write was not answered.

        One that was not answered and left the `old` value is known at the first look: it was lost.
        """
        value: Value = None
        for pause in SETTLE_S:
            await asyncio.sleep(pause)
            try:
                value, quality = await self._executor.fresh(self._planned.bus, self._planned.point)
            except DriverError as error:
                return self._unread(lost, str(error))
            if quality != GOOD:
                return self._unread(lost, f"it is {describe(quality)}")
            if same(value, self._planned.value, self._planned.rule.tolerance):
                return self._done(Status.VERIFIED, read_back=value)
            if lost is not None and same(value, old, Decimal(0)):
                break
        return replace(self._done(Status.FAILED, f"it reads {readable(value)} afterwards", value), answered=True)

    def _unread(self, lost: DriverError | None, why: str) -> Done:
        if lost is not None:
            return self._lost(lost)
        return self._done(Status.WRITTEN, f"confirmed, but not read back: {why}")

    def _lost(self, error: DriverError) -> Done:
        return self._done(Status.UNKNOWN, f"nobody knows whether it was written: {error}")

    def _done(self, status: Status, reason: str = "", read_back: Value = None) -> Done:
        return Done(self._planned.point, self._planned.value, status, reason, read_back)


def number_of(value: Value) -> Decimal | bool | None:
    """A finite number or truth value, else None."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, int):
        value = Decimal(value)
    return value if isinstance(value, Decimal) and value.is_finite() else None


def same(found: Value, wanted: Value, tolerance: Decimal) -> bool:
    """Whether what was read is what was written; a float32 is as near as it can be."""
    if isinstance(wanted, str):
        return found == wanted
    have, want = number_of(found), number_of(wanted)
    if have is None or want is None:
        return False
    if abs(Decimal(have) - Decimal(want)) <= tolerance:
        return True
    return isinstance(found, float) and _float32(found) == _float32(float(want))


def to_driver(value: Wanted) -> Value:
    """A whole number as an integer: drivers of single bits know 0 and 1."""
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return value


def _float32(value: float) -> bytes:
    try:
        return struct.pack(">f", value)
    except OverflowError:
        return b""
