"""A real tty: bytes at the pace of the line, in any split; unplugged, busy, missing."""

import asyncio
import os
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.errors import BusError
from drivers.nmea import NmeaDriver
from drivers.port import Port, SerialBus
from tests.drivers.support import WAIT_SECONDS, Listener, make

# Vaisala WMT700 User's Guide, E.3, and M210822EN-F: the examples of MWV
WIND = b"$WIMWV,39,R,1.3,M,A*06\r\n"
READ = [["wind/direction", "39", "good"], ["wind/speed", "1.3", "good"]]
BITS_PER_BYTE = 10  # 8N1


class Line:
    """A pty: the driver gets the device file, the test the other end."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(self.master)
        self.path = os.ttyname(slave)
        os.close(slave)  # the driver alone holds it then, so closing the master hangs it up

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def unplug(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


@pytest.fixture
def spare_line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


def wind(folder: Path, line: Line, baud: int = 4800) -> NmeaDriver:
    text = f"""
[buses]
mast = {{ driver = "nmea", port = "{line.path}", baud = {baud} }}
[devices]
wind = {{ bus = "mast", profile = "nmea-mwv" }}
"""
    return make(NmeaDriver, folder, text)


@pytest.fixture
def driver(tmp_path: Path, line: Line) -> NmeaDriver:
    return wind(tmp_path, line)


@pytest.fixture
def twin(tmp_path: Path, line: Line) -> NmeaDriver:
    return wind(tmp_path, line)


@pytest.fixture
def spare(tmp_path: Path, spare_line: Line) -> NmeaDriver:
    return wind(tmp_path, spare_line)


@pytest.fixture
def fast(tmp_path: Path, line: Line) -> NmeaDriver:
    return wind(tmp_path, line, baud=38400)


@contextmanager
def listening(driver: NmeaDriver, sink: Listener) -> Iterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(driver.listen(sink))
    try:
        yield task
    finally:
        task.cancel()


async def test_bytes_at_the_pace_of_the_line(driver: NmeaDriver, line: Line) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink):
        for byte in WIND + WIND:
            line.send(bytes([byte]))
            await asyncio.sleep(BITS_PER_BYTE / 4800)
        await sink.until(samples=4)
    await driver.close()
    assert sink.samples == READ * 2


async def test_a_sentence_cut_at_every_position(driver: NmeaDriver, line: Line) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink):
        for cut in range(len(WIND)):
            line.send(b"\xff\x00noise" + WIND[:cut])
            await asyncio.sleep(0.001)  # the driver sees the first part by itself
            line.send(WIND[cut:])
            await sink.until(samples=2 * (cut + 1))
    await driver.close()
    assert sink.samples == READ * len(WIND)
    assert sink.failures == []


async def test_an_unplugged_port_is_an_outage_that_ends(
    driver: NmeaDriver, line: Line, spare: NmeaDriver, spare_line: Line
) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink) as task:
        line.send(WIND)
        await sink.until(samples=2)
        line.unplug()
        with pytest.raises(BusError, match="is gone"):
            await asyncio.wait_for(task, WAIT_SECONDS)
    await driver.close()
    await spare.open()
    with listening(spare, sink):
        spare_line.send(WIND)
        await sink.until(samples=4)
    await spare.close()


async def test_the_same_driver_opens_again(driver: NmeaDriver, line: Line) -> None:
    sink = Listener(driver.setup)
    for times in (1, 2, 3):
        await driver.open()
        with listening(driver, sink):
            line.send(WIND)
            await sink.until(samples=2 * times)
        await driver.close()
        await driver.close()


async def test_a_sentence_begun_before_an_outage_does_not_end_after_it(driver: NmeaDriver, line: Line) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink):
        line.send(WIND + WIND[:12])
        await sink.until(samples=2)
    await driver.close()
    await driver.open()
    with listening(driver, sink):
        line.send(WIND[12:] + WIND)
        await sink.until(samples=4)
    await driver.close()
    assert sink.failures == []
    assert sink.samples == READ * 2


async def test_the_line_is_set_up_as_asked(fast: NmeaDriver, line: Line) -> None:
    await fast.open()
    _, _, control, local, in_speed, out_speed, _ = termios.tcgetattr(line.master)
    await fast.close()
    assert in_speed == out_speed == termios.B38400
    assert control & termios.CSIZE == termios.CS8
    assert not control & (termios.PARENB | termios.CSTOPB)
    assert not local & (termios.ICANON | termios.ECHO)


async def test_a_port_has_one_owner(driver: NmeaDriver, twin: NmeaDriver, line: Line) -> None:
    await driver.open()
    with pytest.raises(BusError, match=f"cannot open {line.path}: another program has it open"):
        await twin.open()
    await driver.close()
    await twin.open()
    await twin.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_text("no tty")
    return made


async def test_a_port_that_is_not_there(file: Path) -> None:
    with pytest.raises(BusError, match="cannot open /dev/serial/by-id/none: no such file"):
        await Port(SerialBus(port="/dev/serial/by-id/none", baud=4800)).open()
    with pytest.raises(BusError, match=f"cannot open {file}: is no serial port"):
        await Port(SerialBus(port=str(file), baud=4800)).open()


async def test_listening_needs_an_open_port(driver: NmeaDriver, line: Line) -> None:
    with pytest.raises(BusError, match="is not open"):
        await driver.listen(Listener(driver.setup))


async def test_a_cancelled_opening_leaves_nothing_open(line: Line) -> None:
    opening = asyncio.ensure_future(Port(SerialBus(port=line.path, baud=4800)).open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            port = Port(SerialBus(port=line.path, baud=4800))
            try:
                await port.open()
            except BusError:
                await asyncio.sleep(0.01)
                continue
            break
    await port.close()


async def test_a_fault_of_the_sink_is_not_swallowed(line: Line) -> None:
    port = Port(SerialBus(port=line.path, baud=4800))
    await port.open()

    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    line.send(b"x")
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(port.listen(fail), WAIT_SECONDS)
    await port.close()


async def test_a_flood_is_read_whole(driver: NmeaDriver, line: Line) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink):
        for times in range(1, 21):
            line.send(WIND * 40 + b"$")
            await sink.until(samples=80 * times)
    await driver.close()
    assert sink.samples == READ * 800
    assert len(sink.failures) == 19
