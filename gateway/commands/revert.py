"""Takes points back to their safe values when nobody who can prove it has said anything for long."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from sqlite3 import Connection

from buffer import orders
from buffer.command import Wanted, new_number
from buffer.errors import NotAllowed, StoreError
from buffer.header import ClockState
from buffer.orders import Order
from config import format_duration
from gateway.clock import AgentClock
from gateway.commands.book import Book
from gateway.commands.execute import Executor
from gateway.commands.hands import Hands
from gateway.commands.rules import Rules
from gateway.commands.silence import Silence
from gateway.commands.task import DONE, Outcome, Planned, Source, Status, Task, result_of

log = logging.getLogger(__name__)

LOOK_S = 1.0
NOTE_MS = 60_000
"""A power cut makes the silence seem shorter by at most this."""
AGAIN_MS = 60_000
TRY_MS = 30_000


class Reverter:
    """Keeps the count of the silence, and ends what was written before it."""

    def __init__(
        self, book: Book, rules: Rules, executor: Executor, silence: Silence, clock: AgentClock, hands: Hands,
        scheduled: Callable[[str], Wanted | None],
    ) -> None:  # fmt: skip
        """`scheduled` says what a schedule has a point be now: it goes back to that."""
        self._book = book
        self._rules = rules
        self._executor = executor
        self._silence = silence
        self._clock = clock
        self._hands = hands
        self._scheduled = scheduled
        self._noted_at = -NOTE_MS
        self._next: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        """What is done with, though the disk may not have it yet."""

    async def run(self) -> None:
        """Look once a second, where there is anything to look for, until cancelled."""
        while True:
            try:
                if self._rules.any_goes_back:
                    await self.look()
            except StoreError as error:
                log.error("what is to go back is not known: %s", error)
                await asyncio.sleep(AGAIN_MS / 1000)
            except Exception:  # a mistake of ours must not end the agent, at each start again: the revert is still due
                log.exception("what is to go back does not")
                await asyncio.sleep(AGAIN_MS / 1000)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Take back what is due; raises `StoreError`."""
        now = self._clock.now()
        known = self._clock.trusted().state is not ClockState.UNSET
        off = self._silence.tick(now, self._clock.trusted_ms() if known else None)
        if off:
            await self._book.change(partial(orders.shift_reverts, after_ms=self._silence.since_boot, by_ms=off))
        pending = await self._book.ask(orders.pending_reverts)
        if pending and (off or now - self._noted_at >= NOTE_MS):
            await self._book.note(self._silence.note())
            self._noted_at = now
        for point, written_ms in pending.items():
            await self._one(point, written_ms, now)

    async def _one(self, point: str, written_ms: int, now: int) -> None:
        safe = self._rules.safe(point)
        if safe is None:  # no longer in the configuration
            await self._book.change(partial(orders.forget_revert, point=point))
        elif (
            self._ended.get(point) != written_ms
            and self._next.get(point, 0) <= now
            and self._silence.due(point, written_ms, safe[1])
        ):
            await self._revert(safe[0], written_ms, safe[1])

    async def _revert(self, planned: Planned, written_ms: int, after_ms: int) -> None:
        """Once more each minute while the device does not take it; a lock ends it: its end must move nothing."""
        task = self._task(self._back_to(planned), written_ms, after_ms)
        outcome = await self._executor.run(task)
        if outcome.status is Status.REFUSED and task.writes != (planned,):  # what harms nobody asks for less
            task = self._task(planned, written_ms, after_ms)
            outcome = await self._executor.run(task)
        if outcome.reason.partition(": ")[2].startswith("superseded"):
            return
        ended = outcome.status in DONE or outcome.status is Status.REFUSED
        first = planned.point not in self._next
        if ended:
            self._next.pop(planned.point, None)
            self._ended[planned.point] = written_ms
            self._hands.gone(planned.point)
        else:
            self._next[planned.point] = self._clock.now() + AGAIN_MS
        if ended or first:
            log.warning("point %s goes back: %s %s", planned.point, outcome.status, outcome.reason)
            self._tell(task, outcome, written_ms if ended else None)

    def _back_to(self, safe: Planned) -> Planned:
        value = self._scheduled(safe.point)
        try:
            return safe if value is None else self._rules.lasting(safe.point, value)
        except NotAllowed:
            return safe

    def _task(self, planned: Planned, written_ms: int, after_ms: int) -> Task:
        why = f"no verified message for {format_duration(after_ms)}"
        return Task(
            new_number(), Source.REVERT, "gateway", why, "", (planned,), self._clock.trusted_ms(),
            self._clock.now() + TRY_MS, wanted=lambda: self._silence.due(planned.point, written_ms, after_ms),
        )  # fmt: skip

    def _tell(self, task: Task, outcome: Outcome, written_ms: int | None) -> None:
        told = result_of(task, outcome, self._clock.trusted_ms())
        order = Order(task.number, 0, task.accepted_ms, b"", told, final=True)
        point = task.writes[0].point

        def also(connection: Connection) -> None:
            orders.refuse(connection, order, 0)
            if written_ms is not None:
                orders.reverted(connection, point, written_ms)

        self._book.tell(outcome.status, told, also)
