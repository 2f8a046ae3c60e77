"""The thread that owns the store."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from buffer.errors import StoreError
from buffer.keys import SigningKey
from buffer.store import Store
from buffer.thread import StoreThread
from tests.buffer.support import BOOT, GATEWAY, SERIES, SIZE, block


@pytest.fixture
def thread(path: Path, key: SigningKey) -> StoreThread:
    """A thread whose store is not open yet."""
    return StoreThread(lambda: Store.open(path, GATEWAY, key, BOOT, size_limit=SIZE))


async def test_calls_run_in_order_in_one_thread_beside_the_loop(thread: StoreThread) -> None:
    await thread.start()
    await thread.call(lambda store: store.assign(SERIES))
    calls = [thread.call(lambda store, n=n: store.commit([block(b"%d" % n)])) for n in range(20)]  # type: ignore[misc]
    assert await asyncio.gather(*calls) == [[], *([n] for n in range(2, 21))]
    assert await thread.call(lambda _: threading.current_thread().name) == "store_0"
    await thread.close()
    await thread.close()


async def test_errors_come_back(thread: StoreThread, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await thread.call(lambda store: store.held())
    await thread.start()
    with pytest.raises(LookupError, match="no batch of number 7"):
        await thread.call(lambda store: store.message(7))
    await thread.close()


async def test_a_failed_start_may_be_repeated(path: Path, key: SigningKey) -> None:
    folder = path.parent / "later"
    thread = StoreThread(lambda: Store.open(folder / "buffer.db", GATEWAY, key, BOOT, size_limit=SIZE))
    with pytest.raises(StoreError, match="No such file"):
        await thread.start()
    folder.mkdir()
    await thread.start()
    await thread.close()


async def test_a_stalled_disk_does_not_stop_the_loop(thread: StoreThread) -> None:
    await thread.start()
    release = threading.Event()
    call = asyncio.create_task(thread.call(lambda _: release.wait(30)))
    worst = 0.0
    for _ in range(50):
        before = time.monotonic()
        await asyncio.sleep(0.001)
        worst = max(worst, time.monotonic() - before)
    assert not call.done()
    assert worst < 5
    release.set()
    assert await call
    await thread.close()


async def test_a_cancelled_caller_leaves_the_work_whole(thread: StoreThread, path: Path) -> None:
    await thread.start()
    await thread.call(lambda store: store.assign(SERIES))
    gate = threading.Event()
    blocked = asyncio.create_task(thread.call(lambda _: gate.wait(30)))
    commit = asyncio.create_task(thread.call(lambda store: store.commit([block()], seal=True)))
    await asyncio.sleep(0)
    gate.set()
    await blocked
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    assert await thread.call(lambda store: store.last_number) in {1, 2}
    await thread.close()
