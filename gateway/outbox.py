"""The store as the uplink sees it: every call goes to the store's own thread."""

import logging
from collections.abc import Sequence

from buffer.ack import Ack
from buffer.errors import AckRefused, StoreError
from buffer.store import Held
from buffer.thread import StoreThread
from gateway.clock import AgentClock

log = logging.getLogger(__name__)

PAGE_BATCHES = 4096
"""Commits go between the pages: a backlog of half a million small batches takes seconds to read."""


class StoreOutbox:
    """The `Outbox` of the real store."""

    def __init__(self, thread: StoreThread, clock: AgentClock) -> None:
        self._thread = thread
        self._clock = clock
        self._told = ""

    async def held(self) -> Sequence[Held]:
        """Every batch that is not acknowledged; refused ones are tried again in each life: platforms are mended."""
        found: list[Held] = []
        while page := await self._page(found[-1].number if found else 0):
            found += page
        return found

    async def _page(self, after: int) -> Sequence[Held]:
        return await self._thread.call(lambda store: store.held(PAGE_BATCHES, after))

    async def message(self, number: int) -> bytes:
        """The bytes of a batch."""
        return await self._thread.call(lambda store: store.message(number))

    async def acknowledge(self, ack: Ack) -> Sequence[int] | None:
        """Free what `ack` proves stored; None for one that is about another store, which is told of once."""
        try:
            return await self._thread.call(lambda store: store.acknowledge(ack))
        except AckRefused as error:
            if str(error) != self._told:
                log.error("uplink: %s", error)
            self._told = str(error)
            return None
        except StoreError as error:  # a later acknowledgement says it again
            log.error("buffer: an acknowledgement is not noted: %s", error)
        return ()

    async def acknowledge_numbers(self, numbers: Sequence[int]) -> None:
        """Free `numbers` on the broker's word."""
        await self._thread.call(lambda store: store.acknowledge_numbers(numbers, self._clock.utc_ms()))

    async def find(self, wanted: Sequence[bytes]) -> Sequence[int]:
        """The numbers of the batches with these hashes."""
        found = await self._thread.call(lambda store: [store.find(digest) for digest in wanted])
        return [number for number in found if number is not None]

    async def refuse(self, number: int, reason: str) -> None:
        """Set a batch aside; told of once."""
        log.error("batch %d: the platform refuses it: %s", number, reason)
        await self._thread.call(lambda store: store.refuse(number, reason))
