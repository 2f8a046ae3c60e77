"""The records of what was done: on the disk before anything is written, and told once, where that is noted."""

from collections.abc import Callable, Sequence
from functools import partial
from sqlite3 import Connection
from typing import TypeVar

from buffer import orders
from buffer.errors import NotAllowed
from buffer.orders import Order, Quiet, Use
from buffer.store import Store
from buffer.thread import StoreThread
from gateway.clock import AgentClock
from gateway.commands.task import Outcome, Status, Task, result_of
from gateway.keeping.keeper import Keeper
from gateway.keeping.recorder import Recorder
from gateway.reporting.system import CONFIGURATION, RESULT, RUNNING

T = TypeVar("T")

REFUSED_MAX = 2 * orders.MAX_REFUSED
"""Numbers of this life that are remembered here, until the disk certainly has them."""

ENDED = Outcome(Status.UNKNOWN, "the agent ended while it was being done: look what the device says")


class Book:
    """The store as commands see it."""

    def __init__(self, store: StoreThread, keeper: Keeper, recorder: Recorder, clock: AgentClock) -> None:
        self._store = store
        self._keeper = keeper
        self._recorder = recorder
        self._clock = clock
        self._refused: dict[int, None] = {}
        self.done: dict[str, int] = {}
        """Results of this life by their status."""

    async def accept(
        self, task: Task, message: bytes, uses: Sequence[Use], reverts: Sequence[tuple[str, int]],
        most: int = orders.MAX_WAITING,
    ) -> None:  # fmt: skip
        """Before anything is written; raises `NotAllowed` or `StoreError`, then it is not accepted."""
        self._check(task.number)
        order = Order(task.number, task.expires_ms, task.accepted_ms, message, result_of(task, ENDED, task.accepted_ms))

        def accept(store: Store) -> None:
            floor = max(store.floor_ms, self._clock.floor_ms)
            store.change(partial(orders.accept, order=order, floor_ms=floor, uses=uses, reverts=reverts, most=most))

        await self._store.call(accept)

    def finish(self, number: int, status: Status, told: str, more: Callable[[Connection], None] | None = None) -> None:
        """The one result of what was accepted, with `more` in the same transaction."""

        def also(connection: Connection) -> None:
            orders.finish(connection, number, told)
            if more is not None:
                more(connection)

        self.tell(status, told, also)

    async def refuse(self, order: Order, status: Status) -> None:
        """Number and result of what is not done at all; raises `NotAllowed` (`replay`, `full`) or `StoreError`."""
        self._check(order.number)
        floor = self._clock.floor_ms
        await self.ask(partial(orders.check_refusal, number=order.number, floor_ms=floor))
        self._refused[order.number] = None
        if len(self._refused) > REFUSED_MAX:
            del self._refused[next(iter(self._refused))]
        self.tell(status, order.result, partial(orders.refuse, order=order, floor_ms=floor))

    def _check(self, number: int) -> None:
        """The disk may not have it yet."""
        if number in self._refused:
            raise NotAllowed("replay", f"command {number} was here before")

    async def unfinished(self) -> list[Order]:
        """What a life before has accepted and not finished."""
        return await self.ask(orders.unfinished)

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """What the tables say; raises `StoreError`."""
        return await self._store.call(lambda store: store.ask(question))

    async def change(self, action: Callable[[Connection], T]) -> T:
        """Change them; raises `StoreError`."""
        return await self._store.call(lambda store: store.change(action))

    async def note(self, quiet: Quiet) -> None:
        """Keep how long it has been quiet."""
        await self.change(partial(orders.note_quiet, now=quiet))

    def tell_configuration(self, told: str, also: Callable[[Connection], None]) -> None:
        """What came of a configuration, and `also` in its transaction."""
        self._keeper.commit_with(lambda: self._recorder.value(CONFIGURATION, told), also)

    def tell_running(self, told: str, also: Callable[[Connection], None]) -> None:
        """What files run, and `also` in its transaction."""
        self._keeper.commit_with(lambda: self._recorder.value(RUNNING, told), also)

    def tell(self, status: Status, told: str, also: Callable[[Connection], None]) -> None:
        """A result, and `also` in its transaction."""
        self.done[status] = self.done.get(status, 0) + 1
        self._keeper.commit_with(lambda: self._recorder.value(RESULT, told), also)
