"""One thread that owns the store: the event loop never waits on the disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from buffer.store import Store

T = TypeVar("T")


class StoreThread:
    """Runs calls on a store one after the other, in the order they were made. Opened by `await start()`."""

    def __init__(self, open: Callable[[], Store]) -> None:  # noqa: A002 - the word for it
        self._open = open
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._store: Store | None = None

    async def start(self) -> None:
        """Open the store in the thread; raises what `Store.open` raises, and may be called again then."""
        self._store = await self._run(self._open)

    async def call(self, function: Callable[[Store], T]) -> T:
        """The result of `function` called with the store in the thread; raises what it raises.

        A cancelled caller gives up the result, not the work.
        """
        return await self._run(lambda: function(self._opened()))

    async def close(self, *, clean: bool = True) -> None:
        """Close the store after the calls made before, and end the thread; safe to call again."""
        store, self._store = self._store, None
        try:
            if store is not None:
                await self._run(lambda: store.close(clean=clean))
        finally:
            self._executor.shutdown(wait=False)

    async def set_aside(self) -> Path:
        """Give up a store found damaged, and end the thread: the name its file has now; raises `StoreError`."""
        store, self._store = self._opened(), None
        try:
            return await self._run(store.set_aside)
        finally:
            self._executor.shutdown(wait=False)

    def _opened(self) -> Store:
        if self._store is None:
            raise RuntimeError("the store is not open")
        return self._store

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
