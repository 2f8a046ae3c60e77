"""Does what the schedule in force says: each switch by the way of all writes, with one result."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from sqlite3 import Connection

from buffer import orders
from buffer.calendar import Switch
from buffer.command import Wanted, new_number
from buffer.errors import NotAllowed, StoreError
from buffer.header import ClockState
from buffer.orders import Order
from gateway.clock import AgentClock
from gateway.commands.book import Book
from gateway.commands.execute import Executor
from gateway.commands.hands import Hands
from gateway.commands.rules import Rules, uses
from gateway.commands.shelf import Signed
from gateway.commands.task import DONE, Outcome, Source, Status, Task, result_of
from gateway.commands.timetable import Standing, Timetable, same

log = logging.getLogger(__name__)

LOOK_S = 1.0
UNSET_MS = 60_000
"""A time server or the platform answers within a minute of the start, or is away."""
TRY_MS = 30_000
TELL_TRIES = 3
"""A device that does not answer is told of after so many tries, two thirds of a minute."""


class Runner:
    """Writes what is in force. What it writes is dealt with bus by bus."""

    def __init__(self, book: Book, rules: Rules, executor: Executor, clock: AgentClock, hands: Hands) -> None:
        self._book = book
        self._rules = rules
        self._executor = executor
        self._clock = clock
        self._hands = hands
        self._began = clock.now()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._dropped: list[tuple[Signed, str, Standing]] = []
        """Points that a schedule before had, and may lack a result."""
        self.timetable: Timetable | None = None
        self.signed: Signed | None = None
        self.on_refused_by_device: Callable[[str], None] = lambda _: None
        """The device answered, and does not have what was written."""

    def follow(self, signed: Signed | None, timetable: Timetable | None) -> None:
        """Do as this schedule says from now on."""
        here = {} if timetable is None else timetable.standings
        if self.timetable is not None and self.signed is not None:
            self._dropped += [
                (self.signed, point, standing)
                for point, standing in self.timetable.standings.items()
                if point not in here
            ]
        self.signed, self.timetable = signed, timetable

    async def look(self) -> None:
        """Begin what is due."""
        if not self._busy:  # what is being done tells of itself
            dropped, self._dropped = self._dropped, []
            for signed, point, standing in dropped:
                self._finish_left(signed, point, [*standing.left, standing])
        timetable = self.timetable
        if timetable is None:
            return
        utc_ms = self.utc_ms()
        for point in timetable.stale(utc_ms) if utc_ms is not None else ():
            timetable.in_force(point, utc_ms or 0)
            await asyncio.sleep(0)  # the sun of hundreds of places takes a while
        wait = utc_ms is None and self._clock.now() - self._began < UNSET_MS
        due = [] if wait or timetable is not self.timetable else timetable.due(self._clock.now(), utc_ms, self._unset)
        self._share(timetable, due)

    def utc_ms(self) -> int | None:
        """The time by any clock, a receiver's too; None while nobody has told it."""
        estimate = self._clock.estimate()
        return None if estimate.state is ClockState.UNSET else self._clock.now() + estimate.clock_ms

    def _share(self, timetable: Timetable, due: list[Switch]) -> None:
        for bus in {self._rules.bus_of(switch.point).bus.id for switch in due} - self._busy.keys():
            mine = [switch for switch in due if self._rules.bus_of(switch.point).bus.id == bus]
            self._busy[bus] = doing = asyncio.ensure_future(self._do(timetable, mine))
            doing.add_done_callback(partial(self._free, bus))

    def _free(self, bus: str, _: object) -> None:
        del self._busy[bus]

    def value_of(self, point: str) -> Wanted | None:
        """What the schedule has `point` be now; None when it says nothing of it."""
        utc_ms, timetable = self.utc_ms(), self.timetable
        if timetable is None or utc_ms is None or point not in timetable.standings:
            return None
        switch = timetable.in_force(point, utc_ms)
        return None if switch is None else switch.value

    async def stop(self) -> None:
        """Begin nothing more, and leave what is being done."""
        for doing in (found := list(self._busy.values())):
            doing.cancel()
        if found:
            await asyncio.wait(found)

    def _unset(self, point: str) -> Wanted | None:
        return self._rules.unset(point)

    async def _do(self, timetable: Timetable, switches: list[Switch]) -> None:
        for switch in switches:
            if timetable is not self.timetable or self.signed is None:
                return
            try:
                await self._one(self.signed, timetable.standings[switch.point], switch)
            except StoreError as error:
                log.error("%s: what the schedule did cannot be told: %s", switch.point, error)
            except Exception:  # a mistake of ours must not stop the other lamps
                log.exception("%s: the schedule's switch failed", switch.point)
                timetable.standings[switch.point].later(self._clock.now(), "failed", "the agent failed")

    async def _one(self, signed: Signed, standing: Standing, switch: Switch) -> None:
        self._finish_left(signed, switch.point, standing.left)
        if self._overridden(switch):
            standing.end("command", "somebody has written it since")
            return
        try:
            task = self._task(signed, switch, standing)
            if not standing.number and not standing.told:
                await self._accept(task, standing)
        except NotAllowed as error:
            await self._refused(signed, standing, switch, error)
            return
        outcome = await self._executor.run(task)
        self._settle(standing, task, outcome)
        if signed is self.signed and any(one.answered for one in outcome.done):
            self.on_refused_by_device(outcome.reason)

    def _task(self, signed: Signed, switch: Switch, standing: Standing) -> Task:
        planned = self._rules.lasting(switch.point, switch.value)
        number = standing.number or new_number()
        return Task(
            number, Source.SCHEDULE, signed.schedule.who, self._why(signed, switch), signed.key.name, (planned,),
            self._clock.trusted_ms(), self._clock.now() + TRY_MS, wanted=lambda: self._wanted(switch),
        )  # fmt: skip

    def _why(self, signed: Signed, switch: Switch) -> str:
        entries = signed.schedule.entries
        at = entries[switch.entry].at if switch.entry >= 0 else "nobody has told the time"
        return f"{signed.schedule.why} (schedule {signed.schedule.edition}, {at})"

    async def _accept(self, task: Task, standing: Standing) -> None:
        """A disk that takes nothing keeps no street dark: then the write is told of afterwards only."""
        try:
            await self._book.accept(task, b"", uses(task.writes), ())
        except StoreError as error:
            log.error("a switch of the schedule is not on the disk: %s", error)
        standing.number, standing.why = task.number, task.why

    def _finish_left(self, signed: Signed, point: str, left: list[Standing]) -> None:
        """Tell of switches that were tried until the next one came."""
        for one in left:
            if one.number:
                outcome = Outcome(Status.FAILED, f"{point}: {one.reason}")
                told = self._untried(signed, one.number, one.why, outcome)
                self._book.finish(one.number, outcome.status, told)
                one.number = 0
        left.clear()

    def _wanted(self, switch: Switch) -> bool:
        timetable = self.timetable
        here = None if timetable is None else timetable.standings.get(switch.point)
        return here is not None and same(here.switch, switch) and not self._overridden(switch)

    def _overridden(self, switch: Switch) -> bool:
        return self._hands.since(switch.point, switch.utc_ms, self.utc_ms(), self._clock.now())

    async def _refused(self, signed: Signed, standing: Standing, switch: Switch, error: NotAllowed) -> None:
        if error.reason == "full":
            standing.later(self._clock.now(), "waiting", str(error))
            return
        standing.end("refused", f"{error.reason}: {error}")
        now, number = self._clock.trusted_ms(), new_number()
        outcome = Outcome(Status.REFUSED, f"{error.reason}: {error}")
        told = self._untried(signed, number, self._why(signed, switch), outcome)
        await self._book.refuse(Order(number, 0, now, b"", told, final=True), Status.REFUSED)

    def _untried(self, signed: Signed, number: int, why: str, outcome: Outcome) -> str:
        """The result of a switch of which no write is told."""
        now = self._clock.trusted_ms()
        task = Task(number, Source.SCHEDULE, signed.schedule.who, why, signed.key.name, (), now, 0)
        return result_of(task, outcome, now)

    def _settle(self, standing: Standing, task: Task, outcome: Outcome) -> None:
        """End it, or try again later; tell of it once, and once more if it is done after all."""
        reason = outcome.reason
        if outcome.status in DONE or outcome.status is Status.REFUSED:
            standing.end(outcome.status.value, reason)
        else:
            standing.later(self._clock.now(), outcome.status.value, reason)
        if standing.ended or (not standing.told and standing.tries >= TELL_TRIES):
            self._tell(standing, task, outcome)

    def _tell(self, standing: Standing, task: Task, outcome: Outcome) -> None:
        told = result_of(task, outcome, self._clock.trusted_ms())
        order = Order(task.number, 0, task.accepted_ms, b"", told, final=True)
        point = task.writes[0].point

        def also(connection: Connection) -> None:
            orders.refuse(connection, order, 0)  # unless the disk has it already
            orders.finish(connection, task.number, told)
            if outcome.status in DONE:
                orders.forget_revert(connection, point)

        self._book.tell(outcome.status, told, also)
        log.info("schedule: %s = %s: %s %s", point, task.writes[0].value, outcome.status, outcome.reason)
        standing.number, standing.told = 0, True
