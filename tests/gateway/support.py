"""What the tests of `gateway` share: clocks, drivers that do as they are told, and the parts put together."""

import asyncio
import atexit
import os
import selectors
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer.batch import Batch, decode
from buffer.cose import Kind
from buffer.keys import SigningKey
from buffer.reader import Reader
from buffer.store import Store
from buffer.thread import StoreThread
from config import load
from drivers.base import BusSetup, Driver, ListeningDriver, Options, PolledDriver, Read, Sink
from drivers.setup import prepare
from ext import Layout, Value, unpack
from gateway.agent import Agent
from gateway.clock import AgentClock
from gateway.keeping import series
from gateway.keeping.keeper import MEMORY_BYTES, Keeper
from gateway.keeping.recorder import Recorder
from gateway.setup.installation import Installation, Keys

T = TypeVar("T")
D = TypeVar("D", bound=Driver)

BOOT = bytes(range(16))
TRUTH = 1_790_000_000_000
"""utc_ms when the box was switched on"""
GATEWAY, SITE = "gw-1", "test"
HEAD = (
    f'[gateway]\nid = "{GATEWAY}"\nsite = "{SITE}"\nkey = "batch.key"\n[buffer]\npath = "buffer.db"\ncommit = "100ms"\n'
)
KEY = SigningKey(Ed25519PrivateKey.generate())
PUBLIC = KEY.public(GATEWAY, SITE, "batch")
STORE_BYTES = 8_000_000
WAIT_S = 20.0

Sample = tuple[int, int, Value, int]


def in_memory() -> Path:
    """A new folder in memory where there is some: nothing here cuts the power, so no sync need wait for a disk."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="lamppost-", dir=memory if os.access(memory, os.W_OK) else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@dataclass
class Hand:
    """A clock that is set by hand."""

    boot: int = 1_000
    wall: int = TRUTH
    sync: bool = True

    def boot_ms(self) -> int:
        return self.boot

    def utc_ms(self) -> int:
        return self.wall + self.boot

    def synchronized(self) -> bool:
        return self.sync


class Keys16(Options):
    """The only option of a bus, device or point here: anything, to tell them apart."""

    tag: int = 0


class Asked(PolledDriver):
    """Points of a device are int16, one after the other; `answer`, `opening` and `closing` are the test's."""

    BusOptions = DeviceOptions = PointOptions = Keys16

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self.answer: Callable[[Read], Awaitable[bytes]] = self.zeros
        self.opening: Callable[[], None] = lambda: None
        self.closing: Callable[[], None] = lambda: None
        self.opened = self.closed = 0
        self.asked: list[Read] = []

    def reads(self) -> Sequence[Read]:
        return [
            Read(
                device.device.id,
                tuple((point.point.id, Layout(2 * index, "int16")) for index, point in enumerate(device.points)),
                every=device.device.every or 1000,
            )
            for device in self.setup.devices
        ]

    async def open(self) -> None:
        self.opened += 1
        self.opening()

    async def close(self) -> None:
        self.closed += 1
        self.closing()

    async def read(self, read: Read) -> bytes:
        self.asked.append(read)
        return await self.answer(read)

    async def zeros(self, read: Read) -> bytes:
        """An answer of zeros."""
        return bytes(2 * len(read.points))

    def replay(self, recording: str, sink: Sink) -> None:
        """Nothing to replay."""


class Heard(ListeningDriver):
    """Runs `script` with the sink, then listens to nothing."""

    BusOptions = DeviceOptions = PointOptions = Keys16

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self.script: Callable[[Sink], Awaitable[None]] | None = None

    def reads(self) -> Sequence[Read]:
        return ()

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def listen(self, sink: Sink) -> None:
        if self.script is not None:
            await self.script(sink)
        await asyncio.Event().wait()

    def replay(self, recording: str, sink: Sink) -> None:
        """Nothing to replay."""


def make(folder: Path, text: str, kind: type[D]) -> tuple[Installation, list[D]]:
    """The installation that `text` (TOML without [gateway] and [buffer]) describes, every bus owned by a `kind`."""
    file = folder / "lamppost.toml"
    file.write_text(HEAD + text)
    config = load(file)
    drivers = prepare(config, lambda _: kind)
    return Installation(config, tuple(drivers)), [driver for driver in drivers if isinstance(driver, kind)]


def device(name: str, *points: str, bus: str = "b", every: str = "1s") -> str:
    """A device's table; a point may be followed by further keys: `"p priority = 'critical'"`."""
    lines = [f'[devices.{name}]\nbus = "{bus}"\nevery = "{every}"']
    for point in points:
        name_, _, keys = point.partition(" ")
        lines.append(f"[devices.{name}.points.{name_}]\n{keys}")
    return "\n".join(lines) + "\n"


def bus(name: str = "b") -> str:
    """A bus's table."""
    return f'[buses.{name}]\ndriver = "test"\n'


class Parts:
    """Recorder, keeper and a real store around a clock that is set by hand."""

    def __init__(
        self, folder: Path, text: str, *, kind: type[Store] = Store, size: int = STORE_BYTES,
        commit_ms: int = 100, batch_ms: int = 1_000, memory: int = MEMORY_BYTES,
    ) -> None:  # fmt: skip
        self.path = folder / "buffer.db"
        self.hand = Hand()
        self.clock = AgentClock(BOOT, self.hand)
        self.installation, _ = make(folder, text, Asked)
        self.wanted = series.definitions(self.installation.drivers)
        self.points = {
            p.point.id: p.point for d in self.installation.drivers for v in d.setup.devices for p in v.points
        }
        self.numbers: dict[str, int] = {}
        self.thread = StoreThread(lambda: kind.open(self.path, GATEWAY, KEY, BOOT, size_limit=size))
        self._times = (commit_ms, batch_ms)
        self._memory = memory

    async def open(self) -> "Parts":
        """Open the store, and put the recorder before it."""
        await self.thread.start()
        assigned = await self.thread.call(lambda store: store.assign(list(self.wanted.values())))
        self.numbers = dict(zip(self.wanted, assigned, strict=True))
        self.recorder = Recorder(self.clock.now, series.compile_series(self.points, self.numbers), self.points)
        commit_ms, batch_ms = self._times
        self.keeper = Keeper(
            self.thread,
            self.recorder,
            self.clock,
            commit_ms=commit_ms,
            batch_ms=batch_ms,
            history_ms=86_400_000,
            memory=self._memory,
        )
        self.recorder.on_critical, self.recorder.on_large = self.keeper.critical, self.keeper.large
        return self

    async def close(self) -> None:
        """Close the store."""
        await self.thread.close()

    def reads(self) -> list[Read]:
        """The reads of all drivers."""
        return [read for driver in self.installation.drivers for read in driver.reads()]

    async def commit(self) -> None:
        """What the keeper does at each commit interval."""
        self.keeper._collect()
        await self.keeper._work()

    def batches(self) -> list[Batch]:
        """The sealed batches of samples in the file. Blocks."""
        return [batch for batch in decoded(self.path) if batch.header.kind is Kind.BATCH]


def decoded(path: Path) -> list[Batch]:
    """Every sealed batch in a store. Blocks."""
    with Reader(path) as reader:
        return [decode(stored.message, PUBLIC) for stored in reader.batches()]


def samples(batch: Batch) -> list[Sample]:
    """What is in a batch, decoded alone; its header agrees."""
    found = unpack(batch.blocks)
    times = [boot_ms for _, boot_ms, _, _ in found]
    assert len(found) == batch.header.samples
    assert not found or (min(times), max(times)) == (batch.header.first_ms, batch.header.last_ms)
    return found


def by_series(batches: Sequence[Batch]) -> dict[int, list[tuple[int, Value, int]]]:
    """(boot_ms, value, quality) of each series in the order of the batches."""
    found: dict[int, list[tuple[int, Value, int]]] = {}
    for batch in batches:
        for number, boot_ms, value, quality in samples(batch):
            found.setdefault(number, []).append((boot_ms, value, quality))
    return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer instead of passing: for code that uses no threads."""

    def __init__(self) -> None:
        super().__init__(_Jumping(self))
        self.virtual = 1_000.0

    def time(self) -> float:
        return self.virtual

    def boot_ms(self) -> int:
        """The same time as a clock of the agent."""
        return round(self.virtual * 1000)


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(None if timeout is None else 0)
        if not found and timeout:
            self._loop.virtual += timeout
        return found


def virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main` in virtual time."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(loop))


async def until(condition: Callable[[], object], seconds: float = WAIT_S) -> None:
    """Wait until `condition` holds; it must not block."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nobody could set an event
            await asyncio.sleep(0.005)


@contextmanager
def living(agent: Agent) -> Iterator["asyncio.Task[None]"]:
    """An agent that runs in this process; it must be stopped within."""
    task = asyncio.ensure_future(agent.run())
    try:
        yield task
    finally:
        assert task.done(), "the agent was not stopped"


def make_agent(folder: Path, run_dir: Path, text: str, kind: type[D]) -> tuple[Agent, list[D]]:
    """An agent of `text` without an uplink, every bus owned by a `kind`."""
    installation, drivers = make(folder, text, kind)
    return Agent(installation, Keys(KEY, None), run_dir), drivers
