"""Meters on a pty: at the pace of the line, with an echo, in several telegrams, by number, spoilt, dead, unplugged."""

import asyncio
import random
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.conformance import Heard
from drivers.errors import BadAnswer, BusError, NoAnswer
from drivers.mbus import MbusDriver
from tests.drivers.line import Line
from tests.drivers.mbus.slaves import Bus, Slave, long_frame
from tests.drivers.mbus.telegrams import HEAT, WATER, header
from tests.drivers.support import WAIT_SECONDS, make

BAUD = 38400  # the fastest rate: the tests wait for timeouts, too
# libmbus's reading of its test frame ELS_Elster-F96-Plus
READ = [["heat/flow-temperature", "22.7", "good"], ["heat/return-temperature", "22.6", "good"]]
POINTS = """
[devices.heat.points.flow-temperature]
quantity = "flow-temperature"
unit = "Cel"
[devices.heat.points.return-temperature]
quantity = "return-temperature"
unit = "Cel"
"""


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


def driver_on(folder: Path, line: Line, where: str = "address = 6", baud: int = BAUD) -> MbusDriver:
    text = f"""
[buses]
cellar = {{ driver = "mbus", port = "{line.path}", baud = {baud}, latency = "20ms" }}
[devices.heat]
bus = "cellar"
{where}
{POINTS}"""
    return make(MbusDriver, folder, text)


@asynccontextmanager
async def serving(bus: Bus, driver: MbusDriver) -> AsyncIterator[Heard]:
    await driver.open()
    task = asyncio.ensure_future(bus.serve())
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            yield Heard(driver.setup)
    finally:
        task.cancel()
        await driver.close()


async def ask(driver: MbusDriver, sink: Heard) -> None:
    await driver.ask(driver.reads()[0], sink)


@pytest.fixture
def driver(tmp_path: Path, line: Line) -> MbusDriver:
    return driver_on(tmp_path, line)


@pytest.fixture
def slow(tmp_path: Path, line: Line) -> MbusDriver:
    return driver_on(tmp_path, line, baud=9600)


@pytest.fixture
def slower(tmp_path: Path, line: Line) -> MbusDriver:
    """On a line that leaves a loaded machine 190 ms to begin an answer; at 9600 baud it is 85 ms."""
    return driver_on(tmp_path, line, baud=2400)


@pytest.fixture
def by_number(tmp_path: Path, line: Line) -> MbusDriver:
    return driver_on(tmp_path, line, 'secondary = "FFF93951"\nmanufacturer = "ELS"')


async def test_the_settings_of_the_standard(slow: MbusDriver, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []  # a pty forgets the parity, so what the driver asks for is what counts
    real = termios.tcsetattr

    def recording(descriptor: int, when: int, attributes: list[Any]) -> None:
        asked.append(list(attributes))
        real(descriptor, when, attributes)

    monkeypatch.setattr(termios, "tcsetattr", recording)
    async with serving(Bus(line, Slave(6, [HEAT])), slow):
        _, _, flags, _, _, speed, _ = asked[-1]
        assert speed == termios.B9600
        assert flags & termios.CSIZE == termios.CS8
        assert flags & termios.PARENB
        assert not flags & (termios.PARODD | termios.CSTOPB)


@pytest.mark.parametrize("echo", [False, True])
async def test_an_answer_at_the_pace_of_the_line(slower: MbusDriver, line: Line, echo: bool) -> None:
    slave = Slave(6, [HEAT])
    async with serving(Bus(line, slave, echo=echo, byte_s=11 / 2400), slower) as sink:
        await ask(slower, sink)
        assert sink.samples == READ
        assert [frame[1] for frame in slave.asked] == [0x40, 0x7B]  # EN 13757-2: reset, then FCB set


async def test_several_telegrams_are_one_read_out(driver: MbusDriver, line: Line) -> None:
    first = long_frame(header(HEAT) + bytes.fromhex("0A5A2702 1F".replace(" ", "")))
    middle = long_frame(header(HEAT) + b"\x1f")
    last = long_frame(header(HEAT) + bytes.fromhex("0A5E2602"))
    slave = Slave(6, [first, middle, last])
    async with serving(Bus(line, slave, echo=True), driver) as sink:
        for _ in range(2):
            await ask(driver, sink)
        assert sink.samples == READ * 2
        assert [frame[1] for frame in slave.asked] == [0x40, 0x7B, 0x5B, 0x7B] * 2


async def test_a_spoilt_answer_is_asked_for_again_and_nothing_is_skipped(driver: MbusDriver, line: Line) -> None:
    first = long_frame(header(HEAT) + bytes.fromhex("0A5A27021F"))
    last = long_frame(header(HEAT) + bytes.fromhex("0A5E2602"))
    slave = Slave(6, [first, last], spoils=2)
    async with serving(Bus(line, slave), driver) as sink:
        await ask(driver, sink)
        assert sink.samples == READ
        assert [frame[1] for frame in slave.asked] == [0x40, 0x7B, 0x7B, 0x7B, 0x5B]


async def test_what_is_spoilt_three_times_is_an_error(driver: MbusDriver, line: Line) -> None:
    async with serving(Bus(line, Slave(6, [HEAT], spoils=3)), driver) as sink:
        with pytest.raises(BadAnswer, match="wrong checksum"):
            await ask(driver, sink)
        assert sink.samples == []
        await ask(driver, sink)
        assert sink.samples == READ


async def test_noise_before_an_answer(driver: MbusDriver, line: Line) -> None:
    async with serving(Bus(line, Slave(6, [HEAT]), noise=b"\x00\x68\xff\x10"), driver) as sink:
        await ask(driver, sink)
        assert sink.samples == READ


async def test_a_dead_meter_is_told_soon_and_the_next_one_answers(driver: MbusDriver, line: Line) -> None:
    async with serving(Bus(line, Slave(6, [HEAT], deaf=3), echo=True), driver) as sink:
        begin = asyncio.get_running_loop().time()
        with pytest.raises(NoAnswer):
            await ask(driver, sink)
        # three times 330 bit times + 50 ms (EN 13757-2) + 20 ms of latency, and the pauses; a loaded machine needs more
        assert 0.2 < asyncio.get_running_loop().time() - begin < 2
        await ask(driver, sink)
        assert sink.samples == READ


async def test_another_address_is_no_answer(driver: MbusDriver, line: Line) -> None:
    class Wrong(Slave):
        def hear(self, frame: bytes) -> bytes:
            return b"\xe5" if frame[1] == 0x40 else WATER

    async with serving(Bus(line, Wrong(6, [WATER])), driver) as sink:
        with pytest.raises(NoAnswer):
            await ask(driver, sink)
        assert sink.samples == []


async def test_a_meter_by_its_number(by_number: MbusDriver, line: Line) -> None:
    heat, water = Slave(0, [HEAT]), Slave(0, [WATER])
    bus = Bus(line, heat, water, echo=True)
    async with serving(bus, by_number) as sink:
        await ask(by_number, sink)
        assert sink.samples == READ
        # EN 13757-7, selection: number, manufacturer (ELS is 1593), any version, any medium
        assert bus.heard[0] == long_frame(bytes.fromhex("53FD52 5139F9FF 9315 FF FF".replace(" ", "")))
        assert (heat.selected, water.selected) == (True, False)


async def test_a_number_that_is_not_there(by_number: MbusDriver, line: Line) -> None:
    async with serving(Bus(line, Slave(0, [WATER])), by_number) as sink:
        with pytest.raises(NoAnswer):
            await ask(by_number, sink)


async def test_another_number_than_the_selected_one_is_refused(by_number: MbusDriver, line: Line) -> None:
    class Wrong(Slave):
        def hear(self, frame: bytes) -> bytes:
            return b"\xe5" if frame[0] == 0x68 else WATER

    async with serving(Bus(line, Wrong(0, [WATER])), by_number) as sink:
        with pytest.raises(BadAnswer, match="another meter"):
            await ask(by_number, sink)


async def test_unplugged_while_asked(driver: MbusDriver, line: Line) -> None:
    class Unplugs(Slave):
        def hear(self, frame: bytes) -> bytes:  # noqa: ARG002 - as `Slave` has it
            line.unplug()
            return b""

    async with serving(Bus(line, Unplugs(6, [HEAT])), driver) as sink:
        with pytest.raises(BusError, match="is gone"):
            await ask(driver, sink)


async def test_an_answer_cut_at_every_position(driver: MbusDriver, line: Line) -> None:
    class Cuts(Bus):
        cut = 0

        async def _say(self, data: bytes) -> None:
            for part in (data[: self.cut], data[self.cut :]):
                if part:
                    self._line.send(part)
                await asyncio.sleep(0.0005)

    bus = Cuts(line, Slave(6, [HEAT]))
    async with serving(bus, driver) as sink:
        for bus.cut in range(len(HEAT)):
            await ask(driver, sink)
        assert sink.samples == READ * len(HEAT)


async def test_flipped_bits_cost_telegrams_and_never_make_a_value(driver: MbusDriver, line: Line) -> None:
    dice = random.Random(13757)

    class Flips(Bus):
        flipped = 0

        async def _say(self, data: bytes) -> None:
            noisy = bytearray(data)
            for at in range(len(noisy)):
                if dice.random() < 1 / 300:  # a third of the telegrams
                    noisy[at] ^= 1 << dice.randrange(8)
                    self.flipped += 1
            self._line.send(bytes(noisy))

    bus, lost = Flips(line, Slave(6, [HEAT])), 0
    async with serving(bus, driver) as sink:
        for _ in range(30):
            try:
                await ask(driver, sink)
            except (NoAnswer, BadAnswer):
                lost += 1
        assert bus.flipped > 5
        assert lost < 5
        assert sink.samples == READ * (30 - lost)
