"""One run: the plan's faults against the plant, how long each took to recover, and the account."""

import asyncio
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.account import Account, Window
from tests.chaos.balance import Balance
from tests.chaos.plan import Fault, kinds, plan
from tests.chaos.plant import COLLECTORS, COMMIT_MS, WAIT_S, Plant

LOOK_S = 0.2  # how exactly the time to recover is known
FINAL = "the devices ended"


@dataclass(slots=True)
class Times:
    """What a kind of fault cost: from its end until a value sampled after it was stored, s."""

    count: int = 0
    recovered: list[float] = field(default_factory=list)
    """All of them, other faults meanwhile included."""
    alone: list[float] = field(default_factory=list)
    """Those while nothing else was broken, or had not recovered yet."""


@dataclass(slots=True)
class Result:
    """What `make chaos` prints."""

    seed: int
    database: str
    seconds: float = 0.0
    restarts: int = 0
    verify: int = -1
    times: dict[str, Times] = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)
    account: Account = field(default_factory=Account)
    faults: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Whether nothing at all was wrong."""
        return not self.faults and self.verify == 0 and self.account.balanced


@dataclass(slots=True)
class _Healed:
    kind: str
    utc_ms: int
    alone: bool


class Chaos:
    """Breaks a plant by a plan."""

    def __init__(self, plant: Plant, faults: list[Fault], say: Callable[[str], None]) -> None:
        self.windows: list[Window] = []
        self.times: defaultdict[str, Times] = defaultdict(Times)
        self._plant = plant
        self._plan = faults
        self._say = say
        self._active = 0
        self._healed: list[_Healed] = []

    async def run(self) -> None:
        """All faults, each part's one after the other; returns when all are healed and recovered."""
        lanes = defaultdict[str, list[Fault]](list)
        for fault in self._plan:
            lanes[fault.lane].append(fault)
        began = asyncio.get_running_loop().time()
        watch = asyncio.create_task(self._watch())
        try:
            async with asyncio.TaskGroup() as group:
                for faults in lanes.values():
                    group.create_task(self._lane(faults, began))
            await self._plant.until(lambda: not self._healed, "a value sampled after the last fault is stored", WAIT_S)
        finally:
            watch.cancel()
            await asyncio.wait([watch])

    async def _lane(self, faults: list[Fault], began: float) -> None:
        loop = asyncio.get_running_loop()
        for fault in faults:
            await asyncio.sleep(max(0.0, began + fault.at_s - loop.time()))
            self._say(f"{loop.time() - began:6.1f} s  {fault.kind}, {fault.seconds:.1f} s")
            self._active += 1
            for healed in self._healed:
                healed.alone = False
            try:
                async with self._broken(fault):
                    await asyncio.sleep(fault.seconds)
            finally:
                self._active -= 1
            self.times[fault.kind].count += 1
            self._healed.append(_Healed(fault.kind, utc_ms(), not self._active and not self._healed))

    async def _watch(self) -> None:
        """Note when a value sampled after the end of a fault is stored."""
        while True:
            await asyncio.sleep(LOOK_S)
            newest = await asyncio.to_thread(self._plant.stored.newest) if self._healed else None
            now = utc_ms()
            for healed in [healed for healed in self._healed if newest is not None and newest >= healed.utc_ms]:
                self._healed.remove(healed)
                times = self.times[healed.kind]
                took = (now - healed.utc_ms) / 1000
                times.recovered.append(took)
                if healed.alone:
                    times.alone.append(took)

    # the faults ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _broken(self, fault: Fault) -> AsyncIterator[None]:
        how = {"link": self._link, "broker": self._broker, "agent": self._agent, "collector": self._collectors}
        if fault.lane == "database":
            async with self._plant.stored.broken(fault.kind):
                yield
        else:
            async with how[fault.lane](fault):
                yield

    @asynccontextmanager
    async def _link(self, fault: Fault) -> AsyncIterator[None]:
        link = self._plant.link
        {"link down": link.down, "link hole": link.hole, "link slow": link.slow_down}[fault.kind]()
        try:
            yield
        finally:
            await link.up()

    @asynccontextmanager
    async def _broker(self, fault: Fault) -> AsyncIterator[None]:
        broker = self._plant.broker
        frozen = fault.kind == "broker SIGSTOP"
        how = broker.pause if frozen else broker.kill if fault.kind == "broker kill -9" else broker.stop
        await asyncio.to_thread(how)
        try:
            yield
        finally:
            await asyncio.to_thread(broker.resume if frozen else broker.start)

    @asynccontextmanager
    async def _agent(self, fault: Fault) -> AsyncIterator[None]:
        plant, began = self._plant, utc_ms()
        frozen, killed = fault.kind == "agent SIGSTOP", fault.kind == "agent kill -9"
        if frozen:
            plant.signal("agent", signal.SIGSTOP)
        else:
            await (plant.kill if killed else plant.stop)("agent")
        try:
            yield
        finally:
            if frozen:
                plant.signal("agent", signal.SIGCONT)
            else:
                await plant.start("agent")
            await plant.until(plant.answers, "the agent answers", WAIT_S)
            self.windows.append(Window(fault.kind, began, utc_ms(), COMMIT_MS if killed else 0))

    @asynccontextmanager
    async def _collectors(self, fault: Fault) -> AsyncIterator[None]:
        plant = self._plant
        hit = COLLECTORS if fault.kind.startswith("both") else (COLLECTORS[fault.which],)
        frozen = fault.kind == "collector SIGSTOP"
        for name in hit:
            if frozen:
                plant.signal(name, signal.SIGSTOP)
            else:
                await plant.kill(name)
        try:
            yield
        finally:
            for name in hit:
                if frozen:
                    plant.signal(name, signal.SIGCONT)
                else:
                    await plant.start(name)


async def run(folder: Path, seconds: float, seed: int, database: str, say: Callable[[str], None]) -> Result:
    """The whole of it."""
    began = time.monotonic()
    result = Result(seed, database)
    async with Plant(folder, database) as plant:
        chaos = Chaos(plant, plan(seconds, seed, database), say)
        await chaos.run()
        ended = utc_ms()
        say("everything is healed; the devices fall silent")
        await plant.drain()
        chaos.windows.append(Window(FINAL, ended, utc_ms(), 0))
        result.verify, out = await plant.collector("verify", "--json")
        if result.verify:
            result.faults.append(f"lamppost-collector verify: exit code {result.verify}: {out.strip()[-2000:]}")
        result.windows = chaos.windows
        result.account = (await asyncio.to_thread(Balance, folder, plant.stored, chaos.windows)).account
        result.faults += plant.faults
        result.restarts = plant.restarts
        result.times = {kind: chaos.times[kind] for kind in kinds(database)}
        result.faults += [f"{kind} never came" for kind, times in result.times.items() if not times.count]
        plant.stored.keep = not result.balanced
    result.seconds = time.monotonic() - began
    return result


def utc_ms() -> int:
    """The wall clock of this machine, ms since the epoch."""
    return time.time_ns() // 1_000_000
