"""A real tty with a meter at its other end: handshake, rates, echo, silence, unplugging."""

import asyncio
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.errors import BadAnswer, BusError, NoAnswer
from drivers.iec62056 import Iec62056Driver
from tests.drivers.iec62056.readouts import ENCODER, LOGAREX, parts
from tests.drivers.line import Line
from tests.drivers.support import WAIT_SECONDS, Listener, make

IDENTIFICATION, BLOCK = parts(LOGAREX)
READ = [["meter/import", "15882.6927", "good"], ["meter/export", "219.4882", "good"]]
REQUEST, ACKNOWLEDGEMENT = b"/?!\r\n", b"\x06050\r\n"


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


def driver(folder: Path, line: Line, bus: str = "", device: str = 'profile = "iec-totals"') -> Iec62056Driver:
    text = f"""
[buses]
head = {{ driver = "iec62056", port = "{line.path}"{bus} }}
[devices]
meter = {{ bus = "head", {device} }}
"""
    return make(Iec62056Driver, folder, text)


@asynccontextmanager
async def asking(made: Iec62056Driver) -> AsyncIterator[tuple["asyncio.Task[None]", Listener]]:
    sink = Listener(made.setup)
    await made.open()
    task = asyncio.ensure_future(made.ask(made.reads()[0], sink))
    try:
        yield task, sink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.close()


async def rate(line: Line, speed: int) -> None:
    """Wait until the port runs at that rate."""
    async with asyncio.timeout(WAIT_SECONDS):
        while line.settings()[1] != speed:  # noqa: ASYNC110 - nobody tells when a termios changes
            await asyncio.sleep(0.001)


async def test_mode_c_from_300_to_9600_baud(tmp_path: Path, line: Line) -> None:
    async with asking(await asyncio.to_thread(driver, tmp_path, line)) as (task, sink):
        assert await line.heard(len(REQUEST)) == REQUEST
        assert line.settings()[1] == termios.B300  # a pty keeps no other setting than 8 bits without parity
        line.send(REQUEST + IDENTIFICATION)  # an optical head echoes
        assert await line.heard(len(ACKNOWLEDGEMENT)) == ACKNOWLEDGEMENT
        assert line.settings()[1] == termios.B300  # until its last bit is on the line
        line.send(ACKNOWLEDGEMENT)
        await rate(line, termios.B9600)
        for cut in range(0, len(BLOCK), 40):
            line.send(BLOCK[cut : cut + 40])
            await asyncio.sleep(0)
        await task
    assert sink.samples == READ


async def test_each_readout_begins_at_300_baud_again(tmp_path: Path, line: Line) -> None:
    made = await asyncio.to_thread(driver, tmp_path, line)
    async with asking(made) as (task, sink):
        for _ in range(2):
            await line.heard(len(REQUEST))
            assert line.settings()[1] == termios.B300
            line.send(IDENTIFICATION)
            await line.heard(len(ACKNOWLEDGEMENT))
            await rate(line, termios.B9600)
            line.send(BLOCK)
            await task
            task = asyncio.ensure_future(made.ask(made.reads()[0], sink))
        task.cancel()
    assert sink.samples == READ * 2


async def test_a_head_that_is_slower_than_the_meter(tmp_path: Path, line: Line) -> None:
    async with asking(await asyncio.to_thread(driver, tmp_path, line, ", max_baud = 2400")) as (task, sink):
        await line.heard(len(REQUEST))
        line.send(IDENTIFICATION)
        assert await line.heard(6) == b"\x06000\r\n"
        line.send(BLOCK)
        await task
        assert line.settings()[1] == termios.B300
    assert sink.samples == READ


async def test_mode_a_cut_at_every_position(tmp_path: Path, line: Line) -> None:
    points = 'points.volume = { obis = "7-1:1.0", unit = "m3" }'
    made = await asyncio.to_thread(driver, tmp_path, line, ", baud = 19200", points)
    sink = Listener(made.setup)
    await made.open()
    for cut in range(len(ENCODER)):
        task = asyncio.ensure_future(made.ask(made.reads()[0], sink))
        await line.heard(len(REQUEST))
        line.send(ENCODER[:cut])
        await asyncio.sleep(0)
        line.send(ENCODER[cut:])
        await task
    await made.close()
    assert sink.samples == [["meter/volume", "1234.5", "good"]] * len(ENCODER)


async def test_a_meter_with_an_address(tmp_path: Path, line: Line) -> None:
    async with asking(
        await asyncio.to_thread(
            driver, tmp_path, line, ", baud = 19200", 'address = "50871031", profile = "iec-totals"'
        )
    ) as (
        _,
        _,
    ):
        assert await line.heard(13) == b"/?50871031!\r\n"


@pytest.mark.parametrize("said", [b"", b"/LOG", IDENTIFICATION], ids=["nothing", "half", "no-block"])
async def test_silence_is_no_answer(tmp_path: Path, line: Line, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.iec62056.driver.SILENCE_MS", 60)
    async with asking(await asyncio.to_thread(driver, tmp_path, line, ", baud = 19200")) as (task, sink):
        await line.heard(len(REQUEST))
        line.send(said)
        with pytest.raises(NoAnswer, match="silent for 60 ms"):
            await task
    assert sink.samples == []


async def test_a_wrong_check_is_a_bad_answer(tmp_path: Path, line: Line) -> None:
    device = 'mode = "A", profile = "iec-totals"'
    async with asking(await asyncio.to_thread(driver, tmp_path, line, ", baud = 19200", device)) as (task, sink):
        await line.heard(len(REQUEST))
        line.send(LOGAREX[:-1] + b"h")
        with pytest.raises(BadAnswer, match="wrong checksum"):
            await task
    assert sink.samples == []


async def test_unplugged_inside_a_readout(tmp_path: Path, line: Line) -> None:
    device = 'mode = "A", profile = "iec-totals"'
    async with asking(await asyncio.to_thread(driver, tmp_path, line, ", baud = 19200", device)) as (task, sink):
        await line.heard(len(REQUEST))
        line.send(LOGAREX[:100])
        await asyncio.sleep(0)
        line.unplug()
        with pytest.raises(BusError, match="is gone"):
            await task
    assert sink.samples == []
