"""A wish that comes while it is being done is not lost, and a storm of them costs one more turn."""

import asyncio

from gateway.latest import Latest


async def test_a_wish_is_never_lost() -> None:
    begun, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    read: list[str] = []
    file = "first"

    async def work() -> None:
        read.append(file)
        begun.set()
        await go.wait()
        if file == "second" == read[-1]:
            done.set()

    latest = Latest(work)
    latest.wish()
    await begun.wait()
    file = "second"
    for _ in range(1000):
        latest.wish()
    go.set()
    async with asyncio.timeout(5):
        await done.wait()
    assert read == ["first", "second"]
    await asyncio.sleep(0)
    done.clear()
    latest.wish()
    async with asyncio.timeout(5):
        await done.wait()
    assert len(read) == 3
