"""What the store says of itself for status; what it last said, while the disk does not answer."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

from buffer.errors import StoreError
from buffer.space import FileSystem
from buffer.stock import Stock
from buffer.store import Store
from buffer.thread import StoreThread
from buffer.wear import Wear, WearMeter, counter_for
from gateway.clock import AgentClock
from gateway.keeping.disk import Disk, DiskState

ANSWER_S = 2.0
"""Status does not wait longer than this for a disk that stalls."""
SHARE = 100
"""Looks take one part in so many of the store's time: a large backlog is not counted at every question."""


OLDEST_MS = 60_000
"""... but at least each minute it is."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One look; `error`: why it is an old one. `low`: the store does not grow, for that `keep_free` bytes stay free."""

    stock: Stock = field(default_factory=Stock)
    stream: bytes = b""
    disk: FileSystem | None = None
    low: bool = False
    keep_free: int = 0
    wear: Wear = field(default_factory=Wear)
    wear_source: str = ""
    error: str = ""


class StoreView:
    """Asks the store, in its thread; where that takes long, not at every question."""

    def __init__(self, thread: StoreThread, path: Path, clock: AgentClock, disk: Disk) -> None:
        self._thread = thread
        self._path = path
        self._clock = clock
        self._disk = disk
        self._last = Stored()
        self._next_at = 0
        self._meter: WearMeter | None = None

    async def look(self) -> Stored:
        """What the store says now; what it last said, and why, if it does not answer."""
        if self._disk.state is DiskState.STALLS:
            return replace(self._last, error=self._disk.error)
        if self._clock.now() < self._next_at:
            return self._last
        try:
            async with asyncio.timeout(ANSWER_S):
                self._last = await self._thread.call(self._ask)
        except TimeoutError:
            return replace(self._last, error=f"the disk has not answered for {ANSWER_S:g} s")
        except StoreError as error:
            return replace(self._last, error=str(error))
        return self._last

    def stale(self) -> None:
        """What is known is of before: the store is asked at the next look."""
        self._next_at = 0

    def start(self, store: Store) -> None:
        """Begin to count what is written; a step for the store's thread."""
        self._meter = WearMeter(counter_for(self._path), store.ask(Wear.kept), self._clock.now())

    def keep(self, store: Store) -> None:
        """Have the store remember what was written so far; a step for the store's thread."""
        if self._meter is not None:
            store.change(self._meter.total(self._clock.now()).keep)

    def _ask(self, store: Store) -> Stored:
        began = self._clock.now()
        try:
            disk = FileSystem.of(self._path)
            stock = store.stock()
        except OSError as error:  # what is not SQLite's to say
            raise StoreError(error.errno, error.strerror, str(self._path)) from error
        now, meter = self._clock.now(), self._meter
        self._next_at = now + min(SHARE * (now - began), OLDEST_MS)
        wear, source = (Wear(), "") if meter is None else (meter.total(now), meter.source)
        return Stored(stock, store.stream, disk, store.space.low, store.space.keep_free, wear, source)
