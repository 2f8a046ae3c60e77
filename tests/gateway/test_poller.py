"""One task a bus: what breaks costs its own bus and no other, and is told of once. Played in virtual time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.base import BusSetup, Driver, Read, Sink
from drivers.errors import (
    BadAnswer,
    BusError,
    DeviceError,
    DriverError,
    ExceptionAnswer,
    NoAnswer,
    NotAsked,
    NotWritable,
)
from ext import BAD_ANSWER, EXCEPTION, GOOD, NO_ANSWER, Value, unpack
from gateway.keeping.recorder import Recorder
from gateway.polling.bus import REOPEN_MAX_S, SETTLED_MS
from gateway.polling.health import DEAD_SHARE, PROBE_MAX_MS, State
from gateway.polling.listener import SILENT_DEFAULT_MS, SILENT_PERIODS
from gateway.polling.poller import MAX_WRITES, PollingTask, bus_task
from tests.gateway.scene import Scene
from tests.gateway.support import Asked, Heard, VirtualLoop, bus, device, make, virtually

ONE = bus() + device("d", "p")
THREE = bus() + device("a", "p") + device("dead", "p") + device("c", "p")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says, tracebacks left out."""
    return [record.getMessage() for record in caplog.records]


def unanswered(dead: str, seconds: float) -> Callable[[Read], Awaitable[bytes]]:
    """An answer of zeros after 5 ms, of all but `dead`."""

    async def answer(read: Read) -> bytes:
        if read.device == dead:
            await asyncio.sleep(seconds)
            raise NoAnswer(f"no answer in {seconds:g} s")
        await asyncio.sleep(0.005)
        return bytes(2 * len(read.points))

    return answer


def test_devices_are_asked_at_their_period(tmp_path: Path) -> None:
    text = bus() + device("fast", "p", every="100ms") + device("slow", "p", every="1s")

    async def play(loop: VirtualLoop) -> None:
        _, drivers = make(tmp_path, text, Asked)
        scene = Scene(loop, drivers)
        async with scene.running():
            await asyncio.sleep(60)
        asked = [read.device for read in drivers[0].asked]
        assert 599 <= asked.count("fast") <= 601
        assert 59 <= asked.count("slow") <= 61
        assert scene.bus.health["fast"].state is State.ONLINE
        assert scene.turns.schedule.missed == 0
        assert drivers[0].closed == 1

    virtually(play)


def test_a_dead_device_takes_a_twentieth_of_the_bus_and_the_others_keep_their_period(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seconds, timeout = 600, 0.5

    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, THREE, Asked)
        driver.answer = unanswered("dead", timeout)
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(seconds)
        health = scene.bus.health
        assert health["dead"].state is State.OFFLINE
        assert (health["dead"].failures * timeout) / seconds <= 1 / DEAD_SHARE
        assert health["dead"].failures >= seconds * 1000 / PROBE_MAX_MS
        assert scene.turns.schedule.passed["dead"] > 500
        for name in ("a", "c"):
            assert health[name].answers >= seconds - 2
            assert health[name].state is State.ONLINE
        assert told(caplog) == ["device dead: gone (no answer in 0.5 s)"]

    virtually(play)


def test_many_dead_devices_together_take_no_more(tmp_path: Path) -> None:
    text = bus() + device("a", "p") + "".join(device(f"dead{n}", "p") for n in range(20))
    seconds, timeout = 600, 0.25

    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, text, Asked)
        spent = 0.0

        async def answer(read: Read) -> bytes:
            nonlocal spent
            if read.device == "a":
                return bytes(2)
            await asyncio.sleep(timeout)
            spent += timeout if scene.bus.health[read.device].state is State.OFFLINE else 0
            raise NoAnswer("silent")

        driver.answer = answer
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(seconds)
        assert 0 < spent / seconds <= 1 / DEAD_SHARE
        health = scene.bus.health
        assert health["a"].answers >= 0.95 * seconds
        assert all(health[f"dead{n}"].state is State.OFFLINE for n in range(20))

    virtually(play)


def test_a_device_that_is_back_is_noticed_within_a_minute_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, THREE, Asked)
        driver.answer = unanswered("dead", 0.5)
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(3_600)
            driver.answer = driver.zeros
            await asyncio.sleep(PROBE_MAX_MS / 1000 + 2)
            assert scene.bus.health["dead"].state is State.ONLINE
            scene.samples("dead/p")
            await asyncio.sleep(10)
            assert len(scene.samples("dead/p")) == 10
        assert told(caplog)[-1] == "device dead: back"
        assert len(told(caplog)) == 2

    virtually(play)


@pytest.mark.parametrize(
    ("error", "quality"), [(NoAnswer("silent"), NO_ANSWER), (BadAnswer("checksum"), BAD_ANSWER)], ids=["none", "bad"]
)
def test_a_failed_read_is_a_bad_sample_of_every_point(tmp_path: Path, error: DeviceError, quality: int) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, bus() + device("d", "p", "q"), Asked)

        async def answer(_: Read) -> bytes:
            raise error

        driver.answer = answer
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(0.5)
            assert scene.samples("d/q") == [(None, quality)]
            assert scene.bus.health["d"].errors == {type(error).__name__: 1}

    virtually(play)


def test_a_question_that_was_not_put_says_nothing_of_the_device(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, ONE, Asked)

        async def answer(_: Read) -> bytes:
            if len(driver.asked) > 1:
                raise NotAsked("a late answer could pass for its answer")
            return bytes(2)

        driver.answer = answer
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(10)
            found = scene.samples("d/p")
            assert found == [(0, GOOD)] + [(None, NO_ANSWER)] * (len(found) - 1)
            assert len(found) >= 9
            assert (scene.bus.health["d"].state, scene.bus.health["d"].failures) == (State.ONLINE, 0)

    virtually(play)


def test_an_exception_answer_is_a_sign_of_life(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, ONE, Asked)

        async def answer(_: Read) -> bytes:
            raise ExceptionAnswer(2, "illegal data address")

        driver.answer = answer
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(10)
            found = scene.samples("d/p")
            assert found == [(None, EXCEPTION)] * len(found)
            health = scene.bus.health["d"]
            assert (health.state, scene.turns.schedule.passed["d"]) == (State.ONLINE, 0)
            assert health.errors == {"ExceptionAnswer": len(found)}
            assert len(found) >= 10
            assert "illegal data address" in health.last_error

    virtually(play)


class Narrow(Asked):
    """A driver that halves a read which the device refuses."""

    def narrower(self, read: Read, _: DeviceError) -> list[Read]:
        middle = len(read.points) // 2
        parts = (read.points[:middle], read.points[middle:])
        return [Read(read.device, part, every=read.every) for part in parts if middle]


def test_only_the_point_that_the_device_refuses_suffers(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, bus() + device("d", "p", "q", "illegal", "s"), Narrow)

        async def answer(read: Read) -> bytes:
            if any(name == "d/illegal" for name, _ in read.points):
                raise ExceptionAnswer(2, "illegal data address")
            return bytes(2 * 4)

        driver.answer = answer
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(10)
        packed = [sample for part in scene.recorder.commit() for sample in unpack([part.data])]
        for point, number in scene.numbers.items():
            expected = (None, EXCEPTION) if point == "d/illegal" else (0, GOOD)
            samples = [(value, quality) for n, _, value, quality in packed if n == number]
            assert samples == [expected] * len(samples)
            assert len(samples) >= 9

    virtually(play)


# Writes ---------------------------------------------------------------------------------------------------------------


class Written(Asked):
    """Takes writes, each in 10 ms."""

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self.order: list[str] = []
        self.fault: DriverError | None = None

    async def read(self, read: Read) -> bytes:
        self.order.append(read.device)
        await asyncio.sleep(0.1)
        return bytes(2)

    async def write(self, point: str, value: Value) -> None:
        await asyncio.sleep(0.01)
        self.order.append(f"{point}={value!r}")
        if self.fault is not None:
            raise self.fault


def polling(scene: Scene) -> PollingTask:
    """The first bus."""
    assert isinstance(scene.bus, PollingTask)
    return scene.bus


def test_a_write_is_the_next_thing_on_the_bus(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, bus() + "".join(device(f"u{n}", "p") for n in range(5)), Written)
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(0.05)  # u0 is under way, four others are due
            began = loop.time()
            await asyncio.gather(polling(scene).write("u3/p", 1), polling(scene).write("u3/p", 2))
            assert driver.order[:3] == ["u0", "u3/p=1", "u3/p=2"]
            assert loop.time() - began < 0.08
            await asyncio.sleep(0.72)  # all are done, and nothing is due for a while
            began = loop.time()
            await polling(scene).write("u4/p", 3)
            assert loop.time() - began < 0.02, "a sleeping bus is woken up"
            driver.order.clear()
            await asyncio.sleep(10)
            assert 49 <= len(driver.order) <= 51

    virtually(play)


@pytest.mark.parametrize("fault", [NoAnswer("silent"), NotWritable("an input")], ids=["device", "point"])
def test_a_write_that_fails_tells_who_waits_and_nobody_else(tmp_path: Path, fault: DriverError) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, bus() + device("u0", "p"), Written)
        driver.fault = fault
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(0.5)
            with pytest.raises(type(fault), match=str(fault)):
                await polling(scene).write("u0/p", 1)
            await asyncio.sleep(5)
            assert scene.bus.up
            assert scene.bus.health["u0"].answers >= 5

    virtually(play)


def test_who_waits_for_a_write_is_told_when_the_bus_goes(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, bus() + device("u0", "p"), Written)
        scene = Scene(loop, [driver])
        with pytest.raises(BusError, match="bus b is down: not open yet"):
            await polling(scene).write("u0/p", 0)
        async with scene.running():
            await asyncio.sleep(0.5)
            driver.fault = BusError("unplugged")
            first, second = (asyncio.ensure_future(polling(scene).write("u0/p", n)) for n in (1, 2))
            await asyncio.wait([first, second], timeout=1)
            assert (str(first.exception()), str(second.exception())) == ("unplugged", "bus b is down")
            with pytest.raises(BusError, match="bus b is down: unplugged"):
                await polling(scene).write("u0/p", 3)

    virtually(play)


def test_writes_are_taken_back_and_bounded(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, bus() + device("u0", "p"), Written)
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(0.05)
            given_up = asyncio.ensure_future(polling(scene).write("u0/p", -1))
            await asyncio.sleep(0)
            given_up.cancel()
            others = [asyncio.ensure_future(polling(scene).write("u0/p", n)) for n in range(MAX_WRITES - 1)]
            await asyncio.sleep(0)
            with pytest.raises(BusError, match="64 writes wait already"):
                await polling(scene).write("u0/p", -2)
            await asyncio.gather(*others)
            assert driver.order == ["u0", *(f"u0/p={n}" for n in range(MAX_WRITES - 1))]

    virtually(play)


# The bus --------------------------------------------------------------------------------------------------------------


def both(tmp_path: Path) -> tuple[Asked, Asked]:
    """Two buses of one device each."""
    _, drivers = make(tmp_path, bus("x") + bus("y") + device("d", "p", bus="x") + device("e", "p", bus="y"), Asked)
    return drivers[0], drivers[1]


def _raise(error: Exception) -> None:
    raise error


async def _fail(_: Read) -> bytes:
    raise KeyError("a mistake")


def _break_close(driver: Asked) -> None:
    driver.closing = lambda: _raise(KeyError("a mistake"))
    driver.answer = _fail


BREAK: dict[str, Callable[[Asked], None]] = {
    "read": lambda driver: setattr(driver, "answer", _fail),
    "open": lambda driver: setattr(driver, "opening", lambda: _raise(KeyError("a mistake"))),
    "reads": lambda driver: setattr(driver, "reads", lambda: _raise(KeyError("a mistake"))),
    "close": _break_close,
}


@pytest.mark.parametrize("where", BREAK)
def test_a_mistake_in_a_driver_costs_its_own_bus_and_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    async def play(loop: VirtualLoop) -> None:
        bad, good = both(tmp_path)
        BREAK[where](bad)
        scene = Scene(loop, [bad, good])
        async with scene.running():
            await asyncio.sleep(120)
            assert (scene.tasks[0].up, scene.tasks[1].up) == (False, True)
            assert "a mistake" in scene.tasks[0].error
            assert scene.tasks[0].health["d"].state is State.OFFLINE
            assert scene.tasks[1].health["e"].answers >= 119
            assert scene.samples("e/p") == [(0, GOOD)] * scene.tasks[1].health["e"].answers
        assert bad.opened < 3 + 120 / (REOPEN_MAX_S / 2) + 5
        assert sum("the driver failed: KeyError" in line for line in told(caplog)) == 1
        assert sum(record.exc_info is not None for record in caplog.records) == (2 if where == "close" else 1)

    virtually(play)


def test_a_bus_that_does_not_open_is_tried_again_with_back_off_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, ONE, Asked)
        times = []

        def opening() -> None:
            times.append(loop.time())
            if len(times) < 8:
                raise BusError("port unplugged")

        driver.opening = opening
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(1)
            assert (scene.bus.up, scene.bus.error) == (False, "port unplugged")
            assert scene.samples("d/p") == [(None, NO_ANSWER)]
            await asyncio.sleep(8 * REOPEN_MAX_S)
            assert (scene.bus.up, scene.bus.error) == (True, "")
            assert scene.bus.health["d"].state is State.ONLINE
        waits = [after - before for before, after in pairwise(times)]
        assert waits[0] <= 0.5
        assert max(waits) <= REOPEN_MAX_S
        assert waits[-1] >= REOPEN_MAX_S / 2
        assert told(caplog) == [
            "bus b: port unplugged; its devices (1) are out of reach",
            "bus b: open again",
        ]

    virtually(play)


def test_a_bus_that_breaks_again_and_again_is_not_opened_twice_a_second_nor_told_of_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, ONE, Asked)

        async def answer(_: Read) -> bytes:
            raise BusError("connection reset")

        driver.answer = answer
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(600)
            assert driver.opened < 600 / (REOPEN_MAX_S / 2) + 8
            assert told(caplog) == ["bus b: open", "bus b: connection reset; its devices (1) are out of reach"]
            driver.answer = driver.zeros
            await asyncio.sleep(REOPEN_MAX_S + SETTLED_MS / 1000 + 1)
            assert told(caplog)[2:] == ["bus b: open again"]
            driver.answer = answer
            await asyncio.sleep(1.5)
            assert told(caplog)[3:] == ["bus b: connection reset; its devices (1) are out of reach"]

    virtually(play)


def test_a_driver_that_hangs_shows_as_no_progress(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        hung, good = both(tmp_path)

        async def answer(_: Read) -> bytes:
            await asyncio.Event().wait()
            return b""

        hung.answer = answer
        scene = Scene(loop, [hung, good])
        async with scene.running():
            await asyncio.sleep(100)
            now = loop.boot_ms()
            assert now - scene.tasks[0].progress_at > 98_000
            assert now - scene.tasks[1].progress_at <= 1_000

    virtually(play)


def test_whoever_stops_a_bus_is_not_kept_from_it_by_a_close_that_fails(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, ONE, Asked)
        driver.closing = lambda: _raise(RuntimeError("no"))
        task = asyncio.ensure_future(Scene(loop, [driver]).bus.run())
        await asyncio.sleep(5)
        task.cancel()
        await asyncio.wait([task], timeout=1)
        assert task.cancelled()

    virtually(play)


# Devices that speak by themselves -------------------------------------------------------------------------------------


def test_a_device_that_falls_silent_is_bad_once_and_back_when_it_speaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = bus() + device("d", "p", every="2s") + device("e", "p", every="2s")

    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, text, Heard)

        async def script(sink: Sink) -> None:
            for second in range(200):
                sink.value("e/p", second)
                if second < 10 or second >= 100:
                    sink.value("d/p", second)
                await asyncio.sleep(1)

        driver.script = script
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(99.5)
            health = scene.bus.health
            assert (health["d"].state, health["e"].state) == (State.OFFLINE, State.ONLINE)
            assert health["d"].since >= health["d"].heard_at + SILENT_PERIODS * 2_000  # type: ignore[operator]
            assert scene.samples("d/p") == [*((second, GOOD) for second in range(10)), (None, NO_ANSWER)]
            await asyncio.sleep(10)
            assert scene.samples("d/p")[0] == (100, GOOD)
            assert health["d"].state.value == State.ONLINE
        assert told(caplog) == ["device d: gone (silent for 7 s)", "device d: back"]

    virtually(play)


def test_a_device_that_was_never_heard_is_bad_after_five_minutes(tmp_path: Path) -> None:
    text = bus() + device("d", "p").replace('every = "1s"\n', "")

    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, text, Heard)
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(SILENT_DEFAULT_MS / 1000 - 2)
            assert scene.samples("d/p") == []
            await asyncio.sleep(4)
            assert scene.samples("d/p") == [(None, NO_ANSWER)]
            assert scene.bus.progress_at >= loop.boot_ms() - 2_000

    virtually(play)


def test_a_device_that_talks_nonsense_is_counted_and_not_gone(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, ONE, Heard)

        async def script(sink: Sink) -> None:
            sink.value("d/p", 1)
            for _ in range(5):
                sink.failed("d", BadAnswer("a checksum"))

        driver.script = script
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(1)
            health = scene.bus.health["d"]
            assert (health.state, health.failures, health.last_error) == (State.ONLINE, 5, "a checksum")
            assert health.errors == {"BadAnswer": 5}

    virtually(play)


@pytest.mark.parametrize("error", [BusError("adapter off"), RuntimeError("a mistake")], ids=["bus", "driver"])
def test_a_listening_bus_that_breaks_is_opened_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, ONE, Heard)
        lives = 0

        async def script(sink: Sink) -> None:
            nonlocal lives
            lives += 1
            sink.value("d/p", lives)
            if lives == 1:
                await asyncio.sleep(1)
                raise error

        driver.script = script
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(3)
            assert scene.samples("d/p") == [(1, GOOD), (None, NO_ANSWER), (2, GOOD)]
        assert sum(str(error) in line for line in told(caplog)) == 1

    virtually(play)


def test_a_driver_that_neither_asks_nor_listens_is_none(tmp_path: Path) -> None:
    _, (driver,) = make(tmp_path, ONE, Asked)

    class Neither(Driver):
        reads, open, close, replay = Asked.reads, Asked.open, Asked.close, Asked.replay

    neither = Neither(driver.setup)
    with pytest.raises(TypeError, match="neither asks nor listens"):
        bus_task(neither, Recorder(lambda: 0, {}, {}), lambda: 0)


class Said(Asked):
    """Asked as well, but says values by itself."""

    def reads(self) -> Sequence[Read]:
        return [
            Read(device.device.id, (), every=1000, values=tuple(point.point.id for point in device.points))
            for device in self.setup.devices
        ]

    async def ask(self, read: Read, sink: Sink) -> None:
        await self.read(read)
        sink.values(read.device, [(name, len(self.asked), GOOD) for name in read.values])


def test_answers_without_a_layout(tmp_path: Path) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, ONE, Said)
        assert isinstance(driver, Said)
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(2.5)
            assert scene.samples("d/p") == [(1, GOOD), (2, GOOD), (3, GOOD)]

            async def silent(read: Read) -> bytes:
                raise NoAnswer("nothing")

            driver.answer = silent
            await asyncio.sleep(1)
            assert scene.samples("d/p") == [(None, NO_ANSWER)]

    virtually(play)
