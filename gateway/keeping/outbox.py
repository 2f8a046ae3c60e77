"""The store as the uplink sees it: every call goes to the store's own thread."""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import TypeVar

from buffer import delivery
from buffer.ack import Ack
from buffer.delivery import samples_of
from buffer.errors import AckRefused, StoreCorrupt, StoreError
from buffer.spool import Spool
from buffer.store import Held, Store
from buffer.thread import StoreThread
from buffer.usage import Usage
from gateway.clock import AgentClock

log = logging.getLogger(__name__)

T = TypeVar("T")

PAGE_BATCHES = 4096
"""Commits go between the pages: a backlog of half a million small batches takes seconds to read."""


class StoreOutbox:
    """The `Outbox` of the real store, and of what was salvaged from damaged ones: that has negative numbers."""

    def __init__(
        self,
        thread: StoreThread,
        clock: AgentClock,
        spool: Spool | None = None,
        on_damage: Callable[[StoreCorrupt], None] = lambda _: None,
    ) -> None:
        self._thread = thread
        self._clock = clock
        self._spool = spool
        self._on_damage = on_damage
        self._told = ""

    async def held(self) -> AsyncIterator[Sequence[Held]]:
        """By page, every batch that is not acknowledged; refused ones are tried again in each life: platforms mend."""
        spool, after = self._spool, 0
        while page := await self._page(after):
            after = page[-1].number
            yield page
        if spool is not None:
            yield await self._call(lambda _: spool.held())

    async def _page(self, after: int) -> Sequence[Held]:
        return await self._call(lambda store: store.held(PAGE_BATCHES, after))

    async def message(self, number: int, in_flight: Collection[int]) -> tuple[bytes, int]:
        """The bytes of a batch and its samples (0: not known); one that is damaged goes into the ledger.

        What is `in_flight` makes room last.
        """
        if self._spool is not None and number < 0:
            spool = self._spool
            return await self._thread.call(lambda _: spool.message(number)), 0

        def read(store: Store) -> tuple[bytes, int]:
            store.in_flight = in_flight
            return store.message(number), store.ask(lambda db: samples_of(db, number))

        try:
            return await self._thread.call(read)
        except StoreCorrupt:
            await self._call(lambda store: store.write_off(number))
            raise

    async def usage(self) -> Usage:
        """What the link has carried in this day and month, as far as it was kept."""
        return await self._call(lambda store: store.ask(Usage.kept))

    async def keep(self, usage: Usage) -> None:
        """Have the store remember what the link has carried."""
        await self._call(lambda store: store.change(usage.keep))

    async def local(self, stream: bytes, number: int) -> int | None:
        """What a number of `stream` is called here; None when no batch here is of that stream."""
        spool = self._spool

        def found(store: Store) -> int | None:
            if stream == store.stream:
                return number
            return spool.local(stream, number) if spool is not None else None

        return await self._call(found)

    async def split(self, number: int, max_bytes: int) -> Sequence[int]:
        """Put batches of at most `max_bytes` in the place of one; none when it cannot be done."""
        if number < 0:  # salvaged: it is sent as it was signed, or not at all
            return []
        return await self._call(lambda store: store.split(number, max_bytes))

    async def acknowledge(self, ack: Ack) -> Sequence[int] | None:
        """Free what `ack` proves stored; None for one that is about another store, which is told of once."""
        spool = self._spool

        def freed(store: Store) -> list[int]:
            if spool is not None and ack.stream != store.stream and (found := spool.acknowledge(ack)) is not None:
                return found
            return store.acknowledge(ack)

        try:
            return await self._call(freed)
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
        spool, ours = self._spool, [number for number in numbers if number > 0]
        if spool is not None and len(ours) < len(numbers):
            await self._thread.call(lambda _: spool.acknowledge_numbers([n for n in numbers if n < 0]))
        await self._call(lambda store: store.acknowledge_numbers(ours, self._clock.trusted_ms()))

    async def find(self, wanted: Sequence[bytes]) -> Sequence[int]:
        """The numbers of the batches with these hashes."""
        spool = self._spool

        def found(store: Store) -> list[int]:
            numbers = [store.find(digest) or (spool.find(digest) if spool is not None else None) for digest in wanted]
            return [number for number in numbers if number is not None]

        return await self._call(found)

    async def catalogue(self, digest: bytes) -> bytes | None:
        """The message of the catalogue with this hash, when it is kept."""
        spool = self._spool

        def found(store: Store) -> bytes | None:
            if (number := store.find(digest)) is not None:
                return store.message(number)
            number = None if spool is None else spool.find(digest)
            return None if number is None or spool is None else spool.message(number)

        return await self._call(found)

    async def history(self, first: int, last: int, limit: int) -> Sequence[int]:
        """Delivered batches from `first` to `last` whose bytes are kept, by number, at most `limit`."""

        def kept(store: Store) -> list[int]:
            store.flush()  # of the newest, the disk does not know yet that they are delivered
            return store.ask(lambda connection: delivery.delivered(connection, first, last, limit))

        return await self._call(kept)

    async def stream(self) -> bytes:
        """The store's stream."""
        return await self._call(lambda store: store.stream)

    async def refuse(self, number: int, reason: str) -> None:
        """Set a batch aside; told of once."""
        log.error("batch %d: is set aside: %s", number, reason)
        spool = self._spool
        if spool is not None and number < 0:
            await self._thread.call(lambda _: spool.refuse(number, reason))
        else:
            await self._call(lambda store: store.refuse(number, reason))

    async def _call(self, function: Callable[[Store], T]) -> T:
        """In the store's thread; a damaged store is told of."""
        try:
            return await self._thread.call(function)
        except StoreCorrupt as error:
            self._on_damage(error)
            raise
