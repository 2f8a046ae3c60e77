"""What waits in memory for the disk: steps in order, and how many bytes they take."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from buffer.block import Block
from buffer.header import Priority
from buffer.store import Change, Store

STEP_BYTES = 384
"""What a step takes in memory beside its blocks: its function, and its place in the queue."""
BLOCK_BYTES = 256
"""What a block takes beside its data: the block, its numbers, the head of the bytes."""
GIVEN_UP_FIRST = (Priority.BULK, Priority.NORMAL, Priority.CRITICAL)

Action = Callable[[Store], list[int] | None]


@dataclass(slots=True, eq=False)
class Step:
    """One call on the store: blocks to commit, or a chore, of which one of each name waits."""

    blocks: list[Block]
    closing: bool | Sequence[Priority] = ()
    """The batches that end with the blocks; True: all."""
    chore: str = ""
    action: Action | None = None
    also: Change | None = None
    """What is done in the transaction of the blocks."""

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return STEP_BYTES + sum(map(_size, self.blocks))

    @property
    def samples(self) -> int:
        """How many it commits."""
        return sum(block.samples for block in self.blocks)

    def do(self, store: Store) -> list[int]:
        """The numbers of the batches that it sealed."""
        if self.action is not None:
            return self.action(store) or []
        return store.commit(self.blocks, seal=self.closing, also=self.also)


@dataclass(frozen=True, slots=True)
class Run:
    """Blocks of one priority that decode together and not without each other; `open`: more of it may follow."""

    blocks: tuple[Block, ...]
    open: bool


class Waiting:
    """The queue. A step that was begun is the disk's until `done` or `refused`: nothing of it is given up."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque()
        self._begun = False
        self.size = 0
        """bytes"""

    def __bool__(self) -> bool:
        return bool(self._steps)

    @property
    def samples(self) -> int:
        """How many wait to be committed."""
        return sum(step.samples for step in self._steps)

    def commit(
        self, blocks: Sequence[Block], closing: bool | Sequence[Priority] = (), also: Change | None = None
    ) -> None:
        """Have blocks committed, batches sealed and `also` done at once, after everything that waits."""
        self._add(Step(list(blocks), closing, also=also))

    def chore(self, name: str, action: Action) -> None:
        """Have `action` done after everything that waits, instead of an older one of the same name."""
        for step in self._free():
            if step.chore == name:
                self._drop(step)
                break
        self._add(Step([], (), name, action))

    def begin(self) -> Step:
        """The step whose turn it is; one must wait."""
        self._begun = True
        return self._steps[0]

    def done(self) -> None:
        """The disk has taken the step that was begun."""
        self._begun = False
        self._drop(self._steps[0])

    def refused(self) -> None:
        """The disk has not taken it: it is the first again."""
        self._begun = False

    def give_up(self) -> Run | None:
        """Take the oldest run of the lowest priority out of the queue; None when there is none.

        What the disk already has of a run stays a batch without it, which the next block of its priority ends.
        """
        for priority in GIVEN_UP_FIRST:
            if (run := self._oldest(priority)) is not None:
                for step in tuple(self._free()):
                    self._take_out(step, run.blocks)
                return run
        return None

    def _oldest(self, priority: Priority) -> Run | None:
        found: list[Block] = []
        for step in self._free():
            for block in step.blocks:
                if block.priority is priority:
                    if found and block.fresh:
                        return Run(tuple(found), open=False)
                    found.append(block)
        return Run(tuple(found), open=True) if found else None

    def _take_out(self, step: Step, blocks: tuple[Block, ...]) -> None:
        kept = [block for block in step.blocks if not any(block is one for one in blocks)]
        if step.blocks and not kept and step.also is None:
            self._drop(step)
        elif len(kept) < len(step.blocks):
            self.size -= step.size
            step.blocks = kept
            self.size += step.size

    def _free(self) -> Iterator[Step]:
        """The steps that the disk has not begun."""
        return islice(self._steps, int(self._begun), None)

    def _add(self, step: Step) -> None:
        self._steps.append(step)
        self.size += step.size

    def _drop(self, step: Step) -> None:
        self._steps.remove(step)
        self.size -= step.size


def _size(block: Block) -> int:
    return BLOCK_BYTES + len(block.data)
