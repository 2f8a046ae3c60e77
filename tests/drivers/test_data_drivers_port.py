"""The drivers line, query and frame at a real tty: in any split, silent, late, unplugged; the settings asked for."""

import asyncio
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.base import ListeningDriver, Read
from drivers.errors import BadAnswer, BusError, NoAnswer
from drivers.frame import FrameDriver
from drivers.line import LineDriver
from drivers.query import QueryDriver
from tests.drivers.line import Line, asked_settings
from tests.drivers.support import WAIT_SECONDS, Listener, make

LINKY = b"\nEAST\t003519703\t+\r"  # a meter's group in the tests of hekmon/linkytic
NOVA = bytes.fromhex("aac00600060058d93dab")  # avaldebe/PyPMS, tests/captured_data/SDS01x
WAITED_S = 0.2  # what a test waits for where a driver waits as long as a device said


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


@pytest.fixture(params=["line", "frame"])
def pushed(
    request: pytest.FixtureRequest, tmp_path: Path, line: Line
) -> tuple[ListeningDriver, bytes, list[list[str]]]:
    """A listening driver, what its device sends, and what that is."""
    if request.param == "line":
        text = f'[buses]\nx = {{ driver = "line", port = "{line.path}" }}\n[devices]\n'
        made: ListeningDriver = make(LineDriver, tmp_path, text + 'one = { bus = "x", profile = "linky-standard" }\n')
        return made, LINKY, [["one/energy", "3519703", "good"]]
    text = f'[buses]\nx = {{ driver = "frame", port = "{line.path}" }}\n[devices]\n'
    made = make(FrameDriver, tmp_path, text + 'one = { bus = "x", profile = "nova-sds011" }\n')
    return made, NOVA, [["one/pm2-5", "0.6", "good"], ["one/pm10", "0.6", "good"]]


async def test_cut_at_every_position(line: Line, pushed: tuple[ListeningDriver, bytes, list[list[str]]]) -> None:
    driver, data, read = pushed
    sink = Listener(driver.setup)
    await driver.open()
    task = asyncio.ensure_future(driver.listen(sink))
    line.send(b"\r")
    for cut in range(len(data)):
        line.send(data[:cut])
        await asyncio.sleep(0.001)
        line.send(data[cut:])
        await sink.until(samples=len(read) * (cut + 1))
    line.unplug()
    with pytest.raises(BusError, match="is gone"):
        await asyncio.wait_for(task, WAIT_SECONDS)
    await driver.close()
    assert sink.samples == read * len(data)
    assert sink.failures == []


async def test_what_silence_interrupts_does_not_go_on(
    line: Line, pushed: tuple[ListeningDriver, bytes, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, data, read = pushed
    monkeypatch.setattr("drivers.on_port.MAX_SILENCE_S", 0.02)
    sink = Listener(driver.setup)
    await driver.open()
    task = asyncio.ensure_future(driver.listen(sink))
    line.send(b"\r" + data + data[:5])
    await sink.until(samples=len(read))
    await asyncio.sleep(0.05)  # longer than the silence that is allowed
    line.send(data[5:] + b"\r" + data)
    await sink.until(samples=2 * len(read))
    task.cancel()
    await driver.close()
    assert sink.samples == read * 2


@pytest.mark.parametrize(
    ("options", "flags", "speed"),
    [
        ("", termios.CS8, termios.B9600),
        ("baud = 1200, data_bits = 7, parity = 'even'", termios.CS7 | termios.PARENB, termios.B1200),
        ("baud = 300, parity = 'odd', stop_bits = 2", termios.CS8 | termios.PARENB | termios.PARODD | termios.CSTOPB,
         termios.B300),
    ],
)  # fmt: skip
@pytest.mark.parametrize("driver", ["line", "query", "frame"])
async def test_the_port_is_set_up_as_asked(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch, driver: str, options: str, flags: int, speed: int
) -> None:
    asked = asked_settings(monkeypatch)
    kind = {"line": LineDriver, "query": QueryDriver, "frame": FrameDriver}[driver]
    made = await asyncio.to_thread(
        make, kind, tmp_path, f'[buses.x]\ndriver = "{driver}"\nport = "{line.path}"\n' + options.replace(", ", "\n")
    )
    await made.open()
    await made.close()
    mask = termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB
    assert {(found & mask, rate) for found, rate in asked} == {(flags, speed)}


class Sensor:
    """The other end of the line: waits for commands, answers."""

    def __init__(self, line: Line) -> None:
        self.line = line

    async def answer(self, command: bytes, answer: bytes) -> None:
        """Wait for `command`; say `answer` a byte at a time."""
        assert await self.line.heard(len(command)) == command
        for byte in answer:
            self.line.send(bytes([byte]))
            await asyncio.sleep(0)


async def soil(folder: Path, line: Line, bus: str = "") -> QueryDriver:
    text = f'[buses]\nx = {{ driver = "query", port = "{line.path}", timeout = "100ms"{bus} }}\n[devices]\n'
    return await asyncio.to_thread(
        make, QueryDriver, folder, text + 'one = { bus = "x", address = "0", profile = "sdi12-meter-teros21" }\n'
    )


# SDI-12 1.4, its examples of aM! and of a checksum
READ = [["one/water-potential", "3.14", "good"], ["one/temperature", "2.718", "good"]]


async def asked(driver: QueryDriver, sink: Listener) -> None:
    reads: list[Read] = driver.reads()
    assert [(read.device, read.every) for read in reads] == [("one", 15 * 60_000)]
    await driver.ask(reads[0], sink)


async def test_a_service_request_ends_the_wait(tmp_path: Path, line: Line) -> None:
    driver, sensor = await soil(tmp_path, line), Sensor(line)
    sink = Listener(driver.setup)
    await driver.open()
    task = asyncio.ensure_future(asked(driver, sink))
    await sensor.answer(b"0MC!", b"00302\r\n")
    await asyncio.sleep(WAITED_S)
    line.send(b"0\r\n")
    await sensor.answer(b"0D0!", b"0+3.14+2.718IWO\r\n")
    await asyncio.wait_for(task, WAIT_SECONDS)
    await driver.close()
    assert sink.samples == READ


async def test_without_a_service_request_the_time_is_waited(tmp_path: Path, line: Line) -> None:
    driver, sensor = await soil(tmp_path, line, ", echo = true"), Sensor(line)
    sink = Listener(driver.setup)
    await driver.open()
    begin = asyncio.get_running_loop().time()
    task = asyncio.ensure_future(asked(driver, sink))
    await sensor.answer(b"0MC!", b"0MC!00012\r\n")
    await sensor.answer(b"0D0!", b"0D0!0+3.14+2.718IWO\r\n")
    await asyncio.wait_for(task, WAIT_SECONDS)
    assert asyncio.get_running_loop().time() - begin >= 1
    await driver.close()
    assert sink.samples == READ


async def test_a_late_answer_is_not_taken_for_the_next(tmp_path: Path, line: Line) -> None:
    driver, sensor = await soil(tmp_path, line), Sensor(line)
    sink = Listener(driver.setup)
    await driver.open()
    with pytest.raises(NoAnswer):
        await asked(driver, sink)
    assert await line.heard(4) == b"0MC!"
    task = asyncio.ensure_future(asked(driver, sink))
    await asyncio.sleep(0.01)
    line.send(b"00999\r\n")  # within the time that the line is given to fall silent
    await sensor.answer(b"0MC!", b"00002\r\n")
    await sensor.answer(b"0D0!", b"0+3.14+2.718IWO\r\n")
    await asyncio.wait_for(task, WAIT_SECONDS)
    await driver.close()
    assert sink.samples == READ


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (b"10012\r\n", b"", "of no shape"),
        (b"0001\r\n", b"", "of no shape"),
        (b"09991\r\n", b"", "a wait that is none, or over 40 s"),
        (b"00002\r\n", b"0+3.15+2.718IWO\r\n", "wrong checksum"),
        (b"00002\r\n", b"0+3.14+2.718\r\n", "wrong checksum"),
        (b"00002\r\n", b"0+3.14OqZ\r\n", "of no shape"),
        (b"0\xff02\r\n", b"", "a byte that no line may hold"),
        (b"0" * 300, b"", "longer than a line may be"),
    ],
)
async def test_what_is_no_answer_is_no_value(
    tmp_path: Path, line: Line, first: bytes, second: bytes, told: str
) -> None:
    driver, sensor = await soil(tmp_path, line), Sensor(line)
    sink = Listener(driver.setup)
    await driver.open()
    task = asyncio.ensure_future(asked(driver, sink))
    await sensor.answer(b"0MC!", first)
    if second:
        await sensor.answer(b"0D0!", second)
    with pytest.raises(BadAnswer, match=told):
        await asyncio.wait_for(task, WAIT_SECONDS)
    await driver.close()
    assert sink.samples == []


async def test_unplugged_in_the_middle_of_a_measurement(tmp_path: Path, line: Line) -> None:
    driver, sensor = await soil(tmp_path, line), Sensor(line)
    await driver.open()
    task = asyncio.ensure_future(asked(driver, Listener(driver.setup)))
    await sensor.answer(b"0MC!", b"00302\r\n")
    await asyncio.sleep(0.05)
    line.unplug()
    with pytest.raises(BusError, match="is gone"):
        await asyncio.wait_for(task, WAIT_SECONDS)
    await driver.close()
