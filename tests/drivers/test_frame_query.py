"""Questions and answers in frames at a real tty: in any split, damaged, late, silent, unplugged."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.errors import BadAnswer, BusError, NoAnswer
from drivers.frame_query import FrameQueryDriver
from tests.drivers.line import Line
from tests.drivers.support import WAIT_SECONDS, Listener, make

# the command and the answer of the golden case
QUESTION = bytes.fromhex("ff0186000000000079")
ANSWER = bytes.fromhex("ff8602604700 0000d1")
READ = ["one/co2", "608", "good"]


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


@pytest.fixture
def driver(tmp_path: Path, line: Line) -> FrameQueryDriver:
    text = f'[buses]\nx = {{ driver = "frame-query", port = "{line.path}", timeout = "100ms" }}\n[devices]\n'
    return make(FrameQueryDriver, tmp_path, text + 'one = { bus = "x", profile = "winsen-mh-z14a" }\n')


async def asked(driver: FrameQueryDriver, sink: Listener) -> None:
    (read,) = driver.reads()
    assert (read.device, read.every) == ("one", 10_000)
    await asyncio.wait_for(driver.ask(read, sink), WAIT_SECONDS)


async def test_cut_at_every_position_with_an_echo_before(line: Line, driver: FrameQueryDriver) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    whole = QUESTION + ANSWER
    for cut in range(len(whole)):
        task = asyncio.ensure_future(asked(driver, sink))
        assert await line.heard(len(QUESTION)) == QUESTION
        line.send(whole[:cut])
        await asyncio.sleep(0.001)
        line.send(whole[cut:])
        await task
    await driver.close()
    assert sink.samples == [READ] * len(whole)


async def test_every_flipped_bit_is_no_value(line: Line, driver: FrameQueryDriver) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    for at in range(2, len(ANSWER)):
        task = asyncio.ensure_future(asked(driver, sink))
        await line.heard(len(QUESTION))
        line.send(ANSWER[:at] + bytes((ANSWER[at] ^ 0x10,)) + ANSWER[at + 1 :])
        with pytest.raises(BadAnswer, match="wrong checksum"):
            await task
    await driver.close()
    assert sink.samples == []


async def test_a_late_answer_is_not_taken_for_the_next(line: Line, driver: FrameQueryDriver) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with pytest.raises(NoAnswer):
        await asked(driver, sink)
    await line.heard(len(QUESTION))
    task = asyncio.ensure_future(asked(driver, sink))
    await asyncio.sleep(0.01)
    line.send(bytes.fromhex("ff8601904500 0000a4"))  # within the time that the line is given to fall silent
    await line.heard(len(QUESTION))
    line.send(ANSWER)
    await task
    await driver.close()
    assert sink.samples == [READ]


async def test_unplugged_before_the_answer(line: Line, driver: FrameQueryDriver) -> None:
    await driver.open()
    task = asyncio.ensure_future(asked(driver, Listener(driver.setup)))
    await line.heard(len(QUESTION))
    line.unplug()
    with pytest.raises(BusError, match="is gone"):
        await task
    await driver.close()
