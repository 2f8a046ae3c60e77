"""The client before servers that lie, are silent, late, broken or gone."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from drivers.base import Read
from drivers.errors import BadAnswer, BusError, DeviceError, ExceptionAnswer, NoAnswer
from drivers.modbus import ModbusDriver
from drivers.modbus.client import MbapClient
from drivers.modbus.tcp import TcpLink
from tests.drivers.modbus.support import Answer, Server, device, make, numbers, reply, server

GOOD_UNIT, ILL_UNIT = 1, 2
GOOD_DATA = struct.pack(">3H", 10, 11, 12)
DEVICES = device("good", GOOD_UNIT, "a holding 10", "b holding 12")
DEVICES += device("ill", ILL_UNIT, "a holding 20", "b holding 22")
Make = Callable[[bytes], bytes]


@asynccontextmanager
async def opened(folder: Path, answer: Answer, patience: str = "80ms") -> AsyncIterator[tuple[ModbusDriver, Server]]:
    """A driver connected to a server that answers the good unit rightly, and unit 2 by `answer`."""

    async def answered(frame: bytes, writer: asyncio.StreamWriter) -> None:
        if numbers(frame)[1] == GOOD_UNIT:
            writer.write(reply(frame))
        else:
            await answer(frame, writer)

    async with server(answered) as served:
        driver = await asyncio.to_thread(make, folder, DEVICES, served.port, patience)
        await driver.open()
        try:
            yield driver, served
        finally:
            await driver.close()


def _reads(driver: ModbusDriver) -> tuple[Read, Read]:
    good, ill = driver.reads()
    return good, ill


async def _good_is_as_it_was(driver: ModbusDriver, served: Server) -> None:
    assert await driver.read(_reads(driver)[0]) == GOOD_DATA
    assert served.connections == 1


async def _nothing(frame: bytes, writer: asyncio.StreamWriter) -> None:
    """Silence."""


async def test_a_silent_unit_never_costs_the_connection_nor_another_unit(tmp_path: Path) -> None:
    async with opened(tmp_path, _nothing, "20ms") as (driver, served):
        good, ill = _reads(driver)
        for _ in range(30):
            with pytest.raises(NoAnswer, match=r"no answer within 0\.02 s"):
                await driver.read(ill)
            assert await driver.read(good) == GOOD_DATA
        for _ in range(10):
            with pytest.raises(NoAnswer):
                await driver.read(ill)
        await _good_is_as_it_was(driver, served)


async def test_an_exception_is_an_answer_and_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    async def refuse(frame: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(frame, bytes([0x83, 4])))

    async with opened(tmp_path, refuse) as (driver, served):
        for _ in range(10):
            with pytest.raises(ExceptionAnswer, match="exception 4: server device failure"):
                await driver.read(_reads(driver)[1])
            await _good_is_as_it_was(driver, served)


LIES: dict[str, Make] = {
    "wrong unit": lambda frame: reply(frame, unit=9),
    "unit 0": lambda frame: reply(frame, unit=0),
    "wrong function": lambda frame: reply(frame, b"\x04\x06" + bytes(6)),
    "unknown function": lambda frame: reply(frame, b"\x63\x06" + bytes(6)),
    "exception of another function": lambda frame: reply(frame, b"\x84\x02"),
    "too few registers": lambda frame: reply(frame, b"\x03\x04" + bytes(4)),
    "too many registers": lambda frame: reply(frame, b"\x03\x08" + bytes(8)),
    "count smaller than the data": lambda frame: reply(frame, b"\x03\x04" + bytes(6)),
    "count larger than the data": lambda frame: reply(frame, b"\x03\x06" + bytes(4)),
    "function code only": lambda frame: reply(frame, b"\x03"),
    "echo": lambda frame: frame,
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_is_no_answer_to_the_question_is_told_at_once(tmp_path: Path, lie: str) -> None:
    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(LIES[lie](frame))

    async with opened(tmp_path, answer, "10s") as (driver, served):
        async with asyncio.timeout(5):
            with pytest.raises(BadAnswer):
                await driver.read(_reads(driver)[1])
        await _good_is_as_it_was(driver, served)


STRAY: dict[str, Make] = {
    "transaction of another": lambda frame: reply(frame, transaction=numbers(frame)[0] + 1),
    "transaction 0": lambda frame: reply(frame, transaction=0),
}
GARBAGE: dict[str, Make] = {
    "another protocol": lambda frame: frame[:2] + b"\0\1" + reply(frame)[4:],
    "length 0": lambda frame: frame[:4] + b"\0\0" + reply(frame)[6:],
    "length 65535": lambda frame: frame[:4] + b"\xff\xff" + reply(frame)[6:],
    "text": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n" * 40,
    "a flood": lambda _: b"\x55" * 100_000,
}


@pytest.mark.parametrize("kind", STRAY)
async def test_an_answer_to_something_else_is_no_answer(tmp_path: Path, kind: str) -> None:
    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(STRAY[kind](frame))

    async with opened(tmp_path, answer) as (driver, served):
        with pytest.raises(NoAnswer):
            await driver.read(_reads(driver)[1])
        await _good_is_as_it_was(driver, served)


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_is_told_and_costs_no_other_unit_anything(tmp_path: Path, kind: str) -> None:
    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(GARBAGE[kind](frame))

    async with opened(tmp_path, answer) as (driver, served):
        for _ in range(3):
            with pytest.raises(BadAnswer, match="no Modbus TCP frame"):
                await driver.read(_reads(driver)[1])
            await _good_is_as_it_was(driver, served)


async def test_a_server_that_sends_without_end_is_left(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while True:
                writer.write(reply(frame, transaction=1) * 1000)
                await writer.drain()
        left.set()

    async with opened(tmp_path, answer, "5s") as (driver, served):
        for _ in range(2):
            with pytest.raises(BusError, match="sends without end"):
                await driver.read(_reads(driver)[1])
        await left.wait()
        await driver.open()
        assert await driver.read(_reads(driver)[0]) == GOOD_DATA
        assert served.connections == 2


async def test_a_frame_that_never_ends_swallows_no_answer(tmp_path: Path) -> None:
    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(frame)[:10])

    async with opened(tmp_path, answer) as (driver, served):
        for _ in range(3):
            with pytest.raises(NoAnswer):
                await driver.read(_reads(driver)[1])
            await _good_is_as_it_was(driver, served)


async def test_a_late_answer_is_never_taken_for_the_next(tmp_path: Path) -> None:
    late: list[bytes] = []

    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        # the answer to each request comes with the next request, before its own or instead of it
        if late:
            writer.write(late.pop())
        late.append(reply(frame, b"\x03\x06" + frame[:2] * 3))

    async with opened(tmp_path, answer, "40ms") as (driver, served):
        for _ in range(5):
            with pytest.raises(NoAnswer):
                await driver.read(_reads(driver)[1])
        await _good_is_as_it_was(driver, served)


async def test_late_answers_merged_with_the_right_one(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append(frame)
        if len(asked) == 4:
            writer.write(b"".join(reply(f, b"\x03\x06" + f[:2] * 3) for f in asked))

    async with opened(tmp_path, answer, "60ms") as (driver, served):
        ill = _reads(driver)[1]
        for _ in range(3):
            with pytest.raises(NoAnswer):
                await driver.read(ill)
        assert await driver.read(ill) == asked[-1][:2] * 3
        await _good_is_as_it_was(driver, served)


async def test_many_late_answers_at_once_hide_no_right_one(tmp_path: Path) -> None:
    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        stale = b"".join(reply(frame, b"\x03\xfa" + bytes(250), transaction=40_000 + i) for i in range(20))
        writer.write(stale + reply(frame))

    async with opened(tmp_path, answer, "1s") as (driver, _):
        assert await driver.read(_reads(driver)[1]) == struct.pack(">3H", 20, 21, 22)


async def test_an_answer_in_single_bytes_and_one_given_twice(tmp_path: Path) -> None:
    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in reply(frame) * 2:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with opened(tmp_path, answer, "5s") as (driver, served):
        assert await driver.read(_reads(driver)[1]) == struct.pack(">3H", 20, 21, 22)
        await _good_is_as_it_was(driver, served)


async def test_a_connection_lost_is_told_at_once_and_opened_anew_only_when_asked(tmp_path: Path) -> None:
    async def hang_up(frame: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with opened(tmp_path, hang_up, "10s") as (driver, served):
        good, ill = _reads(driver)
        async with asyncio.timeout(5):
            with pytest.raises(BusError, match="closed by the other side"):
                await driver.read(ill)
        with pytest.raises(BusError, match="closed by the other side"):
            await driver.read(good)
        assert served.connections == 1
        await driver.open()
        assert await driver.read(good) == GOOD_DATA
        assert served.connections == 2


async def test_a_host_that_is_not_there(tmp_path: Path, free_port: int) -> None:
    driver = await asyncio.to_thread(make, tmp_path, DEVICES, free_port)
    with pytest.raises(BusError, match=f"no connection to 127.0.0.1:{free_port}: Connection refused"):
        await driver.open()
    with pytest.raises(BusError, match="no connection to"):
        await driver.read(driver.reads()[0])
    await driver.close()
    await driver.close()


async def test_a_host_that_takes_no_connection(tmp_path: Path) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            text = 'connect_timeout = "100ms"\n' + DEVICES
            driver = await asyncio.to_thread(make, tmp_path, text, port)
            with pytest.raises(BusError, match="no answer"):
                await driver.open()


async def test_a_host_that_is_switched_off_is_left_to_tcp_to_notice(tmp_path: Path) -> None:
    async with opened(tmp_path, _nothing, "5s") as (driver, _):
        client = driver._client
        assert isinstance(client, MbapClient)
        link = client._talk.link
        assert isinstance(link, TcpLink)
        assert link._transport is not None
        connection = link._transport.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_reading_before_open_and_after_close(tmp_path: Path) -> None:
    async with opened(tmp_path, _nothing) as (driver, _):
        await driver.close()
        with pytest.raises(BusError, match="is not open"):
            await driver.read(_reads(driver)[0])
        await driver.open()
        assert await driver.read(_reads(driver)[0]) == GOOD_DATA


async def test_a_cancelled_read_leaves_the_client_usable(tmp_path: Path) -> None:
    held: list[bytes] = []

    async def hold(frame: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(reply(f) for f in held))
        held[:] = [frame]

    async with opened(tmp_path, hold, "10s") as (driver, served):
        for _ in range(3):
            reading = asyncio.create_task(driver.read(_reads(driver)[1]))
            await served.asked()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await _good_is_as_it_was(driver, served)
            await served.asked()


async def test_a_cancel_that_meets_the_answer_is_not_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path, _nothing, "10s") as (driver, served):
        for spins in range(12):
            reading = asyncio.create_task(driver.read(_reads(driver)[0]))
            await served.asked()
            for _ in range(spins):
                await asyncio.sleep(0)
            if reading.done():
                break
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        await _good_is_as_it_was(driver, served)


async def test_lies_are_raised_and_not_logged_as_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def lie(frame: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(frame, transaction=7777) + b"\x55" * 600)

    async with opened(tmp_path, lie, "20ms") as (driver, _):
        for _ in range(5):
            with pytest.raises(DeviceError):
                await driver.read(_reads(driver)[1])
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []
