"""Waiting: an end by the event, by the time, and by cancellation, also when two of them come together."""

import asyncio

import pytest

from gateway.events import wait_for_event


async def test_the_event_or_the_time_ends_it() -> None:
    event = asyncio.Event()
    assert not await wait_for_event(event, 0)
    assert not await wait_for_event(event, 0.001)
    event.set()
    assert await wait_for_event(event, 0)
    assert await wait_for_event(event, 10)


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_that_comes_with_the_event_is_not_lost(turns: int) -> None:
    """Else a task lives on that its group has ended, and the group waits for it for ever."""
    event = asyncio.Event()

    async def forever() -> None:
        while True:
            await wait_for_event(event, 10)
            event.clear()

    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=1)
    assert task.cancelled()
