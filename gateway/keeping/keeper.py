"""Moves samples from memory to the disk: commits at intervals, seals batches, outlasts a disk that takes nothing."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from buffer.block import Block, same_clock
from buffer.catalogue import SeriesDefinition
from buffer.delivery import critical
from buffer.errors import StoreCorrupt, StoreError
from buffer.header import Clock, ClockState, Priority
from buffer.store import Change, Store
from buffer.thread import StoreThread
from gateway.clock import AgentClock
from gateway.events import wait_for_event
from gateway.keeping.disk import Disk
from gateway.keeping.losses import Losses
from gateway.keeping.recorder import LARGE_BYTES, PRIORITIES, Recorder
from gateway.keeping.waiting import Action, Step, Waiting

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_S = 1.0
HOUR_MS = 3_600_000
IDLE_MS = 1000
"""Where each scan is committed at once: how often it is looked whether something else is due."""
PRUNE_MIN_MS, PRUNE_MAX_MS = 60_000, 3_600_000
"""Delivered history goes in bulk, a 24th of it at a time: whole pages are freed by one write."""
MEMORY_BYTES = 8 * 1024 * 1024
"""What samples may take in memory while the disk takes nothing: 8 MiB of a Pi's 512, a day of a small installation."""
OPEN_BYTES = len(PRIORITIES) * (LARGE_BYTES + 32 * 1024)
"""Of it, for the batches that are still being packed: each with one longest text over its mark."""


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
        memory: int = MEMORY_BYTES,
    ) -> None:
        self._thread = thread
        self._recorder = recorder
        self._clock = clock
        self._commit_ms = commit_ms
        self.batch_ms = batch_ms
        """How often batches are sealed."""
        self._catalogues = 0
        self._history_ms = history_ms
        self._prune_ms = min(max(history_ms // 24, PRUNE_MIN_MS), PRUNE_MAX_MS)
        self._steps = Waiting()
        self._open: dict[str, Clock] = {}
        self._wake = asyncio.Event()
        self._work_waits = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._critical = False
        self._packed = False
        self._remembered: Clock | None = None
        self._undated = False
        self._given_up = 0
        self.memory = memory
        """Bytes that samples may take in memory."""
        self.losses = Losses()
        self.disk = Disk(clock.now)
        self.counts = Counts()
        self.progress_at = clock.now()
        self.hourly: Action = lambda _: None
        self.stretch: Callable[[int], int] = lambda batch_ms: batch_ms
        """How long the next batch is, in ms, where so much is configured."""
        self.on_sealed: Callable[[list[int], frozenset[int]], None] = lambda _numbers, _critical: None
        """Told of the batches that were sealed, and which of them are critical."""
        self.on_catalogue: Callable[[int], None] = lambda _: None
        """Told of the number of a catalogue that was sealed while the agent runs."""

    def rename(self, definitions: Sequence[SeriesDefinition]) -> None:
        """End all batches; what is recorded from now on is of the series `definitions`, whose numbers are known."""
        self._collect(seal=PRIORITIES)
        self._catalogues += 1
        loop = asyncio.get_running_loop()

        def assign(store: Store) -> None:
            store.assign(definitions)
            number = None if store.catalogue_hash is None else store.find(store.catalogue_hash)
            if number is not None:
                loop.call_soon_threadsafe(self.on_catalogue, number)

        self._chore(f"catalogue {self._catalogues}", assign)

    def ask_time(self) -> None:
        """Have the platform answer a batch that was never sent before: only such an answer says what time it is."""
        if self._clock.estimate().state is ClockState.UNSET:
            self.ask_answer()

    def ask_answer(self) -> None:
        """Have the platform answer a batch that was never sent before."""
        self._chore("tell clock", lambda store: store.tell_clock())

    @property
    def waiting(self) -> bool:
        """Whether there is something that the disk has not taken."""
        return bool(self._steps) or bool(self.losses)

    @property
    def waiting_bytes(self) -> int:
        """What is packed and not on the disk, as it counts against `memory`."""
        return self._steps.size + self._recorder.pending_bytes

    @property
    def waiting_samples(self) -> int:
        """What is sampled and not on the disk."""
        return self._steps.samples + self._recorder.pending

    def critical(self) -> None:
        """Commit everything now, and seal what is critical."""
        self._critical = True
        self._wake.set()

    def packed(self) -> None:
        """Samples were packed: where nothing is to be waited for, they are committed now."""
        if not self._commit_ms:
            self._packed = True
            self._wake.set()

    def large(self, priority: str) -> None:
        """The open batch of `priority` has grown large: it ends now, and the packer is free at once."""
        self._collect(seal=(priority,))

    def commit_with(self, record: Callable[[], None], also: Change) -> None:
        """Commit what `record` records, one critical sample, and do `also`, in one transaction."""
        if not self._recorder.calm(Priority.CRITICAL):
            self._collect(seal=(Priority.CRITICAL,))  # a new batch has room: the sample does not end up before `also`
        record()
        self._collect(seal=(Priority.CRITICAL,), also=also)

    async def flush(self) -> None:
        """Commit and seal everything; raises `StoreError` when the disk does not take it."""
        self._collect(seal=PRIORITIES)
        await self._work()

    async def run(self) -> None:
        """Commit and seal at their intervals until cancelled; a slow disk holds up nothing but itself."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pace())
            group.create_task(self._drain())

    async def _pace(self) -> None:
        now = self._clock.now()
        every_ms = self._commit_ms or IDLE_MS
        commit_at, seal_at, prune_at = now + every_ms, now + self.stretch(self.batch_ms), now + self._prune_ms
        hour_at = now + HOUR_MS
        while True:
            with_each = not self.stretch(self.batch_ms)
            await self._sleep((commit_at if with_each else min(commit_at, seal_at)) - self._clock.now())
            self.disk.watch()
            if self._steps and not self._clock_stepped():
                continue  # the disk is behind: what is packed together takes the least memory
            now = self._clock.now()
            alarmed, self._critical = self._critical, False
            packed, self._packed = self._packed, False
            committing = alarmed or packed or now >= commit_at or self._clock_stepped()
            sealing = committing if with_each else now >= seal_at
            if sealing or committing:
                self._collect(seal=PRIORITIES if sealing else ("critical",) if alarmed else ())
                commit_at = now + every_ms
            if sealing:
                seal_at = now + self.stretch(self.batch_ms)
            if now >= prune_at:
                prune_at = now + self._prune_ms
                self._chore("prune", self._prune)
            if now >= hour_at:
                hour_at = now + HOUR_MS
                self._chore("hourly", self.hourly)

    async def _drain(self) -> None:
        while True:
            self.progress_at = self._clock.now()
            if not self._steps:
                self._work_waits.clear()
                await wait_for_event(self._work_waits, 1.0)
                continue
            await self._try()

    async def _sleep(self, ms: int) -> None:
        """Sleep until it is time; while the disk is behind, until it is not, but no longer than a second."""
        if self._steps:
            self._wake.clear()
            await wait_for_event(self._wake, 1.0)
        elif not (self._critical or self._packed):
            self._wake.clear()
            await wait_for_event(self._wake, max(ms, 0) / 1000)

    def _clock_stepped(self) -> bool:
        """Whether samples must not go on into a batch that is open."""
        clock = self._clock.estimate()
        return any(not same_clock(begun, clock) for begun in self._open.values())

    def _collect(self, *, seal: Sequence[str] = (), also: Change | None = None) -> None:
        """Turn what was recorded into steps for the store, and end the batches of `seal`."""
        clock = self._clock.estimate()
        blocks = self._blocks(clock)
        if clock.state is not ClockState.UNSET and (
            self._remembered is None or not same_clock(self._remembered, clock)
        ):
            self._remember(clock)
        ending = [name for name in self._open if name in seal or not same_clock(self._open[name], clock)]
        sealing = len(seal) == len(PRIORITIES)
        self._commit(blocks, ending, account=sealing, also=also)
        for name in ending:
            self._end(name)
        self._date({block.clock.state for block in blocks}, clock.state, sealing=sealing)
        self._make_room()

    def _commit(self, blocks: list[Block], ending: list[str], *, account: bool, also: Change | None = None) -> None:
        """One step, one fsync; what rides in the store goes with it, though there be nothing else."""
        closing = True if account else [Priority(name) for name in ending]
        if blocks or also is not None:
            self._steps.commit(blocks, closing, also)
            self._work_waits.set()
        else:
            self._chore(f"commit {' '.join(ending) or account}", lambda store: store.commit([], seal=closing))

    def _blocks(self, clock: Clock) -> list[Block]:
        blocks = []
        for part in self._recorder.commit():
            if part.begins:
                self._open[part.priority] = clock
            blocks.append(
                Block(
                    priority=Priority(part.priority), clock=self._open[part.priority], samples=part.samples,
                    first_ms=part.first_ms, last_ms=part.last_ms, data=part.data, fresh=part.begins,
                )
            )  # fmt: skip
        return blocks

    def _make_room(self) -> None:
        """Give up the oldest samples of the lowest priority until the rest fits into memory: the store's own rule."""
        while self._steps.size > self.memory - OPEN_BYTES and (run := self._steps.give_up()) is not None:
            if not self._given_up:
                log.error("memory for samples is full: the oldest of the lowest priority are given up and counted")
            for block in run.blocks:
                self._given_up += block.samples
                self.losses.add(block)
            if run.open and run.blocks[0].priority in self._open:  # what follows must not need what is gone
                self._end(run.blocks[0].priority)

    def _date(self, states: set[ClockState], state: ClockState, *, sealing: bool) -> None:
        """Have what went out before the time was known dated by a later batch, by one without samples if need be."""
        if states & {ClockState.UNSET, ClockState.SYNCHRONIZED}:
            self._undated = ClockState.SYNCHRONIZED not in states
        if sealing and self._undated and state is ClockState.SYNCHRONIZED:
            self._undated = False
            self._chore("tell clock", lambda store: store.tell_clock())

    def _end(self, priority: str) -> None:
        """What is recorded from now on begins a batch, and needs nothing of what was before."""
        self._recorder.seal(priority)
        del self._open[priority]

    def _remember(self, clock: Clock) -> None:
        """Keep the estimate for a restart in the same boot."""
        self._remembered = clock

        def remember(store: Store) -> None:
            store.boot_clock = clock
            store.floor_ms = self._clock.floor_ms

        self._chore("remember", remember)

    def _prune(self, store: Store) -> None:
        store.prune(self._clock.trusted_ms() - self._history_ms)

    def _chore(self, name: str, action: Action) -> None:
        self._steps.chore(name, action)
        self._work_waits.set()

    async def _try(self) -> None:
        """Do what is waiting; what the disk does not take is tried again at the next round."""
        try:
            await self._work()
        except StoreCorrupt:  # trying again does not mend a file: the next life sets it aside
            raise
        except StoreError:
            await asyncio.sleep(RETRY_S)

    async def _work(self) -> None:
        """Do every step that waits; raises `StoreError` at the first that the disk does not take, which stays.

        Whoever waits here may be cancelled: a step that the disk has begun is finished all the same, and done once.
        """
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work_off())
        await asyncio.shield(self._working)

    async def _work_off(self) -> None:
        while self._steps:
            while self.losses:  # before anything newer: no cut may leave a gap that nobody knows of
                await self._note()
            await self._do()
        if self._given_up:
            log.warning("memory holds all samples again: %d were given up, the ledger has them", self._given_up)
            self._given_up = 0
        self._wake.set()

    async def _note(self) -> None:
        priority, entry = self.losses.take()
        try:
            await self._call(lambda store: store.note(entry))
        except BaseException:  # whatever it was, the entry is not in the ledger
            self.losses.give_back(priority, entry)
            raise

    async def _do(self) -> None:
        step = self._steps.begin()
        try:
            sealed, urgent = await self._call(lambda store: _sealed(step, store))
        except BaseException:  # whatever it was, the step is not done
            self._steps.refused()
            raise
        self._steps.done()
        if step.samples:
            self.counts.commits += 1
            self.counts.committed += step.samples
            self.counts.last_commit_at = self._clock.now()
        if sealed:
            self.counts.sealed += len(sealed)
            self.on_sealed(sealed, urgent)

    async def _call(self, action: Callable[[Store], T]) -> T:
        self.disk.asked()
        try:
            result = await self._thread.call(action)
        except StoreError as error:
            self.disk.refused(str(error))
            raise
        self.disk.took()
        self.progress_at = self._clock.now()
        return result


def _sealed(step: Step, store: Store) -> tuple[list[int], frozenset[int]]:
    sealed = step.do(store)
    return sealed, store.ask(lambda db: critical(db, sealed)) if sealed else frozenset()
