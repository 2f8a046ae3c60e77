"""SunSpec maps that we did not make: an inverter's, as published, and the test device of the SunSpec Alliance."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import sunspec2  # type: ignore[import-untyped]
from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice
from sunspec2.file.client import FileClientModel  # type: ignore[import-untyped]

from tests.drivers.modbus.cable import Cable
from tests.drivers.modbus.test_servers import pymodbus_server

Image = dict[int, int]
"""Registers by address; others are refused."""


def sunny_boy() -> Image:
    """SMA Sunny Boy 3.6 at night; the file says whose and where it is published."""
    text = (Path(__file__).parent / "sma-sunny-boy-3.6.txt").read_text()
    words = [word for line in text.splitlines() if not line.startswith("#") for word in line.split()]
    return {address: int(word, 16) for address, word in zip(count(40000), words, strict=False) if word != "----"}


def device_1547(base: int = 40000) -> Image:
    """sunspec2/tests/test_data/device_1547.json of pysunspec2, in the registers that pysunspec2 makes of it."""
    file = Path(sunspec2.__file__).parent / "tests" / "test_data" / "device_1547.json"
    models = [FileClientModel(model_id=raw["ID"], data=raw) for raw in json.loads(file.read_text())["models"]]
    data = b"SunS" + b"".join(model.get_mb() for model in models) + b"\xff\xff\0\0"
    return {base + at: int.from_bytes(data[2 * at : 2 * at + 2], "big") for at in range(len(data) // 2)}


@asynccontextmanager
async def served(image: Image, unit: int = 1) -> AsyncIterator[int]:
    """The port of pymodbus's server with these registers."""
    async with pymodbus_server(SimDevice(unit, _blocks(image))) as port:
        yield port


@asynccontextmanager
async def served_on_a_line(image: Image, unit: int = 1) -> AsyncIterator[str]:
    """The device file at whose other end pymodbus's RTU server has these registers."""
    async with Cable() as cable:
        device = SimDevice(unit, _blocks(image))
        server = ModbusSerialServer(device, framer=FramerType.RTU, port=cable.theirs, baudrate=115200)
        await server.serve_forever(background=True)
        try:
            yield cable.ours
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call]


def _blocks(image: Image) -> list[SimData]:
    blocks: list[tuple[int, list[int]]] = []
    for address, word in sorted(image.items()):
        if blocks and blocks[-1][0] + len(blocks[-1][1]) == address:
            blocks[-1][1].append(word)
        else:
            blocks.append((address, [word]))
    return [SimData(first, values=words, datatype=DataType.REGISTERS) for first, words in blocks]
