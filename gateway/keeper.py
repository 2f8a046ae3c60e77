"""Moves samples from memory to the disk: commits at intervals, seals batches, outlasts a disk that takes nothing."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from buffer.block import Block, same_clock
from buffer.errors import StoreCorrupt, StoreError
from buffer.header import Clock, ClockState, LedgerEntry, Priority
from buffer.store import Store
from buffer.thread import StoreThread
from gateway.clock import AgentClock
from gateway.events import wait_for_event
from gateway.recorder import PRIORITIES, Lost, Recorder

log = logging.getLogger(__name__)

RETRY_S = 1.0
PRUNE_MIN_MS, PRUNE_MAX_MS = 60_000, 3_600_000
"""Delivered history goes in bulk, a 24th of it at a time: whole pages are freed by one write."""
STEP_BYTES = 512
"""What a step that waits takes in memory beside its blocks: many small commits fill it as well."""

Step = Callable[[Store], list[int] | None]


@dataclass(slots=True)
class Counts:
    """What the keeper did since the start."""

    commits: int = 0
    committed: int = 0
    """samples"""
    sealed: int = 0
    """batches"""
    last_commit_at: int | None = None
    """boot ms"""


class Keeper:
    """Owns the way to the store: steps are done in order, each once, and tried until the disk takes them."""

    def __init__(
        self,
        thread: StoreThread,
        recorder: Recorder,
        clock: AgentClock,
        *,
        commit_ms: int,
        batch_ms: int,
        history_ms: int,
    ) -> None:
        self._thread = thread
        self._recorder = recorder
        self._clock = clock
        self._commit_ms = commit_ms
        self._batch_ms = batch_ms
        self._history_ms = history_ms
        self._prune_ms = min(max(history_ms // 24, PRUNE_MIN_MS), PRUNE_MAX_MS)
        self._steps: deque[tuple[Step, int, int]] = deque()  # step, samples, bytes
        self._open: dict[str, Clock] = {}
        self._wake = asyncio.Event()
        self._work_waits = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._critical = False
        self._remembered: Clock | None = None
        self._undated = False
        self.counts = Counts()
        self.error = ""
        """Why the disk takes nothing; empty when it does."""
        self.progress_at = clock.now()
        self.on_sealed: Callable[[list[int]], None] = lambda _: None

    def ask_time(self) -> None:
        """Have the platform answer a batch that was never sent before: only such an answer says what time it is."""
        if self._clock.estimate().state is ClockState.UNSET:
            self._add(lambda store: store.tell_clock())

    @property
    def waiting(self) -> bool:
        """Whether there is something that the disk has not taken."""
        return bool(self._steps) or self._recorder.lost is not None

    def critical(self) -> None:
        """Commit everything now, and seal what is critical."""
        self._critical = True
        self._wake.set()

    def urgent(self) -> None:
        """An open batch has grown large: commit and seal it now."""
        self._wake.set()

    async def flush(self) -> None:
        """Commit and seal everything; raises `StoreError` when the disk does not take it."""
        self._collect(seal_all=True)
        await self._work()
        if self._recorder.lost is not None:  # the disk takes samples again: what it cost can be accounted for
            self._collect(seal_all=True)
            await self._work()

    async def run(self) -> None:
        """Commit and seal at their intervals until cancelled; a slow disk holds up nothing but itself."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pace())
            group.create_task(self._drain())

    async def _pace(self) -> None:
        now = self._clock.now()
        commit_at, seal_at, prune_at = now + self._commit_ms, now + self._batch_ms, now + self._prune_ms
        while True:
            await self._sleep(min(commit_at, seal_at) - self._clock.now())
            now = self._clock.now()
            critical, self._critical = self._critical, False
            sealing = now >= seal_at
            if sealing or critical or now >= commit_at or self._oversize():
                self._collect(seal_all=sealing, seal_critical=critical)
                commit_at = now + self._commit_ms
            if sealing:
                seal_at = now + self._batch_ms
            if now >= prune_at:
                prune_at = now + self._prune_ms
                self._add(self._prune)

    async def _drain(self) -> None:
        while True:
            self.progress_at = self._clock.now()
            if not self._steps:
                self._work_waits.clear()
                await wait_for_event(self._work_waits, 1.0)
                continue
            await self._try()

    async def _sleep(self, ms: int) -> None:
        if not self._critical and not self._oversize():
            self._wake.clear()
            await wait_for_event(self._wake, max(ms, 0) / 1000)

    def _oversize(self) -> bool:
        return any(self._recorder.large(name) for name in PRIORITIES)

    def _collect(self, *, seal_all: bool = False, seal_critical: bool = False) -> None:
        """Turn what was recorded into steps for the store."""
        clock = self._clock.estimate()
        behind = bool(self._steps)
        packed = self._recorder.commit()
        blocks = []
        for part in packed:
            if part.begins:
                self._open[part.priority] = clock
            blocks.append(
                Block(
                    priority=Priority(part.priority), clock=self._open[part.priority], samples=part.samples,
                    first_ms=part.first_ms, last_ms=part.last_ms, data=part.data, fresh=part.begins,
                )
            )  # fmt: skip
        if clock.state is not ClockState.UNSET and (
            self._remembered is None or not same_clock(self._remembered, clock)
        ):
            self._remember(clock)
        notes = []
        if self._recorder.lost is not None and not behind:  # one entry for as long as the disk takes nothing
            notes.append(self._ledger(self._recorder.lost, clock))
            self._recorder.lost = None
        ending = [
            name
            for name in self._open
            if seal_all or self._closing(name, clock) or (seal_critical and name == "critical")
        ]
        if blocks or notes or ending or not behind:
            self._commit(blocks, notes, True if seal_all else [Priority(name) for name in ending])
        for name in ending:
            self._recorder.seal(name)
            del self._open[name]
        self._date({block.clock.state for block in blocks}, clock.state, sealing=seal_all)

    def _date(self, states: set[ClockState], state: ClockState, *, sealing: bool) -> None:
        """Have what went out before the time was known dated by a later batch, by one without samples if need be."""
        if states & {ClockState.UNSET, ClockState.SYNCHRONIZED}:
            self._undated = ClockState.SYNCHRONIZED not in states
        if sealing and self._undated and state is ClockState.SYNCHRONIZED:
            self._undated = False
            self._add(lambda store: store.tell_clock())

    def _closing(self, priority: str, clock: Clock) -> bool:
        """Whether the open batch must end: it is large, or the clock has stepped since it began."""
        return not same_clock(self._open[priority], clock) or self._recorder.large(priority)

    def _commit(self, blocks: list[Block], notes: list[LedgerEntry], seal: bool | list[Priority]) -> None:
        """One step, one fsync; what rides in the store goes with it, though there be nothing else."""
        self._add(
            lambda store: store.commit(blocks, seal=seal, notes=notes),
            sum(block.samples for block in blocks),
            sum(len(block.data) for block in blocks),
        )

    def _ledger(self, lost: Lost, clock: Clock) -> LedgerEntry:
        return LedgerEntry(
            boot=clock.boot, from_ms=lost.from_ms, to_ms=lost.to_ms, clock_ms=clock.clock_ms,
            clock_state=clock.state, samples=lost.samples, reason="memory full while the disk took nothing",
        )  # fmt: skip

    def _remember(self, clock: Clock) -> None:
        """Keep the estimate for a restart in the same boot."""
        self._remembered = clock

        def remember(store: Store) -> None:
            store.boot_clock = clock
            store.floor_ms = self._clock.floor_ms

        self._add(remember)

    def _prune(self, store: Store) -> None:
        store.prune(self._clock.utc_ms() - self._history_ms)

    def _add(self, step: Step, samples: int = 0, size: int = 0) -> None:
        size += STEP_BYTES
        self._steps.append((step, samples, size))
        self._recorder.waiting += size
        self._work_waits.set()

    async def _try(self) -> None:
        """Do what is waiting; a disk that does not take it is told of once, and tried again at the next round."""
        try:
            await self._work()
        except StoreCorrupt:  # trying again does not mend a file: the next life sets it aside
            raise
        except StoreError as error:
            if not self.error:
                log.error("buffer: %s; samples wait in memory", error)
            self.error = str(error)
            await asyncio.sleep(RETRY_S)
        else:
            if self.error:
                log.warning("buffer: the disk takes samples again")
            self.error = ""

    async def _work(self) -> None:
        """Do every step that waits; raises `StoreError` at the first that the disk does not take, which stays.

        Whoever waits here may be cancelled: a step that the disk has begun is finished all the same, and done once.
        """
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work_off())
        await asyncio.shield(self._working)

    async def _work_off(self) -> None:
        while self._steps:
            step, samples, size = self._steps[0]
            sealed = await self._thread.call(step)
            self._steps.popleft()
            self._recorder.waiting -= size
            if samples:
                self.counts.commits += 1
                self.counts.committed += samples
                self.counts.last_commit_at = self._clock.now()
            if sealed:
                self.counts.sealed += len(sealed)
                self.on_sealed(sealed)
