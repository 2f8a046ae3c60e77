"""Small helpers around asyncio."""

import asyncio
from collections.abc import Callable


async def wait_for_event(event: asyncio.Event, seconds: float) -> bool:
    """Wait until `event` is set or the time is over; whether it is set."""
    try:
        async with asyncio.timeout(seconds):  # wait_for loses a cancellation that comes with the event (before 3.12)
            await event.wait()
    except TimeoutError:
        return False
    return True


async def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.1) -> None:
    """Ask `condition` in a thread until it is true; raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(every)
