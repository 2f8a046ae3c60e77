"""Looking for units: who is there, what they say of themselves, which profile fits; servers are pymodbus's."""

import asyncio
from collections.abc import Callable

import pytest
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.modbus import rtu
from drivers.modbus.bus import TcpBus
from drivers.modbus.client import LineClient, MbapClient, Timing
from drivers.modbus.identification import measure, objects
from drivers.modbus.identity import Identity, Line
from drivers.modbus.pdu import Request, Table
from drivers.modbus.search import Candidate, Fit, Fitting, Found, Present, identify, units
from drivers.modbus.sweep import NEAR, Sweep, formats, steps
from drivers.modbus.tcp import TcpLink
from tests.drivers.modbus.support import reply, server
from tests.drivers.modbus.test_servers import pymodbus_server
from tests.drivers.modbus.wires import Wire, run

# APP 6.21 example: "Company identification", "Product code xx", "V2.11"
STANDARD = bytes.fromhex("2b0e01010000 03 00 16") + b"Company identification"
STANDARD += bytes.fromhex("01 0f") + b"Product code XX" + bytes.fromhex("02 05") + b"V2.11"


def registers(unit: int, first: int, *values: int) -> SimDevice:
    return SimDevice(unit, [SimData(first, values=list(values), datatype=DataType.REGISTERS)])


def candidate(name: str, identify: dict[str, object], *requests: Request) -> Candidate:
    return Candidate(name, Identity.model_validate(identify), requests)


def marked(name: str, register: int, value: int) -> Candidate:
    return candidate(name, {"registers": [{"table": "holding", "register": register, "equals": value}]})


def test_the_standard_s_identification() -> None:
    assert measure(STANDARD) == len(STANDARD)
    known = len(STANDARD) - len("V2.11")  # the last object says how long it is
    assert [measure(STANDARD[:size]) for size in range(len(STANDARD))] == [None] * known + [len(STANDARD)] * 5
    assert objects(STANDARD) == ({0: "Company identification", 1: "Product code XX", 2: "V2.11"}, None)


def line(answer: Callable[[Wire, bytes], None]) -> LineClient:
    """A line in virtual time."""
    wire = Wire(lambda data: answer(wire, data))
    return LineClient(wire, rtu.RtuFraming(), Timing(0.001, 0.004, 0.2))


async def found(client: LineClient | MbapClient, numbers: range) -> list[Present]:
    await client.open()
    return [present async for _, present in units(client, numbers) if present is not None]


def test_an_identification_in_pieces_and_parts_on_a_line() -> None:
    more = bytes.fromhex("2b0e0101 ff 01 01 00 04") + b"Acme"
    last = bytes.fromhex("2b0e0101 00 00 01 01 02") + b"T1"

    def answer(wire: Wire, data: bytes) -> None:
        _, pdu = rtu.decode(data)
        if pdu[:3] == b"\x2b\x0e\x01":
            frame = rtu.encode(7, more if pdu[3] == 0 else last)
            wire.deliver(frame[:9], 0.05)
            wire.deliver(frame[9:], 0.06)

    async def play() -> dict[str, str]:
        client = line(answer)
        await client.open()
        return await identify(client, 7)

    assert run(play()) == {"vendor": "Acme", "product": "T1"}


def test_an_exception_is_a_sign_of_life_and_two_units_at_one_number_are_garbled() -> None:
    def answer(wire: Wire, data: bytes) -> None:
        unit, pdu = rtu.decode(data)
        if unit == 3:
            wire.deliver(rtu.encode(3, bytes((pdu[0] | 0x80, 1))), 0.02)
        if unit == 5:  # two answer at once: what arrives is neither
            one, other = (
                rtu.encode(5, bytes((pdu[0], 2 * pdu[4])) + bytes(2 * pdu[4] - 1) + end) for end in (b"\1", b"\2")
            )
            wire.deliver(bytes(a & b for a, b in zip(one, other, strict=True)), 0.02)
        if unit == 6 and pdu[0] == 3 and pdu[4] == 1:  # noise, once
            wire.deliver(b"\xff\x00\xff", 0.02)
        elif unit == 6:
            wire.deliver(rtu.encode(6, bytes((pdu[0], 2 * pdu[4])) + bytes(2 * pdu[4])), 0.02)

    present = run(found(line(answer), range(1, 8)))
    assert [(one.unit, one.garbled) for one in present] == [(3, False), (5, True), (6, False)]
    assert "illegal function" in present[0].said


async def test_units_behind_a_host_and_their_profiles() -> None:
    async with pymodbus_server(registers(1, 0, 7), registers(2, 0, 9, 8)) as port:
        client = MbapClient(TcpLink("127.0.0.1", port, 200, 1000), 200)
        await client.open()
        fitting = Fitting(client, 2, {"vendor": "ACME Corp.", "product": "T1000"}, Line(baud=9600, parity="none"))
        fits = await fitting.judge([
            marked("nine", 0, 9), marked("seven", 0, 7), marked("nowhere", 99, 7),
            candidate("acme", {"vendor": "acme", "product": "t1", "serial": {"baud": 9600, "parity": "none"}}),
            candidate("other", {"vendor": "other"}),
            candidate("any", {}, Request(1, Table.HOLDING, 0, 2)),
        ])  # fmt: skip
        assert [(fit.profile, fit.score) for fit in fits] == [("acme", 21), ("nine", 10)]
        short, long = Request(1, Table.HOLDING, 0, 2), Request(1, Table.HOLDING, 0, 9)
        vague = await fitting.judge([candidate("any", {}, short), candidate("long", {}, long)])
        assert [fit.profile for fit in vague] == ["any"]
        assert Found(Present(2), {}, vague).profile is None
        await client.close()


def test_what_several_profiles_claim_is_proposed_and_not_decided() -> None:
    two = (Fit("a", 10, "x"), Fit("b", 10, "y"))
    assert Found(Present(1), {}, two).profile is None
    assert Found(Present(1), {}, (Fit("a", 20, "x"), Fit("b", 10, "y"))).profile == "a"


async def test_a_gateway_that_says_of_units_that_they_failed() -> None:
    async with pymodbus_server(registers(1, 0, 7), registers(20, 0, 9, 8)) as port:  # it says 4 of all others
        options = TcpBus(transport="tcp", host="127.0.0.1", port=port, timeout=200)
        sweep = Sweep(steps([options], range(1, 30)), [marked("nine", 0, 9)], lambda _: None)
        hits = [hit async for hit in sweep.run()]
    assert [(hit.found.present.unit, hit.found.profile) for hit in hits] == [(1, None), (20, "nine")]


async def test_a_host_that_looks_at_no_number_is_one_device() -> None:
    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(frame))

    async with server(answer) as host:
        options = TcpBus(transport="tcp", host="127.0.0.1", port=host.port, timeout=200)
        sweep = Sweep(steps([options], range(1, 248)), [], lambda _: None)
        hits = [hit async for hit in sweep.run()]
    assert [(hit.found.present.unit, hit.every_unit) for hit in hits] == [(1, True)]
    assert len(host.requests) < 20


def test_the_near_units_are_tried_at_every_setting_first_and_the_time_is_known() -> None:
    settings = formats("/dev/null", 200, (9600, 19200), ascii_frames=False)
    planned = steps(settings, range(1, 248))
    assert [(step.options, step.units[0]) for step in planned] == [(one, n) for n in (1, NEAR + 1) for one in settings]
    assert sum(len(step.units) for step in planned) == 6 * 247
    # 8 characters of 11 bits, then the timeout: 208.3 ms at 9600 baud, with ten bits and two stop bits 11 as well
    assert planned[0].seconds == pytest.approx(NEAR * (0.2 + 8 * 11 / 9600), rel=0.01)
