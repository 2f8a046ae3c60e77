"""A bus in other hands, and what is asked out of its turn. Played in virtual time, but for the socket."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.base import BusSetup, Read
from drivers.errors import BusError, DeviceError, ExceptionAnswer, NoAnswer
from ext import GOOD, MAINTENANCE, Layout, Value
from gateway.clock import AgentClock, System
from gateway.control.client import Client
from gateway.control.fresh import Fresh
from gateway.control.leases import LEASE_MAX_S, Leases
from gateway.control.server import ControlServer
from gateway.errors import GatewayError, RequestRefused
from gateway.polling.health import State
from gateway.polling.poller import PollingTask
from tests.gateway.scene import Scene
from tests.gateway.support import Asked, Heard, VirtualLoop, bus, device, make, until, virtually

ONE = bus() + device("d", "p", every="10s")


class Written(Asked):
    """Takes a second for each write."""

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self.written: list[tuple[str, Value]] = []

    async def write(self, point: str, value: Value) -> None:
        await asyncio.sleep(1)
        self.written.append((point, value))


def played(folder: Path, script: Callable[[Scene, Written], Coroutine[Any, Any, None]], text: str = ONE) -> None:
    """Run `script` with a running bus, after half a second."""

    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(folder, text, Written)
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(0.5)
            await script(scene, driver)

    virtually(play)


def polling(scene: Scene) -> PollingTask:
    assert isinstance(scene.bus, PollingTask)
    return scene.bus


def test_a_lent_bus_is_closed_and_its_points_say_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def script(scene: Scene, driver: Written) -> None:
        assert scene.samples("d/p") == [(0, GOOD)]
        await scene.bus.lend("a scan")
        assert (driver.closed, scene.bus.up, scene.bus.error) == (1, False, "lent: a scan")
        with pytest.raises(BusError, match="lent already: a scan"):
            await scene.bus.lend("another")
        with pytest.raises(BusError, match="bus b is down: a scan"):
            await polling(scene).write("d/p", 1)
        await asyncio.sleep(120)
        assert (len(driver.asked), driver.opened) == (1, 1)
        assert scene.samples("d/p") == [(None, MAINTENANCE)]
        assert scene.bus.health["d"].state is State.UNKNOWN
        assert scene.bus.now() - scene.bus.progress_at < 20_000, "the watchdog is fed"
        scene.bus.take_back()
        await asyncio.sleep(1)
        assert scene.samples("d/p") == [(0, GOOD)], "asked at once, whenever its turn is"
        assert (scene.bus.up, scene.bus.error, scene.bus.health["d"].state) == (True, "", State.ONLINE)

    played(tmp_path, script)
    assert [r.getMessage() for r in caplog.records if "lent" in r.getMessage() or "taken" in r.getMessage()] == [
        "bus b: lent (a scan)",
        "bus b: taken back",
    ]


def test_a_short_lease_ends_with_a_value(tmp_path: Path) -> None:
    async def script(scene: Scene, driver: Written) -> None:
        await scene.bus.lend("a moment")
        scene.bus.take_back()
        await asyncio.sleep(1)
        assert scene.samples("d/p") == [(0, GOOD), (None, MAINTENANCE), (0, GOOD)]

    played(tmp_path, script)


def test_a_write_under_way_is_finished_first(tmp_path: Path) -> None:
    async def script(scene: Scene, driver: Written) -> None:
        writing = asyncio.ensure_future(polling(scene).write("d/p", 7))
        waiting = asyncio.ensure_future(polling(scene).write("d/p", 8))
        await asyncio.sleep(0.5)
        await scene.bus.lend("a scan")
        await asyncio.wait([writing, waiting])
        assert driver.written == [("d/p", 7)]
        assert writing.exception() is None
        assert isinstance(waiting.exception(), BusError)

    played(tmp_path, script)


def test_who_gives_up_waiting_for_a_bus_has_none(tmp_path: Path) -> None:
    async def script(scene: Scene, driver: Written) -> None:
        writing = asyncio.ensure_future(polling(scene).write("d/p", 7))
        await asyncio.sleep(0.5)
        lending = asyncio.ensure_future(scene.bus.lend("a scan"))
        await asyncio.sleep(0.1)
        lending.cancel()
        await asyncio.wait([writing, lending])
        await asyncio.sleep(20)
        assert scene.bus.up
        assert len(driver.asked) >= 2

    played(tmp_path, script)


def test_a_bus_that_is_down_can_be_lent_and_comes_back(tmp_path: Path) -> None:
    async def script(scene: Scene, driver: Written) -> None:
        def unplugged() -> None:
            raise BusError("unplugged")

        driver.opening = unplugged

        async def gone(_: Read) -> bytes:
            raise BusError("unplugged")

        driver.answer = gone
        await asyncio.sleep(30)
        assert not scene.bus.up
        await scene.bus.lend("a scan")
        driver.opening, driver.answer = (lambda: None), driver.zeros
        await asyncio.sleep(100)
        assert not scene.bus.up
        scene.bus.take_back()
        await asyncio.sleep(30)
        assert scene.bus.health["d"].state is State.ONLINE

    played(tmp_path, script)


def test_a_bus_that_listens_can_be_lent(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, drivers = make(tmp_path, ONE, Heard)
        scene = Scene(loop, drivers)
        async with scene.running():
            await asyncio.sleep(0.5)
            await scene.bus.lend("a scan")
            assert scene.samples("d/p") == [(None, MAINTENANCE)]
            scene.bus.take_back()
            await asyncio.sleep(1)
            assert scene.bus.up

    virtually(play)


def test_a_read_out_of_turn_is_fresh_and_recorded(tmp_path: Path) -> None:
    async def script(scene: Scene, driver: Written) -> None:
        (read,) = driver.reads()
        began = scene.bus.now()
        await polling(scene).ask(read)
        assert len(driver.asked) == 2
        last = scene.recorder.last("d/p")
        assert last is not None
        assert last[0] >= began
        assert scene.samples("d/p") == [(0, GOOD), (0, GOOD)]

        async def silent(_: Read) -> bytes:
            raise NoAnswer("no answer within 1 s")

        driver.answer = silent
        with pytest.raises(NoAnswer, match="within 1 s"):
            await polling(scene).ask(read)
        assert scene.bus.health["d"].state is State.SUSPECT

    played(tmp_path, script)


class Single(Asked):
    """Reads points together until told not to: `half` is refused, its two halves are not."""

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._reads = list(super().reads())

    def reads(self) -> list[Read]:
        return self._reads

    def narrower(self, read: Read, error: DeviceError) -> list[Read]:  # noqa: ARG002
        if len(read.points) == 1:
            return []
        parts = [replace(read, points=((name, Layout(0, "int16")),)) for name in read.names]
        self._reads = [one for one in self._reads if one != read] + parts
        return parts


async def test_the_verb_read_asks_each_point_whatever_is_split_on_the_way(tmp_path: Path) -> None:
    async def refusing(read: Read) -> bytes:
        if len(read.points) > 1 or read.names == ("d/p3",):
            raise ExceptionAnswer(2, "illegal data address")
        return bytes(2)

    _, (driver,) = await asyncio.to_thread(
        make, tmp_path, bus() + device("d", *(f"p{n}" for n in range(12)), every="1h"), Single
    )
    driver.answer = driver.zeros
    scene = Scene(System(), [driver])
    clock = AgentClock(bytes(16))
    fresh = Fresh(scene.tasks, scene.recorder, clock, dict.fromkeys(scene.points, "V"))
    with pytest.raises(GatewayError, match="no device or point 'd/x'"):
        fresh.read({"points": ["d/x"]})
    async with scene.running():
        await until(lambda: driver.asked)
        driver.answer = refusing
        rows = [row async for row in fresh.read({"points": ["d"]})]
    assert sorted(row["point"] for row in rows) == sorted(scene.points)
    assert {row["point"]: row["quality"] for row in rows if row["error"]} == {"d/p3": "bad (exception)"}
    assert {(row["value"], row["unit"]) for row in rows if not row["error"]} == {(0, "V")}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"bus": "none", "seconds": 1}, "there are: b"),
        ({"bus": "b", "seconds": LEASE_MAX_S + 1}, "at most"),
        ({"bus": "b", "seconds": True}, "at most"),
        ({"bus": "b", "seconds": 1, "for": "x" * 81}, "at most 80"),
    ],
)
def test_requests_that_are_none(tmp_path: Path, args: dict[str, Any], told: str) -> None:
    async def script(scene: Scene, driver: Written) -> None:
        with pytest.raises(GatewayError, match=told):
            Leases(scene.tasks).lease(args)

    played(tmp_path, script)


async def test_a_lease_ends_by_itself_and_with_the_conversation(tmp_path: Path) -> None:
    def borrowed(seconds: float) -> list[dict[str, Any]]:
        with Client(path) as client:
            return list(client.stream("lease", bus="b", seconds=seconds))

    def left() -> None:
        with Client(path) as client:
            next(client.stream("lease", bus="b", seconds=60))
            with Client(path) as other, pytest.raises(RequestRefused, match="lent already"):
                next(other.stream("lease", bus="b", seconds=60))

    path = tmp_path / "control.sock"
    _, (driver,) = await asyncio.to_thread(make, tmp_path, ONE, Written)
    scene = Scene(System(), [driver])
    server = ControlServer(path, {"lease": Leases(scene.tasks).lease})
    await server.start()
    async with scene.running():
        await until(lambda: scene.bus.up)
        assert await asyncio.to_thread(borrowed, 0.2) == [{"bus": "b", "seconds": 0.2}]
        assert not scene.bus.lent
        await asyncio.to_thread(left)
        await until(lambda: scene.bus.up and not scene.bus.lent)
    await server.stop()


def test_a_bus_is_lent_by_the_name_of_a_device_too(tmp_path: Path) -> None:
    async def script(scene: Scene, driver: Written) -> None:
        lease = Leases(scene.tasks).lease({"bus": "d", "seconds": 5})
        assert await anext(lease) == {"bus": "b", "seconds": 5}
        assert driver.closed == 1
        await lease.aclose()
        with pytest.raises(GatewayError, match="there is none of this name"):
            Leases(scene.tasks).lease({"bus": "nobody", "seconds": 5})

    played(tmp_path, script)
