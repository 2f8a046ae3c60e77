"""A port that is asked: answers in any split, silence, noise before the question, another rate."""

import asyncio
import termios
from collections.abc import Callable, Iterator

import pytest

from drivers.errors import BadAnswer, BusError, NoAnswer
from drivers.port import Port, SerialBus
from tests.drivers.line import Line
from tests.drivers.support import WAIT_SECONDS


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


def until(size: int) -> Callable[[bytes], bytes | None]:
    held = bytearray()

    def take(data: bytes) -> bytes | None:
        held.extend(data)
        return bytes(held) if len(held) >= size else None

    return take


async def asked(port: Port, timeout_ms: float = WAIT_SECONDS * 1000) -> bytes:
    return await port.ask(b"?", until(3), timeout_ms)


async def test_an_answer_in_pieces(line: Line) -> None:
    port = Port(SerialBus(port=line.path))
    await port.open()
    answer = asyncio.ensure_future(asked(port))
    assert await line.heard(1) == b"?"
    for byte in b"abc":
        line.send(bytes([byte]))
        await asyncio.sleep(0)
    assert await answer == b"abc"
    await port.close()


async def test_what_came_before_the_question_is_no_answer(line: Line) -> None:
    port = Port(SerialBus(port=line.path))
    await port.open()
    line.send(b"late")
    answer = asyncio.ensure_future(asked(port))
    await line.heard(1)
    line.send(b"abc")
    assert await answer == b"abc"
    await port.close()


async def test_silence_is_no_answer_and_the_next_question_is_answered(line: Line) -> None:
    port = Port(SerialBus(port=line.path))
    await port.open()
    with pytest.raises(NoAnswer, match="within 20 ms"):
        await asked(port, 20)
    await line.heard(1)
    answer = asyncio.ensure_future(asked(port))
    await line.heard(1)
    line.send(b"xyz")
    assert await answer == b"xyz"
    await port.close()


async def test_what_the_receiver_raises_ends_the_question(line: Line) -> None:
    port = Port(SerialBus(port=line.path))
    await port.open()

    def refuse(data: bytes) -> bytes | None:
        raise BadAnswer("noise")

    answer = asyncio.ensure_future(port.ask(b"?", refuse, WAIT_SECONDS * 1000))
    await line.heard(1)
    line.send(b"abc")
    with pytest.raises(BadAnswer, match="noise"):
        await answer
    await port.close()


async def test_unplugged_while_asked(line: Line) -> None:
    port = Port(SerialBus(port=line.path))
    await port.open()
    answer = asyncio.ensure_future(asked(port))
    await line.heard(1)
    line.unplug()
    with pytest.raises(BusError, match="is gone"):
        await answer
    await port.close()


async def test_sending_takes_as_long_as_the_line(line: Line) -> None:
    port = Port(SerialBus(port=line.path, baud=1200))
    await port.open()
    begin = asyncio.get_running_loop().time()
    await port.send(bytes(12))  # 120 bits at 1200 baud: 100 ms
    assert asyncio.get_running_loop().time() - begin >= 0.099
    await port.close()


async def test_a_send_that_nobody_takes_ends_with_the_close(line: Line) -> None:
    port = Port(SerialBus(port=line.path, baud=115200))
    await port.open()
    sending = asyncio.ensure_future(port.send(bytes(100_000)))  # more than the kernel's buffer of a pty
    await line.heard(1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    async with asyncio.timeout(WAIT_SECONDS):
        await port.close()


async def test_seven_bits_even_and_another_rate(line: Line) -> None:
    port = Port(SerialBus(port=line.path, baud=300, data_bits=7, parity="even"))
    await port.open()
    assert line.settings()[1] == termios.B300
    await port.set_baud(9600)
    assert line.settings()[1] == termios.B9600
    assert port.byte_ms == pytest.approx(10_000 / 9600)  # start, 7 data, parity, stop
    await port.close()


@pytest.mark.parametrize(
    ("text", "byte_ms"), [({"baud": 9600}, 10 / 9.6), ({"baud": 2400, "parity": "even"}, 11 / 2.4)]
)
def test_the_time_of_a_byte(text: dict[str, object], byte_ms: float) -> None:
    assert SerialBus.model_validate({"port": "/dev/x", **text}).byte_ms == pytest.approx(byte_ms)
