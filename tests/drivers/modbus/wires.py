"""A line in virtual time: the real client on an event loop whose clock jumps, and a link of test's own."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from drivers.errors import BusError
from drivers.modbus.conversation import Receiver

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """Waits for nothing: the clock is set on by what would have been waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self.now += timeout
        elif timeout is None:
            raise AssertionError("everybody waits, and nothing will come")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when everybody waits."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run it in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class Wire:
    """A link to a device of the test's own: `answer` is told each request, and sends at will."""

    name = "wire"

    def __init__(self, answer: Callable[[bytes], None]) -> None:
        self._answer = answer
        self.receiver: Receiver | None = None
        self._inside = 0
        self._waiting: list[tuple[Receiver | None, bytes, int]] = []
        self.opened = 0

    async def open(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.opened += 1

    async def close(self) -> None:
        self.receiver = None

    def send(self, data: bytes) -> None:
        self._answer(data)

    def pause(self, seconds: float) -> None:
        """Everything comes as it comes."""

    def look(self) -> None:
        """The same."""

    def deliver(self, data: bytes, after_s: float, pair: int = 0) -> None:
        """The bytes arrive that much later, on the connection of now; between the two of a `pair` comes nothing."""
        asyncio.get_running_loop().call_later(after_s, self._arrive, self.receiver, data, pair)

    def lose(self, after_s: float) -> None:
        """The link breaks that much later."""
        asyncio.get_running_loop().call_later(after_s, self._break)

    def _break(self) -> None:
        if self.receiver is not None:
            self.receiver.lost(BusError("lost"))

    def _arrive(self, receiver: Receiver | None, data: bytes, pair: int) -> None:
        if self._inside and pair != self._inside:
            self._waiting.append((receiver, data, pair))
            return
        self._inside = 0 if self._inside else pair
        if receiver is self.receiver and receiver is not None and data:
            receiver.received(data)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self._arrive(*one)
