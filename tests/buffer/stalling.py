"""A store in its thread, committing at once again and again beside a loop that wakes every 2 ms: run under strace.

Prints a JSON line: how often it committed, how long the slowest commit took, and how late the loop woke at most, in ms.
"""

import asyncio
import json
import sys
from pathlib import Path

from buffer.keys import SigningKey
from buffer.store import Store
from buffer.thread import StoreThread
from tests.buffer.support import BOOT, GATEWAY, SERIES, SIZE, block

COMMITS = 5
TICK_S = 0.002


def open_store(folder: Path) -> Store:
    """The one in `folder`, with the key beside it."""
    key = SigningKey.load(folder / "batch.key")
    return Store.open(folder / "buffer.db", GATEWAY, key, BOOT, size_limit=SIZE)


async def main(folder: Path) -> None:
    """Commit, and measure."""
    thread = StoreThread(lambda: open_store(folder))
    await thread.start()
    await thread.call(lambda store: store.assign(SERIES))
    loop = asyncio.get_running_loop()
    late: list[float] = []
    took: list[float] = []

    async def probe() -> None:
        while True:
            before = loop.time()
            await asyncio.sleep(TICK_S)
            late.append(loop.time() - before - TICK_S)

    probing = asyncio.create_task(probe())
    for _ in range(COMMITS):
        before = loop.time()
        await thread.call(lambda store: store.commit([block()], seal=True))
        took.append(loop.time() - before)
    probing.cancel()
    await thread.close()
    late.sort()
    row = {"commits": COMMITS, "slowest_ms": max(took) * 1000, "ticks": len(late), "late_ms": late[-1] * 1000}
    sys.stdout.write(json.dumps(row) + "\n")


asyncio.run(main(Path(sys.argv[1])))
