"""What the packer hands to the store, and the batch that is still open."""

import zlib
from dataclasses import dataclass, replace

from buffer.batch import MAX_BLOCK_BYTES, MAX_BLOCKS
from buffer.cbor import MAX_MS
from buffer.errors import BatchBoundary, BatchFormatError
from buffer.header import BOOT_BYTES, PRIORITY_CODES, STATE_CODES, Clock, Priority

HEAD_BYTES = 5  # the longest head of a byte string in a batch
MAX_STEP_MS = 100  # a clock that moved further is another clock, and begins another batch
CATALOGUE_PART = len(PRIORITY_CODES)  # blocks of catalogues are kept apart from those of every priority
REPLACING = CATALOGUE_PART + 1  # added to the code of the priority: blocks of batches that replace others


@dataclass(frozen=True, slots=True)
class Block:
    """The samples of one commit of one priority; `fresh` when the packer was reset before it: it begins a batch.

    Times are ms of CLOCK_BOOTTIME.
    """

    priority: Priority
    clock: Clock
    samples: int
    first_ms: int
    last_ms: int
    data: bytes
    fresh: bool = False

    @property
    def part(self) -> int:
        """The code of the priority."""
        return PRIORITY_CODES[self.priority]

    def digest(self, before: int) -> int:
        """A check value over this block and, by `before`, those of its batch before it: the packer's state goes on."""
        clock = (self.clock.clock_ms, STATE_CODES[self.clock.state])
        about = (self.part, *clock, self.samples, self.first_ms, self.last_ms)
        return zlib.crc32(self.data, zlib.crc32(self.clock.boot + repr(about).encode(), before))

    def check(self) -> None:
        """Raise `BatchFormatError` for a block that no batch could carry."""
        if not 1 <= len(self.data) <= MAX_BLOCK_BYTES:
            raise BatchFormatError(f"a block has 1 to {MAX_BLOCK_BYTES} bytes, this one {len(self.data)}")
        if self.samples < 1:
            raise BatchFormatError(f"a block has at least one sample, this one {self.samples}")
        if not 0 <= self.first_ms <= self.last_ms <= MAX_MS:
            raise BatchFormatError(f"a block's times are wrong: {self.first_ms} to {self.last_ms} ms")
        if len(self.clock.boot) != BOOT_BYTES or abs(self.clock.clock_ms) > MAX_MS:
            raise BatchFormatError(f"a block's clock is wrong: {self.clock}")


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """The blocks of one part that are committed but not sealed; `first` and `last` are block ids."""

    clock: Clock
    first: int
    last: int
    blocks: int
    samples: int
    size: int
    first_ms: int
    last_ms: int
    digest: int = 0

    @classmethod
    def of(cls, block: Block, number: int) -> "OpenBatch":
        """A batch that begins with the block kept as `number`."""
        times = (block.first_ms, block.last_ms)
        return cls(block.clock, number, number, 1, block.samples, _wire_bytes(block), *times, block.digest(0))

    def extended(self, block: Block, number: int) -> "OpenBatch":
        """With one block more; raises `BatchBoundary` when the block may not continue this batch."""
        if not same_clock(self.clock, block.clock):
            raise BatchBoundary(f"the clock changed within a {block.priority} batch: {self.clock} to {block.clock}")
        if self.size + _wire_bytes(block) > MAX_BLOCK_BYTES or self.blocks == MAX_BLOCKS:
            raise BatchBoundary(f"no room in the open {block.priority} batch: {self.size} bytes, {self.blocks} blocks")
        return replace(
            self,
            last=number,
            blocks=self.blocks + 1,
            samples=self.samples + block.samples,
            size=self.size + _wire_bytes(block),
            first_ms=min(self.first_ms, block.first_ms),
            last_ms=max(self.last_ms, block.last_ms),
            digest=block.digest(self.digest),
        )


def _wire_bytes(block: Block) -> int:
    return len(block.data) + HEAD_BYTES


def same_clock(one: Clock, other: Clock) -> bool:
    """Whether samples dated by the two may share a batch."""
    return one.boot == other.boot and one.state == other.state and abs(one.clock_ms - other.clock_ms) <= MAX_STEP_MS
