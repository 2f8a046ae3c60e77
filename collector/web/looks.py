"""Connections to the database for as many looks at once as are good for it: read-only, but for what operators do."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from collector.tables.database import Database, Target
from collector.verify.walk import walk

T = TypeVar("T")

TOGETHER = 4


class Looks:
    """Reads in threads, `TOGETHER` at once; raises what the database does."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._idle: queue.SimpleQueue[Database] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(TOGETHER)

    async def look(self, act: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 - what `act` takes
        """`act(database, ...)` with a connection that can only read."""
        async with self._room:
            return await asyncio.to_thread(self._look, act, arguments)

    @contextmanager
    def reader(self) -> Iterator[Database]:
        """A connection that can only read; after an error it is not used again."""
        try:
            database = self._idle.get_nowait()
        except queue.Empty:
            database = Database.read(self.target)
        try:
            yield database
        except BaseException:  # in what state it is nobody knows: it does not go back to the others
            database.close()
            raise
        self._idle.put(database)

    def close(self) -> None:
        """Close what nobody uses."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _look(self, act: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        with self.reader() as database:
            return act(database, *arguments)


class Proofs:
    """What the last proof of each gateway said; one is made at a time, and it may take minutes."""

    def __init__(self, looks: Looks, now_ms: Callable[[], int]) -> None:
        self._looks, self._now_ms = looks, now_ms
        self._one = threading.Lock()
        self.running: str | None = None
        self.last: dict[str, dict[str, Any]] = {}

    def prove(self, gateway: str) -> bool:
        """Prove all that a gateway's streams say; False when another proof is under way. Blocks."""
        if not self._one.acquire(blocking=False):
            return False
        try:
            self.running = gateway
            with self._looks.reader() as database:
                self.last[gateway] = {"at_ms": self._now_ms(), "streams": [one.row for one in walk(database, gateway)]}
        finally:
            self.running = None
            self._one.release()
        return True
