"""RTU and ASCII: frames of the standard, echoes, silence, late answers, and lines that go away."""

import asyncio
import fcntl
import logging
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.errors import BadAnswer, BusError, DeviceError, ExceptionAnswer, NoAnswer, NotAsked
from drivers.modbus import ascii as ascii_frames
from drivers.modbus import rtu
from drivers.modbus.ascii import AsciiFraming
from drivers.modbus.bus import RtuBus
from drivers.modbus.client import SILENT_S, Client, LineClient, MbapClient, Timing
from drivers.modbus.encode import WRITE_REGISTER, Writing
from drivers.modbus.framing import LineFraming
from drivers.modbus.pdu import Request, Table
from drivers.modbus.rtu import RtuFraming, silence_ms
from drivers.modbus.transport import client
from drivers.modbus.write import Write, write_of
from tests.drivers.line import Line
from tests.drivers.modbus.wires import Wire, run

# Modbus over Serial Line V1.02, 6.2.2: the CRC of 02 07 is 1241 hex, sent 41 12
# Eastron SDM630Modbus protocol V1.8, 1.2.1: 01 04 00 00 00 02 71 CB asks for volts, the answer is 43 66 33 34, 230.2 V
RTU_FRAMES = [
    ("02 07", "02 07 41 12"),
    ("01 04 00 00 00 02", "01 04 00 00 00 02 71 CB"),
    ("01 04 04 43 66 33 34", "01 04 04 43 66 33 34 1B 38"),
]
READ = Request(1, Table.INPUT, 0, 2)
VOLTS = bytes.fromhex("43663334")
ANSWER = bytes.fromhex("01 04 04 43 66 33 34 1B 38")
FAST = Timing(0.0, 0.001, 0.2)


@pytest.mark.parametrize(("body", "frame"), RTU_FRAMES)
def test_rtu_frames_of_manuals(body: str, frame: str) -> None:
    unit, *pdu = bytes.fromhex(body)
    assert rtu.encode(unit, bytes(pdu)) == bytes.fromhex(frame)
    if len(pdu) > 1:
        assert rtu.decode(bytes.fromhex(frame)) == (unit, bytes(pdu))


def test_an_ascii_frame_of_the_standard() -> None:
    # LINE 2.5.2.2 and 6.2.1: the LRC is the two's complement of the sum; 02 + 07 = 09 gives F7
    assert ascii_frames.encode(2, b"\x07") == b":0207F7\r\n"
    assert ascii_frames.decode(b":0103006B00038E") == (1, bytes.fromhex("03 006B 0003"))
    assert ascii_frames.decode(b":0103006b00038e") == (1, bytes.fromhex("03 006B 0003"))


@pytest.mark.parametrize("frame", [b":", b":01", b":0103", b":01030", b":01 03FC", b"0103FC", b":0103FB", b":GG03FC"])
def test_what_is_no_ascii_frame(frame: bytes) -> None:
    with pytest.raises(BadAnswer):
        ascii_frames.decode(frame)


@pytest.mark.parametrize(("baud", "ms"), [(1200, 32.08), (9600, 4.01), (19200, 2.005), (38400, 1.75), (115200, 1.75)])
def test_the_silent_interval_of_the_standard(baud: int, ms: float) -> None:
    # LINE 2.5.1.1: 3.5 characters of 11 bits, and 1.750 ms above 19200
    assert silence_ms(baud, 11_000 / baud) == pytest.approx(ms, abs=0.01)


def test_stop_bits_follow_the_parity() -> None:
    # LINE 2.5.1: 11 bits a character, two stop bits when there is no parity
    assert RtuBus.model_validate({"transport": "rtu", "port": "/dev/x"}).stop_bits == 2
    assert RtuBus.model_validate({"transport": "rtu", "port": "/dev/x", "parity": "even"}).stop_bits == 1
    assert RtuBus.model_validate({"transport": "rtu", "port": "/dev/x", "stop_bits": 1}).stop_bits == 1


def test_what_a_read_costs() -> None:
    # 8 bytes asked, 5 + 2 x 20 answered, of 11 bits at 9600 baud, and twice 3.5 characters
    made = client(RtuBus(transport="rtu", port="/dev/x"))
    request = Request(1, Table.HOLDING, 0, 20)
    assert made.cost(request) == pytest.approx((8 + 45 + 7) * 11_000 / 9600)
    assert made.patience(request) == pytest.approx(500 + 8 * 11_000 / 9600)


def _framed(framing: LineFraming, question: Request | Write, *pieces: bytes) -> bytes | None:
    framing.begin(question)
    for piece in pieces:
        found = framing.feed(piece)
        if found is not None:
            return found
    return None


ODD = {
    "as it is": [ANSWER],
    "byte by byte": [bytes((byte,)) for byte in ANSWER],
    "after our echo": [rtu.encode(1, READ.pdu) + ANSWER],
    "after our echo in pieces": [rtu.encode(1, READ.pdu)[:3], rtu.encode(1, READ.pdu)[3:] + ANSWER[:2], ANSWER[2:]],
    "after a byte of the turning line": [b"\0" + ANSWER],
    "after noise that begins like it": [ANSWER[:3] + ANSWER],
    "after the late answer of another unit": [rtu.encode(5, ANSWER[1:-2]) + ANSWER],
    "after half an answer of another unit": [rtu.encode(5, ANSWER[1:-2])[:4] + ANSWER],
    "before noise": [ANSWER + b"\xff\x00"],
}


@pytest.mark.parametrize("case", ODD)
def test_an_answer_is_found_among_what_lines_bring(case: str) -> None:
    assert _framed(RtuFraming(), READ, *ODD[case]) == VOLTS


@pytest.mark.parametrize("damage", range(len(ANSWER)))
def test_a_damaged_answer_is_none(damage: int) -> None:
    spoilt = bytearray(ANSWER)
    spoilt[damage] ^= 0x10
    framing = RtuFraming()
    try:
        assert _framed(framing, READ, bytes(spoilt)) is None
    except BadAnswer:
        return
    assert isinstance(framing.end("1 s"), BadAnswer)


SETTING = write_of(1, Writing(WRITE_REGISTER, Table.HOLDING, 1, (3,)))


@pytest.mark.parametrize("make", [RtuFraming, AsciiFraming])
def test_the_answer_to_a_write_is_told_from_its_echo(make: Callable[[], LineFraming]) -> None:
    framing = make()
    same = framing.encode(1, SETTING.pdu)
    framing.echo = True
    assert _framed(framing, SETTING, same) is None
    assert isinstance(framing.end("1 s"), NoAnswer)
    assert _framed(framing, SETTING, same, same) == b""
    framing.echo = False
    assert _framed(framing, SETTING, same) == b""


def test_a_written_field_that_comes_back_different_is_told() -> None:
    framing = RtuFraming()
    framing.echo = False
    with pytest.raises(BadAnswer, match="value 0003 was written, the answer says 0004"):
        _framed(framing, SETTING, rtu.encode(1, bytes.fromhex("06 0001 0004")))


def _client(answer: Callable[[bytes], None]) -> tuple[LineClient, Wire]:
    wire = Wire(answer)
    return LineClient(wire, RtuFraming(), FAST), wire


def test_after_silence_the_same_is_asked_in_another_length_or_later() -> None:
    asked: list[bytes] = []

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        client, _ = _client(asked.append)
        await client.open()
        for _ in range(3):
            with pytest.raises(NoAnswer, match="no answer"):
                await client.ask(READ, room=2)
        assert [struct.unpack(">H", frame[4:6])[0] for frame in asked] == [2, 3, 4]
        before = loop.time()
        with pytest.raises(NotAsked):
            await client.ask(READ, room=2)
        assert loop.time() == before
        with pytest.raises(NoAnswer):
            await client.ask(Request(2, Table.INPUT, 0, 2))  # another unit does not wait
        wait = client.wait_s(READ, 2)
        assert 0 < wait <= 3 * FAST.timeout_s
        await asyncio.sleep(wait)
        assert client.wait_s(READ, 2) <= 0
        with pytest.raises(NoAnswer, match="no answer"):
            await client.ask(READ, room=2)

    run(talk())


def test_an_answer_that_comes_on_the_next_connection_belongs_to_no_other_question() -> None:
    async def talk() -> None:
        client, wire = _client(lambda _: None)
        await client.open()
        asking = asyncio.ensure_future(client.ask(READ))
        await asyncio.sleep(FAST.timeout_s / 2)
        assert wire.receiver is not None
        wire.receiver.lost(BusError("the converter hung up"))
        with pytest.raises(BusError):
            await asking
        await client.open()
        with pytest.raises(NotAsked):
            await client.ask(Request(READ.unit, READ.table, 100, READ.count))
        with pytest.raises(NoAnswer):
            await client.ask(Request(2, READ.table, 100, READ.count))

    run(talk())


def test_a_line_that_babbles_costs_no_search_of_all_at_each_byte() -> None:
    framing, babble = RtuFraming(), bytes.fromhex("0184") * 2000
    framing.begin(READ)
    began = time.process_time()
    assert all(framing.feed(babble[at : at + 1]) is None for at in range(len(babble)))
    assert time.process_time() - began < 3  # s; 11 where all is searched each time, 0.2 where it is not


def test_noise_is_followed_by_a_second_try_that_no_late_answer_fits() -> None:
    lengths: list[int] = []

    async def talk() -> bytes:
        def answer(frame: bytes) -> None:
            count = struct.unpack(">H", frame[4:6])[0]
            lengths.append(count)
            whole = rtu.encode(1, bytes((4, 2 * count)) + (VOLTS + bytes(2))[: 2 * count])
            wire.deliver(b"\x01\x04\x04" + bytes(9) if len(lengths) == 2 else whole, 0.01)

        client, wire = _client(answer)
        await client.open()
        await client.ask(READ, room=1)
        return await client.ask(READ, room=1)

    assert run(talk()) == VOLTS
    assert lengths == [2, 2, 3]


def test_an_exception_that_may_be_late_is_not_believed() -> None:
    async def talk() -> None:
        silent = [True]

        def answer(frame: bytes) -> None:
            if not silent.pop():
                wire.deliver(rtu.encode(1, b"\x84\x02"), 0.01)

        client, wire = _client(answer)
        await client.open()
        with pytest.raises(NoAnswer):
            await client.ask(READ)
        silent.append(False)
        with pytest.raises(BadAnswer, match="may belong to an earlier question"):
            await client.ask(Request(1, Table.INPUT, 8, 1))
        await asyncio.sleep(5)
        silent.append(False)
        with pytest.raises(ExceptionAnswer):
            await client.ask(READ)

    run(talk())


def test_a_line_that_is_never_quiet_is_waited_for_no_longer_than_a_second() -> None:
    async def talk() -> float:
        loop = asyncio.get_running_loop()

        def babble() -> None:
            wire.deliver(b"\x55", 0.0)
            loop.call_later(0.0005, babble)

        client, wire = _client(lambda _: None)
        await client.open()
        babble()
        with pytest.raises(DeviceError):
            await client.ask(READ)
        before = loop.time()
        with pytest.raises(BadAnswer, match="never quiet"):
            await client.ask(Request(2, Table.INPUT, 0, 2))
        return loop.time() - before

    assert run(talk()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "make", [lambda wire: MbapClient(wire, 500), lambda wire: LineClient(wire, RtuFraming(), FAST)], ids=["tcp", "line"]
)
def test_a_gateway_that_hangs_is_connected_to_anew_at_a_growing_distance(make: Callable[[Wire], Client]) -> None:
    async def talk() -> list[float]:
        loop, opened = asyncio.get_running_loop(), [0.0]
        wire = Wire(lambda _: None)
        client = make(wire)
        await client.open()
        begin = loop.time()
        while loop.time() < begin + 8 * SILENT_S:
            with pytest.raises(NoAnswer):
                await client.ask(READ)
            await asyncio.sleep(0.5)
            if wire.opened > len(opened):
                opened.append(loop.time() - begin)
        return opened

    assert run(talk()) == pytest.approx([0, SILENT_S, 3 * SILENT_S, 7 * SILENT_S], abs=2)


def test_one_unit_that_answers_keeps_the_connection() -> None:
    async def talk() -> int:
        def answer(frame: bytes) -> None:
            if frame[6] == 1:
                wire.deliver(frame[:4] + b"\0\x07" + ANSWER[:-2], 0.01)

        wire = Wire(answer)
        client = MbapClient(wire, 500)
        await client.open()
        for _ in range(1000):
            assert await client.ask(READ) == VOLTS
            with pytest.raises(NoAnswer):
                await client.ask(Request(2, Table.INPUT, 0, 2))
        return wire.opened

    assert run(talk()) == 1


def test_an_echo_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def talk() -> None:
        client, wire = _client(lambda frame: wire.deliver(frame + ANSWER, 0.01))
        await client.open()
        for _ in range(3):
            assert await client.ask(READ) == VOLTS

    with caplog.at_level(logging.INFO):
        run(talk())
    told = [record.getMessage() for record in caplog.records if "echo" in record.getMessage()]
    assert told == ["wire: the line gives back what is sent (local echo); that is skipped"]


async def test_a_port_that_is_unplugged_and_plugged_in_elsewhere(tmp_path: Path) -> None:
    by_id = tmp_path / "usb-A"
    for _ in range(2):
        line = Line()
        by_id.unlink(missing_ok=True)
        by_id.symlink_to(line.path)
        serial = client(RtuBus(transport="rtu", port=str(by_id), timeout=10_000))
        await serial.open()
        asking = asyncio.ensure_future(serial.ask(READ))
        assert await line.heard(8) == bytes.fromhex("01 04 00 00 00 02 71 CB")
        line.send(ANSWER)
        assert await asking == VOLTS
        asking = asyncio.ensure_future(serial.ask(READ))
        await line.heard(8)
        line.unplug()
        with pytest.raises(BusError, match="is gone"):
            await asking
        with pytest.raises(BusError, match="is gone"):
            await serial.ask(READ)
        await serial.close()


async def test_an_answer_that_takes_longer_than_the_timeout_is_waited_for_once_it_has_begun() -> None:
    line = Line()
    serial = client(RtuBus(transport="rtu", port=line.path, baud=9600, timeout=30))
    await serial.open()
    asking = asyncio.ensure_future(serial.ask(Request(1, Table.HOLDING, 0, 100)))  # 235 ms on the line
    await line.heard(8)
    whole = rtu.encode(1, bytes((3, 200)) + bytes(200))
    line.send(whole[:20])
    await asyncio.sleep(0.2)
    line.send(whole[20:])
    assert await asking == bytes(200)
    await serial.close()
    line.unplug()


async def test_silence_again_and_again_is_no_port_that_hung_up() -> None:
    line = Line()
    serial = client(RtuBus(transport="rtu", port=line.path, baud=9600, timeout=10))
    await serial.open()
    for unit in range(1, 8):
        with pytest.raises(NoAnswer, match="no answer"):
            await serial.ask(Request(unit, Table.HOLDING, 0, 100))
    await serial.close()
    line.unplug()


def _exclusive(line: Line) -> bool:
    """Whether open(2) fails for whoever is not root: TIOCGEXCL of ioctl_tty(2), which `termios` has not."""
    port = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
    try:
        return any(fcntl.ioctl(port, 0x80045440, bytes(4)))
    finally:
        os.close(port)


async def test_a_port_has_one_owner() -> None:
    line = Line()
    first, second = (client(RtuBus(transport="rtu", port=line.path)) for _ in range(2))
    await first.open()
    with pytest.raises(BusError, match=r"cannot open .*another program has it open"):
        await second.open()
    assert _exclusive(line)
    await first.close()
    assert not _exclusive(line)
    await second.open()
    await second.close()
    line.unplug()


RS485 = {"rts_on_send": True, "rts_after_send": False, "delay_before": 1, "delay_after": 29}


async def test_a_port_without_rs485_mode_is_told() -> None:
    line = Line()
    serial = client(RtuBus.model_validate({"transport": "rtu", "port": line.path, "rs485": RS485}))
    with pytest.raises(BusError, match="has no RS-485 mode"):
        await serial.open()
    line.unplug()


async def test_rs485_mode_as_linux_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[list[int]] = []
    real = fcntl.ioctl

    def ioctl(descriptor: int, number: int, *rest: object) -> object:
        if number == 0x542E:  # TIOCGRS485, asm-generic/ioctls.h
            return 0
        if number != 0x542F:  # TIOCSRS485
            return real(descriptor, number, *rest)  # type: ignore[call-overload]
        taken.append(list(rest[0])[:3])  # type: ignore[call-overload]
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    line = Line()
    serial = client(RtuBus.model_validate({"transport": "rtu", "port": line.path, "rs485": RS485}))
    await serial.open()
    await serial.close()
    line.unplug()
    assert taken[-1] == [0b11, 1, 29]  # SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND; ms before, ms after: linux/serial.h


def test_the_agent_does_without_pymodbus() -> None:
    program = "import sys, gateway.agent, drivers.modbus; print(*(m for m in sys.modules if m.startswith('pymodbus')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
