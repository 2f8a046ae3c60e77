"""What the uplink sees of the store."""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Protocol

from buffer.ack import Ack
from buffer.store import Held
from buffer.usage import Usage


class Outbox(Protocol):
    """Sealed batches, and what becomes of them."""

    def held(self) -> AsyncIterator[Sequence[Held]]:
        """By page, every batch that is sealed and not acknowledged."""

    async def message(self, number: int, in_flight: Collection[int]) -> tuple[bytes, int]:
        """The bytes of a batch, the same every time, and how many samples it has, 0 where that is not known.

        What is `in_flight` makes room last. Raises `UnknownBatch`, `StoreCorrupt` for one damaged on disk.
        """

    async def usage(self) -> Usage:
        """What the link has carried in this day and month, as far as it was kept."""

    async def keep(self, usage: Usage) -> None:
        """Have the store remember what the link has carried."""

    async def split(self, number: int, max_bytes: int) -> Sequence[int]:
        """Put batches of at most `max_bytes` in the place of one; none when it cannot be done."""

    async def local(self, stream: bytes, number: int) -> int | None:
        """What a number of `stream` is called here: a damaged store's batches have negative numbers. None: not here."""

    async def acknowledge(self, ack: Ack) -> Sequence[int] | None:
        """Free what `ack` proves stored; the numbers freed. None: it is not about this store, nothing in it counts."""

    async def acknowledge_numbers(self, numbers: Sequence[int]) -> None:
        """Free `numbers` on the broker's word."""

    async def find(self, wanted: Sequence[bytes]) -> Sequence[int]:
        """The numbers of the batches with these hashes, as far as they are kept."""

    async def history(self, first: int, last: int, limit: int) -> Sequence[int]:
        """Delivered batches from `first` to `last` whose bytes are kept, by number, at most `limit`."""

    async def stream(self) -> bytes:
        """The store's stream."""

    async def refuse(self, number: int, reason: str) -> None:
        """Set a batch aside that the platform does not take."""
