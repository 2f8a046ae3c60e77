"""One timer for many deadlines: each that stands ends at its time, and none that was lifted does."""

import asyncio
from collections.abc import Coroutine
from math import inf
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.patience import Patience

T = TypeVar("T")
STEP = 1 / 8
"""Time passes by so many s, which floats hold exactly."""


class Loop(asyncio.SelectorEventLoop):
    """Its time passes when told."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.timers = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Any, *args: Any, **words: Any) -> asyncio.TimerHandle:  # type: ignore[override]  # passed on
        self.timers += 1
        return super().call_at(when, callback, *args, **words)


async def _pass(loop: Loop, steps: int) -> None:
    for _ in range(steps):
        loop.now += STEP
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(work)


def _loop() -> Loop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    return loop


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 24), st.integers(0, 16)), min_size=1, max_size=20))
def test_each_deadline_that_stands_ends_once_and_in_time(steps: list[tuple[bool, int, int]]) -> None:
    async def life() -> None:
        loop, ended = _loop(), list[float]()
        patience = Patience(lambda: ended.append(loop.now))
        for lifted, ahead, passing in steps:
            ended.clear()
            deadline = inf if lifted else loop.now + ahead * STEP
            if lifted:
                patience.lift()
            else:
                patience.until(deadline)
            await _pass(loop, passing)
            assert ended == [deadline] * (deadline <= loop.now)
        patience.close()
        ended.clear()
        await _pass(loop, 30)
        assert not ended

    _run(life())


def test_questions_that_are_answered_in_time_share_a_timer() -> None:
    async def life() -> int:
        loop = _loop()
        patience = Patience(lambda: None)
        for _ in range(100):
            patience.until(loop.now + 8 * STEP)
            await _pass(loop, 1)
            patience.lift()
        patience.close()
        return loop.timers

    assert _run(life()) <= 1 + 100 // 7
