"""From memory to the disk: in order, each sample once, whatever the clock and the disk do meanwhile."""

import asyncio
import errno
import itertools
import logging
import random
import shutil
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buffer.batch import Batch
from buffer.block import Block
from buffer.errors import StoreFull
from buffer.header import Clock, ClockState, LedgerEntry, Priority
from buffer.store import Change, Store
from ext import NO_ANSWER, Value
from gateway.keeping import keeper as module
from gateway.keeping.disk import DiskState
from gateway.keeping.recorder import PRIORITIES
from tests.gateway.support import BOOT, GATEWAY, KEY, STORE_BYTES, TRUTH, Parts, bus, by_series, device, samples, until

TEXT = bus() + device("d", "a", "b") + device("e", "alarm priority = 'critical'", "trend priority = 'bulk'", "note")
MIN_STORE = 1_000_000


class Stubborn(Store):
    """A store on a disk that takes nothing while `refuses`, and that waits for `gate` in a commit."""

    refuses: ClassVar[bool] = False
    gate: ClassVar[threading.Event] = threading.Event()
    entered: ClassVar[threading.Event] = threading.Event()

    def commit(
        self, blocks: Sequence[Block], *, seal: bool | Collection[Priority] = False,
        notes: Sequence[LedgerEntry] = (), also: Change | None = None,
    ) -> list[int]:  # fmt: skip
        self._ask()
        Stubborn.entered.set()
        Stubborn.gate.wait(20)
        return super().commit(blocks, seal=seal, notes=notes, also=also)

    def seal(self, priority: Priority | None = None) -> list[int]:
        self._ask()
        return super().seal(priority)

    def note(self, entry: LedgerEntry) -> None:
        self._ask()
        super().note(entry)

    def _ask(self) -> None:
        if Stubborn.refuses:
            raise StoreFull(errno.ENOSPC, "No space left on device", "buffer.db")


@pytest.fixture(autouse=True)
def willing() -> None:
    """The disk takes everything at first."""
    Stubborn.refuses = False
    Stubborn.gate.set()
    Stubborn.entered.clear()


@asynccontextmanager
async def parts(folder: Path, **options: Any) -> AsyncIterator[Parts]:
    """Recorder, keeper and store, closed afterwards."""
    made = await asyncio.to_thread(lambda: Parts(folder, TEXT, **options))
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def running(made: Parts) -> AsyncIterator[None]:
    """The keeper at its work."""
    task = asyncio.ensure_future(made.keeper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_samples_are_committed_at_their_interval_and_batches_sealed_at_theirs(tmp_path: Path) -> None:
    async with parts(tmp_path, commit_ms=30, batch_ms=200) as made:
        sealed: list[list[int]] = []
        made.keeper.on_sealed = lambda numbers, _: sealed.append(numbers)

        async def pass_time() -> None:
            for value in itertools.count():
                made.hand.boot += 10
                made.recorder.value("d/a", value)
                await asyncio.sleep(0.005)

        ticking = asyncio.ensure_future(pass_time())
        async with running(made):
            await until(lambda: made.keeper.counts.sealed >= 3)
            ticking.cancel()
        await made.keeper.flush()
        assert made.keeper.counts.committed == made.recorder.samples
        assert made.keeper.counts.commits > made.keeper.counts.sealed >= 3
        assert not made.keeper.waiting
        batches = await asyncio.to_thread(made.batches)
        assert [batch.header.number for batch in batches] == [number for part in sealed for number in part]
        values = by_series(batches)[made.numbers["d/a"]]
        assert [value for _, value, _ in values] == list(range(made.recorder.samples))


def _sealed(made: Parts, count: int) -> bool:
    return made.keeper.counts.sealed >= count


async def test_without_intervals_each_scan_is_a_commit_and_a_batch(tmp_path: Path) -> None:
    async with parts(tmp_path, commit_ms=0, batch_ms=0) as made, running(made):
        made.recorder.on_packed = made.keeper.packed
        for value in range(5):
            made.recorder.value("d/a", value)
            made.recorder.value("d/b", value)
            await until(partial(_sealed, made, value + 1))
        batches = await asyncio.to_thread(made.batches)
        assert [batch.header.samples for batch in batches] == [2] * 5
        commits = made.keeper.counts.commits
        made.hand.boot += 10_000
        await asyncio.sleep(0.1)
        assert made.keeper.counts.commits == commits, "nothing is written while nothing is sampled"


async def test_a_critical_sample_commits_everything_at_once_and_seals_what_is_critical(tmp_path: Path) -> None:
    async with parts(tmp_path, commit_ms=600_000, batch_ms=600_000) as made, running(made):
        made.recorder.value("d/a", 1)
        await asyncio.sleep(0)
        made.recorder.value("e/alarm", 2)
        await until(lambda: made.keeper.counts.sealed)
        assert made.keeper.counts.committed == 2
        assert await made.thread.call(lambda store: store.open_samples) == 1
        (batch,) = await asyncio.to_thread(made.batches)
        assert batch.header.priority is Priority.CRITICAL
        assert samples(batch) == [(made.numbers["e/alarm"], 1_000, 2, 0)]


async def test_a_batch_that_grows_large_is_sealed_at_once(tmp_path: Path) -> None:
    async with parts(tmp_path, commit_ms=600_000, batch_ms=600_000) as made, running(made):
        for number in range(200):
            made.recorder.value("e/note", noise(number))  # nothing to pack
            await asyncio.sleep(0.001)
        await until(lambda: made.keeper.counts.sealed >= 3)
        batches = await asyncio.to_thread(made.batches)
        assert all(sum(len(block) for block in batch.blocks) < 64_000 for batch in batches)


CHANGES: dict[str, Callable[[Parts], None]] = {
    "step": lambda made: setattr(made.hand, "wall", TRUTH + 101),
    "step back": lambda made: setattr(made.hand, "wall", TRUTH - 5_000),
    "state": lambda made: setattr(made.hand, "sync", False),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_of_the_clock_ends_the_batch_and_the_next_one_decodes_alone(tmp_path: Path, name: str) -> None:
    async with parts(tmp_path) as made:
        for value in (7, 7, 8):
            made.recorder.value("d/a", value)
            await made.commit()
        CHANGES[name](made)
        await made.commit()
        for value in (8, 9):
            made.recorder.value("d/a", value)
            await made.commit()
        await made.keeper.flush()
        first, second = await asyncio.to_thread(made.batches)
        number = made.numbers["d/a"]
        assert [value for _, _, value, _ in samples(first)] == [7, 7, 8]
        assert samples(second) == [(number, 1_000, 8, 0), (number, 1_000, 9, 0)]
        assert (first.header.clock_ms, first.header.clock_state) == (TRUTH, ClockState.SYNCHRONIZED)
        now = made.clock.estimate()
        assert (second.header.clock_ms, second.header.clock_state) == (now.clock_ms, now.state)
        assert first.header.boot == second.header.boot == BOOT


async def test_jitter_of_the_clock_ends_nothing(tmp_path: Path) -> None:
    async with parts(tmp_path) as made:
        for value in range(5):
            made.hand.wall = TRUTH + 20 * value
            made.recorder.value("d/a", value)
            await made.commit()
        await made.keeper.flush()
        assert len(await asyncio.to_thread(made.batches)) == 1


async def test_a_known_clock_is_kept_for_a_restart_in_the_same_boot(tmp_path: Path) -> None:
    async with parts(tmp_path) as made:
        made.recorder.value("d/a", 1)
        await made.commit()
        kept = await made.thread.call(lambda store: store.boot_clock)
        assert kept == Clock(BOOT, TRUTH, ClockState.SYNCHRONIZED)


async def test_a_disk_that_takes_nothing_is_told_of_once_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.02)
    async with parts(tmp_path, kind=Stubborn, commit_ms=20, batch_ms=100) as made, running(made):
        expected: list[Value] = []

        async def record(count: int) -> None:
            for _ in range(count):
                made.hand.boot += 10
                expected.append(len(expected))
                made.recorder.value("d/a", len(expected) - 1)
                await asyncio.sleep(0.002)

        await record(30)
        Stubborn.refuses = True
        await record(100)
        await until(lambda: made.keeper.disk.error)
        assert "No space left" in made.keeper.disk.error
        assert made.keeper.disk.state is DiskState.REFUSES
        assert made.keeper.waiting
        Stubborn.refuses = False
        await record(30)
        await until(lambda: made.keeper.disk.state is DiskState.OK)
        await made.keeper.flush()
        values = by_series(await asyncio.to_thread(made.batches))[made.numbers["d/a"]]
        assert [value for _, value, _ in values] == expected
        assert made.keeper.waiting_samples == 0
        await until(lambda: made.keeper.waiting_bytes == 0)  # chores go on
        told = [record for record in caplog.records if record.name == "gateway.keeping.disk"]
        assert [record.levelno for record in told] == [logging.ERROR, logging.WARNING]


def noise(seed: int, size: int = 1_000) -> bytes:
    """Bytes that cannot be packed."""
    return random.Random(seed).randbytes(size)


def lost_in(batches: Sequence[Batch]) -> list[LedgerEntry]:
    """Every entry of the ledger, in the order of the batches."""
    return [entry for batch in batches for entry in batch.header.ledger]


async def test_what_memory_could_not_hold_is_the_oldest_and_in_the_ledger_by_time_and_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with parts(tmp_path, kind=Stubborn, memory=module.OPEN_BYTES + 200_000) as made:
        Stubborn.refuses = True
        for value in range(1_000):
            made.hand.boot += 10
            made.recorder.value("e/note", noise(value))
        with pytest.raises(StoreFull):
            await made.commit()
        lost = made.keeper.losses.samples
        assert 600 < lost < 900
        assert made.keeper.waiting_bytes < module.OPEN_BYTES + 200_000
        Stubborn.refuses = False
        await made.keeper.flush()
        batches = await asyncio.to_thread(made.batches)
        kept = by_series(batches)[made.numbers["e/note"]]
        assert [value for _, value, _ in kept] == [noise(value) for value in range(lost, 1_000)]
        assert [(e.samples, e.from_ms, e.to_ms, e.boot, e.clock_ms) for e in lost_in(batches)] == [
            (lost, 1_010, kept[0][0] - 10, BOOT, TRUTH)
        ]
        assert not made.keeper.waiting
        told = [record.levelno for record in caplog.records if record.name == "gateway.keeping.keeper"]
        assert told == [logging.ERROR, logging.WARNING]


async def test_bulk_goes_before_normal_and_normal_before_critical(tmp_path: Path) -> None:
    async with parts(tmp_path, kind=Stubborn, memory=module.OPEN_BYTES + 300_000) as made:
        Stubborn.refuses = True
        counts = {"e/trend": 100, "e/note": 300, "e/alarm": 50}  # bulk, normal, critical: 1 kB each

        def record(name: str) -> None:
            for number in range(counts[name]):
                made.hand.boot += 10
                made.recorder.value(name, noise(number))
            made.keeper._collect()

        record("e/alarm")
        record("e/trend")
        assert made.keeper.losses.samples == 0
        record("e/note")
        Stubborn.refuses = False
        await made.keeper.flush()
        batches = await asyncio.to_thread(made.batches)
        kept = {name: len(by_series(batches).get(made.numbers[name], ())) for name in counts}
        gone = {entry.reason.split()[-2]: entry.samples for entry in lost_in(batches)}
        assert kept["e/alarm"] == 50
        assert kept["e/trend"] == 0
        assert gone == {"bulk": 100, "normal": 300 - kept["e/note"]}
        assert 100 < kept["e/note"] < 300


async def test_a_disk_that_is_gone_for_days_costs_bounded_memory(tmp_path: Path) -> None:
    """Days of seals, clock steps and prunings, and not a sample more than memory holds."""
    limit = module.OPEN_BYTES + 25_000
    async with parts(tmp_path, kind=Stubborn, memory=limit, batch_ms=10_000) as made:
        Stubborn.refuses = True
        for step in range(6_000):
            made.hand.boot += 60_000
            made.hand.wall += 200 * (step % 2)
            made.recorder.value("d/a", step)
            made.recorder.value("e/alarm", step)
            made.keeper._collect(seal=PRIORITIES)
            made.keeper.ask_time()
            assert made.keeper.waiting_bytes <= limit
        Stubborn.refuses = False
        await made.keeper.flush()
        lost = made.keeper.losses.samples
        batches = await asyncio.to_thread(made.batches)
        found = by_series(batches)
        assert {e.samples for e in lost_in(batches)} == {6_000, lost - 6_000}  # normal, critical
        assert sum(map(len, found.values())) == 12_000 - lost
        assert found[made.numbers["e/alarm"]][-1][1] == 5_999


async def test_the_bytes_that_wait_are_counted_as_they_are(tmp_path: Path) -> None:
    """What Python really took for many small blocks and for few large ones."""
    async with parts(tmp_path, kind=Stubborn, size=32_000_000) as made:
        for count, size in ((3_000, 1), (200, 5_000)):
            before_bytes = made.keeper.waiting_bytes
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for number in range(count):
                made.hand.boot += 10
                made.recorder.value("d/a", noise(number, size))
                made.keeper._collect(seal=("normal",) if number % 10 == 0 else ())
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            counted = made.keeper.waiting_bytes - before_bytes
            assert 0.5 * counted < after - before < counted


async def test_a_full_store_takes_the_newest_and_accounts_for_the_oldest(tmp_path: Path) -> None:
    """A real store of the smallest size, twice as much as it holds."""
    async with parts(tmp_path, size=MIN_STORE) as made:
        expected: list[Value] = []
        for _ in range(50):
            for _ in range(20):
                made.hand.boot += 1
                expected.append(random.Random(len(expected)).randbytes(2_000))
                made.recorder.value("e/note", expected[-1])
                if made.recorder.large("normal"):
                    made.keeper._collect()
            await made.commit()
        await made.keeper.flush()
        batches = await asyncio.to_thread(made.batches)
        found = [value for batch in batches for _, _, value, _ in samples(batch)]
        assert found == expected[-len(found) :]
        assert len(found) > 200
        assert sum(batch.header.lost for batch in batches) == len(expected) - len(found)


async def test_a_commit_that_the_disk_has_begun_is_done_once_though_the_agent_stops(tmp_path: Path) -> None:
    async with parts(tmp_path, kind=Stubborn, commit_ms=10) as made:
        Stubborn.gate.clear()
        made.recorder.value("d/a", 1)
        async with running(made):
            made.hand.boot += 20
            made.keeper.critical()
            await until(Stubborn.entered.is_set)
            made.recorder.value("d/a", 2)
        flushing = asyncio.ensure_future(made.keeper.flush())
        await asyncio.sleep(0)
        Stubborn.gate.set()
        await flushing
        values = by_series(await asyncio.to_thread(made.batches))[made.numbers["d/a"]]
        assert values == [(1_000, 1, 0), (1_020, 2, 0)]
        assert made.keeper.counts.committed == made.recorder.samples == 2


async def test_two_that_flush_at_once_commit_once(tmp_path: Path) -> None:
    async with parts(tmp_path) as made:
        made.recorder.value("d/a", 1)
        await asyncio.gather(made.keeper.flush(), made.keeper.flush())
        assert by_series(await asyncio.to_thread(made.batches)) == {made.numbers["d/a"]: [(1_000, 1, 0)]}


async def test_a_disk_that_stalls_holds_up_nobody_and_shows_as_no_progress(tmp_path: Path) -> None:
    async with parts(tmp_path, kind=Stubborn, commit_ms=10) as made, running(made):
        Stubborn.gate.clear()
        made.recorder.value("d/a", 1)
        made.hand.boot += 20
        made.keeper.critical()
        await until(Stubborn.entered.is_set)
        stalled_at = made.keeper.progress_at
        made.hand.boot += 400_000
        await asyncio.sleep(0.05)
        assert made.keeper.progress_at == stalled_at
        assert made.keeper.disk.state is DiskState.STALLS
        assert made.keeper.disk.error == "the disk has not answered for 400 s"
        Stubborn.gate.set()
        await until(lambda: made.keeper.progress_at > stalled_at)
        assert not made.keeper.disk.error


async def test_a_stall_is_told_of_once_and_what_came_meanwhile_is_one_commit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Thirty seconds of a card that does not answer: nothing lost, and memory is not filled with small steps."""
    async with parts(tmp_path, kind=Stubborn, commit_ms=10, batch_ms=1_000) as made:
        Stubborn.gate.clear()
        made.recorder.value("d/a", 0)
        made.keeper._collect()
        work = asyncio.ensure_future(made.keeper._work())
        await until(Stubborn.entered.is_set)
        async with running(made):
            for value in range(1, 300):
                made.hand.boot += 100
                made.recorder.value("d/a", value)
                made.keeper.disk.watch()
                await asyncio.sleep(0)
            assert made.keeper.waiting_samples == 300
            Stubborn.gate.set()
            await work
            await until(lambda: made.keeper.counts.committed == 300)
        assert made.keeper.counts.commits == 2
        told = [
            (record.levelno, record.getMessage()) for record in caplog.records if record.name == "gateway.keeping.disk"
        ]
        assert told == [
            (logging.ERROR, "buffer: the disk has not answered for 3 s; samples wait in memory"),
            (logging.WARNING, "buffer: the disk takes samples again, after 29 s"),
        ]


class Slow(Store):
    """Each commit waits a second for the disk, as an fsync does: in C, without the interpreter's lock."""

    def commit(
        self, blocks: Sequence[Block], *, seal: bool | Collection[Priority] = False,
        notes: Sequence[LedgerEntry] = (), also: Change | None = None,
    ) -> list[int]:  # fmt: skip
        time.sleep(1)
        return super().commit(blocks, seal=seal, notes=notes, also=also)


async def test_a_stalling_disk_does_not_hold_up_the_event_loop(tmp_path: Path) -> None:
    """Never over 20 ms while a commit stalls for a second; a busy machine has three tries."""
    async with parts(tmp_path, kind=Slow, commit_ms=50, batch_ms=200) as made, running(made):
        for _ in range(3):
            latest = 0.0
            ends = time.monotonic() + 1.5
            while (now := time.monotonic()) < ends:
                made.hand.boot += 1
                made.recorder.value("d/a", made.hand.boot)
                await asyncio.sleep(0.001)
                latest = max(latest, time.monotonic() - now - 0.001)
            if latest < 0.02:
                break
        else:
            pytest.fail(f"the loop was blocked for {latest * 1000:.0f} ms in each of three tries")
        assert made.keeper.counts.commits >= 1


# Whatever happens -----------------------------------------------------------------------------------------------------

WORDS = st.binary(max_size=40) | st.text(max_size=10) | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False)
STEPS = st.one_of(
    st.tuples(st.just("scan"), st.lists(st.integers(-(2**15), 2**15 - 1), min_size=3, max_size=3)),
    st.tuples(st.just("value"), st.sampled_from(["d/a", "e/note", "e/alarm", "e/trend"]), WORDS),
    st.tuples(st.just("fail"), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.integers(0, 5_000)),
    st.tuples(st.just("wall"), st.sampled_from([-10_000, -101, -50, 50, 101, 10_000])),
    st.tuples(st.just("sync"), st.booleans()),
    st.tuples(st.just("refuse"), st.booleans()),
    st.tuples(st.just("commit")),
    st.tuples(st.just("flush")),
)


class Play:
    """Does steps, and keeps its own book of what was recorded."""

    def __init__(self, made: Parts) -> None:
        self.made = made
        self.book: dict[int, list[tuple[int, Value, int]]] = {}

    def enter(self, point: str, value: Value, quality: int = 0) -> None:
        """A sample that must be found again."""
        self.book.setdefault(self.made.numbers[point], []).append((self.made.hand.boot, value, quality))

    async def do(self, what: str, *words: Any) -> None:
        """One step."""
        made, read = self.made, self.made.reads()
        if what == "scan":
            values = words[0]
            names = [name for name, _ in read[1].points]
            made.recorder.scan(read[1], b"".join(value.to_bytes(2, "big", signed=True) for value in values))
            for name, value in zip(names, values, strict=True):
                self.enter(name, value)
        elif what == "value":
            made.recorder.value(*words)
            self.enter(*words)
        elif what == "fail":
            made.recorder.fail(read[words[0]], NO_ANSWER)
            for name, _ in read[words[0]].points:
                self.enter(name, None, NO_ANSWER)
        elif what == "wait":
            made.hand.boot += words[0]
        elif what == "wall":
            made.hand.wall += words[0]
        elif what == "sync":
            made.hand.sync = words[0]
        elif what == "refuse":
            Stubborn.refuses = words[0]
        else:
            await self.ask(made.keeper.flush() if what == "flush" else made.commit())

    async def ask(self, work: Coroutine[Any, Any, None]) -> None:
        """Work that the disk may refuse."""
        try:
            await work
        except StoreFull:
            assert Stubborn.refuses


@pytest.fixture(scope="module")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store to copy: making one takes a process."""
    path = tmp_path_factory.mktemp("store") / "buffer.db"
    Store.open(path, GATEWAY, KEY, BOOT, size_limit=STORE_BYTES).close()
    return path


@settings(max_examples=80, deadline=None)
@given(steps=st.lists(STEPS, max_size=25))
def test_whatever_happens_the_batches_hold_what_was_recorded(new_store: Path, steps: list[tuple[Any, ...]]) -> None:
    async def check(scene: Play) -> None:
        made = scene.made
        assert made.keeper.counts.committed == made.recorder.samples == sum(map(len, scene.book.values()))
        assert by_series(made.batches()) == scene.book

    play(new_store, steps, check)


@settings(max_examples=80, deadline=None)
@given(steps=st.lists(STEPS, min_size=10, max_size=60))
def test_whatever_happens_what_is_missing_is_in_the_ledger_exactly(
    new_store: Path, steps: list[tuple[Any, ...]]
) -> None:
    """With memory for about two batches: each sample of a point is kept, or lies within an entry of its priority."""

    async def check(scene: Play) -> None:
        batches = scene.made.batches()
        found, entries = by_series(batches), lost_in(batches)
        missing: Counter[str] = Counter()
        for name, number in scene.made.numbers.items():
            kept, priority = Counter(map(repr, found.get(number, ()))), scene.made.points[name].priority
            spans = [(entry.from_ms, entry.to_ms or 0) for entry in entries if f": {priority} " in entry.reason]
            for sample in scene.book.get(number, ()):
                if kept[repr(sample)]:
                    kept[repr(sample)] -= 1
                    continue
                missing[priority] += 1
                assert any(first <= sample[0] <= last for first, last in spans), (name, sample, entries)
            assert not +kept
        for level in PRIORITIES:
            assert missing[level] == sum(e.samples or 0 for e in entries if f": {level} " in e.reason)

    play(new_store, steps, check, memory=module.OPEN_BYTES + 5_000)


def play(
    new_store: Path, steps: list[tuple[Any, ...]], check: Callable[[Play], Coroutine[Any, Any, None]], **options: Any
) -> None:
    """Do the steps, have the disk take everything, and `check`."""

    async def main(folder: Path) -> None:
        async with parts(folder, kind=Stubborn, **options) as made:
            scene = Play(made)
            for step in steps:
                await scene.do(*step)
            Stubborn.refuses = False
            await made.keeper.flush()
            assert not made.keeper.waiting
            assert made.keeper.waiting_bytes == 0
            await check(scene)

    Stubborn.refuses = False
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(new_store, folder)
        asyncio.run(main(Path(folder)))
