"""Servers that are not ours: pymodbus's simulator, and a C simulator where it is at hand."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.errors import ExceptionAnswer, NoAnswer
from ext import GOOD
from tests.drivers.modbus.support import Values, device, make


@asynccontextmanager
async def pymodbus_server(*devices: SimDevice) -> AsyncIterator[int]:
    """The port of a pymodbus server with these devices; what it says of units that are not there is its own."""
    served = ModbusTcpServer(list(devices), address=("127.0.0.1", 0), ignore_missing_devices=True)
    await served.serve_forever(background=True)
    try:
        yield served.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await served.shutdown()  # type: ignore[no-untyped-call]


UNIT_1 = SimDevice(
    1,
    (
        [SimData(3, values=[True, False, True, True], datatype=DataType.BITS)],
        [SimData(0, values=[False, True], datatype=DataType.BITS)],
        [SimData(10, values=[0x8001, 55], datatype=DataType.REGISTERS)],
        [SimData(0, values=[230.25, -1.5], datatype=DataType.FLOAT32)],
    ),
)
UNIT_2 = SimDevice(2, [SimData(0, values=[7], datatype=DataType.REGISTERS)])


async def test_the_four_tables_of_pymodbus_s_simulator(tmp_path: Path) -> None:
    text = device(
        "a",
        1,
        "c3 coil 3",
        "c4 coil 4",
        "c6 coil 6",
        "d0 discrete 0",
        "d1 discrete 1",
        'h10 holding 10 type="int16" scale=0.1',
        "h11 holding 11",
        'i0 input 0 type="float32"',
        'i2 input 2 type="float32"',
    )
    async with pymodbus_server(UNIT_1, UNIT_2) as port:
        driver = await asyncio.to_thread(make, tmp_path, text, port)
        sink = Values(driver)
        await driver.open()
        for read in driver.reads():
            sink.scan(read, await driver.read(read))
        await driver.close()
    values = {point: str(value) for point, value in sink.decoded().items()}
    assert values == {
        "a/c3": "True",
        "a/c4": "False",
        "a/c6": "True",
        "a/d0": "False",
        "a/d1": "True",
        "a/h10": "-3276.7",
        "a/h11": "55",
        "a/i0": "230.25",
        "a/i2": "-1.5",
    }


async def test_texts_and_numbers_that_a_register_scales_from_pymodbus_s_simulator(tmp_path: Path) -> None:
    unit = SimDevice(
        3,
        [
            SimData(0, values="Main St", datatype=DataType.STRING),
            SimData(4, values=[2301, 0x1234, 4567, 123, 0, 0, 2], datatype=DataType.REGISTERS),
            SimData(11, values=[-1], datatype=DataType.INT16),
        ],
    )
    text = device(
        "a",
        3,
        'name holding 0 type="string" length=4',
        "volt holding 4 scale_register=11",
        'bcd holding 5 type="bcd16"',
        'wh holding 6 type="m10k64" order="CDAB"',
        'mode holding 10 values={0="off",2="on"}',
    )
    async with pymodbus_server(unit) as port:
        driver = await asyncio.to_thread(make, tmp_path, text, port)
        sink = Values(driver)
        await driver.open()
        (read,) = driver.reads()
        await driver.ask(read, sink)
        await driver.close()
    assert sink.beside == {"a/name": ("Main St", GOOD), "a/volt": (Decimal("230.1"), GOOD), "a/mode": ("on", GOOD)}
    assert sink.decoded() == {"a/bcd": 1234, "a/wh": 1_234_567}


async def test_a_unit_that_is_not_there_and_one_that_refuses_beside_a_good_one(tmp_path: Path) -> None:
    text = device("good", 2, "p holding 0") + device("none", 9, "p holding 0") + device("ill", 1, "p holding 500")
    async with pymodbus_server(UNIT_1, UNIT_2) as port:
        driver = await asyncio.to_thread(make, tmp_path, text, port, "50ms")
        good, none, ill = driver.reads()
        await driver.open()
        for _ in range(6):
            assert await driver.read(good) == b"\0\7"
            with pytest.raises(ExceptionAnswer, match="server device failure"):
                await driver.read(none)
            with pytest.raises(ExceptionAnswer, match="illegal data address"):
                await driver.read(ill)
        await driver.close()


async def test_only_the_bad_point_suffers_in_the_end(tmp_path: Path) -> None:
    points = [f"p{register} holding {register}" for register in (10, 11, 12)]
    async with pymodbus_server(UNIT_1) as port:
        driver = await asyncio.to_thread(make, tmp_path, device("a", 1, *points), port)
        sink = Values(driver)
        await driver.open()
        refused: list[str] = []
        for _ in range(4):
            refused.clear()
            for read in driver.reads():
                try:
                    sink.scan(read, await driver.read(read))
                except ExceptionAnswer as error:
                    driver.narrower(read, error)
                    refused += [point for point, _ in read.points]
        await driver.close()
    assert refused == ["a/p12"]
    assert sink.decoded() == {"a/p10": 0x8001, "a/p11": 55}


@pytest.fixture
def modsim(shared: Path, tmp_path: Path, free_port: int) -> Iterator[Callable[[int], int]]:
    """`modsim(units)`: the port of the rig's C simulator, which serves units from 1 and is silent for others."""
    source = shared / "rig" / "field" / "modsim.c"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not source.is_file() or compiler is None:
        pytest.skip("needs ../shared/rig/field/modsim.c and a C compiler")
    program = tmp_path / "modsim"
    subprocess.run([compiler, "-O2", "-w", "-o", str(program), str(source)], check=True)
    running: list[subprocess.Popen[bytes]] = []

    def start(units: int) -> int:
        command = [str(program), "-p", str(free_port), "-u", str(units)]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        return free_port

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_the_rig_s_simulator_with_a_silent_unit(tmp_path: Path, modsim: Callable[[int], int]) -> None:
    port = await asyncio.to_thread(modsim, 3)
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(_listens, port):  # noqa: ASYNC110 another process
            await asyncio.sleep(0.01)
    text = "".join(
        device(f"d{unit}", unit, *(f'p{i} holding {2 * i} type="float32"' for i in range(10))) for unit in (1, 2, 9)
    )
    driver = await asyncio.to_thread(make, tmp_path, text, port, "50ms")
    one, two, silent = driver.reads()
    sink = Values(driver)
    await driver.open()
    for turn in range(1, 6):
        for read in (one, two):
            sink.scan(read, await driver.read(read))
        # each read of a unit bumps its turn; pair p holds turn * 64 + p
        assert sink.decoded() == {f"d{unit}/p{i}": turn * 64.0 + i for unit in (1, 2) for i in range(10)}
        with pytest.raises(NoAnswer):
            await driver.read(silent)
    await driver.close()
