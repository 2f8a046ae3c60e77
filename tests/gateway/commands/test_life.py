"""The life of a command, whatever happens to it: a real store and bus task, kills, clocks, locks, bad devices."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from buffer import orders
from buffer.command import Command, Write
from buffer.keyring import Keyring, RingKey
from buffer.keys import SigningKey
from buffer.store import Store
from buffer.thread import StoreThread
from drivers.base import BusSetup, Driver, Read
from drivers.errors import ExceptionAnswer, NoAnswer
from ext import Value
from gateway.clock import AgentClock
from gateway.commands import ring
from gateway.commands.office import Office
from gateway.commands.schedules import NOWHERE, Site
from gateway.commands.task import Status
from gateway.keeping import series
from gateway.keeping.keeper import Keeper
from gateway.keeping.recorder import Recorder
from gateway.polling.buses import Buses
from gateway.polling.poller import bus_task
from gateway.reporting import system
from gateway.uplink.transport import Message
from tests.gateway.support import (
    GATEWAY,
    KEY,
    SITE,
    STORE_BYTES,
    TRUTH,
    Asked,
    VirtualLoop,
    bus,
    decoded,
    device,
    in_memory,
    make,
    samples,
)

T = TypeVar("T")
AUTHORITY, OPERATOR = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(2))
RING = Keyring(1, TRUTH, (RingKey("anna", "command", OPERATOR.public("", "", "command").raw),)).sign(AUTHORITY)
TEXT = bus() + device("lamp", "level writable = { min = 0, max = 30000 }")
POINT = "lamp/level"
MODES = ["ok", "mute", "stuck", "swallows", "refuses"]
WAITS = st.sampled_from([3.0, 0.0, 0.001, 0.002, 0.005, 0.011, 0.02, 0.3, 20.0])


class Lamp(Asked):
    """One register; does with what is written what the test wants."""

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self.value = 0
        self.mode = "ok"
        self.arrived: Callable[[int], None] = lambda _: None
        self.answer = self.say
        self.busy = False

    async def say(self, read: Read) -> bytes:
        assert read.points
        await self.wait()
        return self.value.to_bytes(2, "big")

    async def wait(self) -> None:
        await asyncio.sleep(0.01)
        if self.mode == "mute":
            self.busy = True
            await asyncio.sleep(0.3)
            self.busy = False
            raise NoAnswer("nothing")

    async def write(self, point: str, value: Value) -> None:
        assert point.endswith("/level")
        assert isinstance(value, int)
        if self.mode == "refuses":
            raise ExceptionAnswer(2, "illegal address")
        self.arrived(value)
        if self.mode == "ramps":
            self.value = (self.value + value) // 2
            asyncio.get_running_loop().call_later(0.8, setattr, self, "value", value)
        elif self.mode != "stuck":
            self.value = value
        await self.wait()
        if self.mode in {"swallows", "ramps"}:
            raise NoAnswer("nothing")


class Inline:
    """A store without a thread of its own: time does not pass while it works."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.dead = False

    async def call(self, function: Callable[[Store], T]) -> T:
        await asyncio.sleep(0.001)
        if self.dead:
            raise asyncio.CancelledError
        return function(self.store)


@cache
def template() -> Path:
    """A store that was just made."""
    path = in_memory() / "buffer.db"
    Store.open(path, GATEWAY, KEY, bytes(16), size_limit=STORE_BYTES).close()
    return path


@dataclass
class World:
    """What outlives the agent: the disk, the device, the time."""

    folder: Path
    loop: VirtualLoop = field(default_factory=VirtualLoop)
    boot: int = 1
    sync: bool = True
    skew: int = 0

    def boot_ms(self) -> int:
        return self.loop.boot_ms()

    def utc_ms(self) -> int:
        return TRUTH + self.loop.boot_ms() + self.skew if self.sync else 0

    def synchronized(self) -> bool:
        return self.sync


class Life:
    """One life of the agent, as far as commands go."""

    def __init__(self, world: World, text: str = TEXT, where: Site = NOWHERE) -> None:
        path = world.folder / "buffer.db"
        boot = world.boot.to_bytes(16, "big")
        installation, (self.lamp,) = make(world.folder, text, Lamp)
        self.store = Store.open(path, GATEWAY, KEY, boot, size_limit=STORE_BYTES, now_ms=world.boot_ms)
        self.inline = Inline(self.store)
        thread = cast("StoreThread", self.inline)
        wanted = series.definitions(installation.drivers) | system.definitions()
        numbers = dict(zip(wanted, self.store.assign(list(wanted.values())), strict=True))
        self.results = numbers[system.RESULT]
        points = {p.point.id: p.point for d in installation.drivers for v in d.setup.devices for p in v.points}
        points |= system.points()
        self.clock = clock = AgentClock(boot, world, held=self.store.boot_clock, floor_ms=self.store.floor_ms)
        self.recorder = recorder = Recorder(clock.now, series.compile_series(points, numbers), points)
        self.keeper = Keeper(thread, recorder, clock, commit_ms=1000, batch_ms=5000, history_ms=86_400_000)
        recorder.on_critical, recorder.on_large = self.keeper.critical, self.keeper.large
        buses = [bus_task(driver, recorder, clock.now) for driver in installation.drivers]
        self.buses = Buses(buses)
        self.office = Office(thread, self.keeper, recorder, clock, buses, path)
        authority = AUTHORITY.public("", "", "authority")
        world.loop.run_until_complete(self.office.open(GATEWAY, SITE, authority, where))
        work = [self.buses.run(), self.keeper.run(), self.office.run()]
        self.tasks = [world.loop.create_task(one) for one in work]

    def rearrange(self, world: World, text: str) -> None:
        """Exchange all buses for those of `text`, as a new configuration does."""
        installation, (self.lamp,) = make(world.folder, text, Lamp)
        world.loop.run_until_complete(self._exchange(installation.drivers))

    async def _exchange(self, drivers: Sequence[Driver]) -> None:
        wanted = series.definitions(drivers) | system.definitions()
        numbers = dict(zip(wanted, self.store.number(list(wanted.values())), strict=True))
        points = {p.point.id: p.point for d in drivers for v in d.setup.devices for p in v.points} | system.points()
        async with self.office.alone([self.buses.tasks[0].bus.id]):
            await self.buses.stop(self.buses.tasks)
            self.recorder.finish()
            self.keeper.rename(list(wanted.values()))
            self.recorder.rearrange(series.compile_series(points, numbers), points)
            buses = [bus_task(driver, self.recorder, self.clock.now) for driver in drivers]
            self.office.rearrange(buses)
            self.buses.rearrange(buses)

    def end(self, loop: VirtualLoop) -> None:
        """As by a kill: nothing is tidied up."""
        self.inline.dead = True
        for task in self.tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(self.tasks))
        self.store.close(clean=False)


class Commands(RuleBasedStateMachine):
    """Sends commands, and does to the box what happens to boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(in_memory())
        shutil.copy(template(), self.world.folder)
        ring.beside(self.world.folder / "buffer.db").write_bytes(RING)
        self.sent: dict[int, Command] = {}
        self.arrived: Counter[int] = Counter()
        self.faults: list[str] = []
        self.locked = self.answered = False
        self.value, self.mode = 0, "ok"
        self.begin(answered=True)

    def begin(self, *, answered: bool) -> None:
        self.life = Life(self.world)
        self.life.lamp.value, self.life.lamp.mode = self.value, self.mode
        self.life.lamp.arrived = self.write_arrived
        self.answered = False
        if answered:
            self.acknowledge()

    def write_arrived(self, value: int) -> None:
        """Whatever comes to the device must be allowed at that moment."""
        command, now = self.sent[value], self.world.loop.boot_ms() + TRUTH
        self.arrived[value] += 1
        wrong = {
            "before the platform acknowledged anything": not self.answered,
            "while locked": self.locked,
            "after its end": now >= command.expires_ms,
            "though it is a dry run": command.dry_run,
            "of another stream": command.stream != self.life.store.stream,
            "more than once and once again": self.arrived[value] > 2,
        }
        self.faults += [f"{value} was written {what}" for what, is_so in wrong.items() if is_so]

    def run(self, seconds: float) -> None:
        self.world.loop.run_until_complete(asyncio.sleep(seconds))
        assert not self.faults
        for task in self.life.tasks:
            if task.done():
                task.result()

    @rule(
        life_ms=st.sampled_from([20, 500, 5_000, 3_600_000]), dry_run=st.booleans(), ours=st.integers(0, 9),
        retained=st.integers(0, 9), seconds=WAITS, mode=st.sampled_from(MODES),
    )  # fmt: skip
    def send(self, life_ms: int, dry_run: bool, ours: int, retained: int, seconds: float, mode: str) -> None:
        self.mode = self.life.lamp.mode = mode
        number = len(self.sent) + 1
        now = TRUTH + self.world.loop.boot_ms()
        stream = self.life.store.stream if ours < 9 else bytes(16)
        write = Write(POINT, Decimal(number))
        command = Command(GATEWAY, stream, number, now, now + life_ms, (write,), "anna", "w", dry_run and ours < 3)
        self.sent[number] = command
        self.give(number, retained=retained == 9)
        self.run(seconds)

    def give(self, number: int, *, retained: bool = False) -> None:
        message = self.sent[number].sign(OPERATOR)
        self.life.office.desk.received(Message("command", message, retained))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        self.give(data.draw(st.sampled_from(sorted(self.sent))))

    @rule()
    def acknowledge(self) -> None:
        self.answered = True
        self.life.office.desk.acknowledged(fresh=True, newer=True)

    @rule(seconds=WAITS)
    def wait(self, seconds: float) -> None:
        self.run(seconds)

    @rule(mode=st.sampled_from(MODES))
    def device_is(self, mode: str) -> None:
        self.mode = self.life.lamp.mode = mode

    @rule(sync=st.booleans())
    def clock_is(self, sync: bool) -> None:
        self.world.sync = sync

    @rule(reboot=st.booleans(), answered=st.booleans())
    def kill(self, reboot: bool, answered: bool) -> None:
        self.value = self.life.lamp.value
        self.life.end(self.world.loop)
        self.value = self.life.lamp.value
        self.world.boot += reboot
        self.begin(answered=answered)

    @rule(lock=st.booleans())
    def lock(self, lock: bool) -> None:
        office = self.life.office
        if lock:
            self.world.loop.run_until_complete(office.lock("lamp", "r", "eva", None))
            self.locked = True
        else:
            self.locked = False
            self.world.loop.run_until_complete(office.unlock("lamp", "eva"))

    def teardown(self) -> None:
        """At last everything works again: each command that was taken has one result, and it is a true one."""
        self.world.sync = True
        self.kill(reboot=False, answered=False)
        self.device_is("ok")
        self.run(30)
        self.world.loop.run_until_complete(self.life.keeper.flush())
        self.life.end(self.world.loop)
        told = self.told()
        for number, results in told.items():
            assert len(results) == 1, results
            assert results[0]["status"] in set(Status)
            if results[0]["status"] == "verified" and not results[0]["dry_run"]:
                assert self.arrived[number]
            if results[0]["status"] in {"refused", "expired"}:
                assert not self.arrived[number]
        assert self.arrived.keys() <= told.keys(), "something was written of which nobody is told"
        shutil.rmtree(self.world.folder)
        self.world.loop.close()

    def told_of(self) -> dict[int, dict[str, Any]]:
        """What is told so far, by number."""
        found = self.world.loop.run_until_complete(self.life.office.last())
        return {one["number"]: one for one in sorted(found, key=lambda one: int(one["number"])) if one["final"]}

    def told(self) -> dict[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = {}
        for batch in decoded(self.world.folder / "buffer.db"):
            if batch.header.kind == "batch" and batch.header.samples:
                for number, _, value, _ in samples(batch):
                    if number == self.life.results:
                        one = json.loads(str(value))
                        found.setdefault(one["number"], []).append(one)
        return found


def test_the_life_of_a_command() -> None:
    run_state_machine_as_test(
        Commands, settings=settings(max_examples=40, stateful_step_count=20, deadline=None, print_blob=True)
    )


def test_two_operators_at_once_each_read_their_own_value_back() -> None:
    machine = Commands()
    for number in (1, 2, 3):
        machine.send(60_000, dry_run=False, ours=5, retained=0, seconds=0.0, mode="ok")
        assert number in machine.sent
    machine.run(3.0)
    told = machine.told_of()
    assert [one["status"] for one in told.values()] == ["verified"] * 3
    assert [one["writes"][0]["read_back"] for one in told.values()] == [1, 2, 3]
    machine.teardown()


def test_a_clock_that_falls_makes_nothing_young_again() -> None:
    """Also when the store has forgotten the number: what the platform signed last is later than its end."""
    machine = Commands()
    machine.send(5_000, dry_run=False, ours=5, retained=0, seconds=10.0, mode="ok")
    machine.life.clock.signed_time(TRUTH + machine.world.boot_ms(), machine.world.boot_ms())
    machine.life.store.change(lambda connection: connection.execute("DELETE FROM commands"))
    machine.world.skew = -20_000
    machine.give(1)
    machine.run(3.0)
    assert machine.life.office.status()["refused"] == {"expired": 1}
    assert machine.arrived == {1: 1}
    machine.teardown()


@pytest.mark.parametrize(
    ("life_ms", "lock", "status", "reason"),
    [(100, False, "expired", "its time was over"), (60_000, True, "refused", "is locked"), (60_000, False, "", "")],
)
def test_a_command_that_waits_for_the_bus(life_ms: int, lock: bool, status: str, reason: str) -> None:
    machine = Commands()
    machine.device_is("mute")
    while not machine.life.lamp.busy:
        machine.run(0.01)
    machine.send(life_ms, dry_run=False, ours=5, retained=0, seconds=0.02, mode="mute")
    assert not machine.arrived
    assert machine.life.store.ask(lambda connection: len(orders.unfinished(connection))) == 1
    if lock:
        machine.lock(lock=True)
    machine.device_is("ok")
    machine.run(3.0)
    (told,) = machine.told_of().values()
    assert told["status"] == (status or "verified")
    assert reason in told["reason"]
    assert bool(machine.arrived) == (status == "")
    machine.teardown()


def test_a_lamp_that_dims_slowly_and_does_not_answer_has_its_time() -> None:
    machine = Commands()
    machine.life.lamp.value = 91
    machine.run(1.0)
    machine.send(60_000, dry_run=False, ours=5, retained=0, seconds=4.0, mode="ramps")
    assert [one["status"] for one in machine.told_of().values()] == ["verified"]
    assert machine.arrived == Counter({1: 1})
    machine.teardown()
