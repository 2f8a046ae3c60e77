"""The simulated meter and light: real sockets, exact account."""

import asyncio
import subprocess
import sys
import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from drivers.modbus import ModbusDriver
from ext import Value
from tests.drivers.modbus.support import Values, from_file
from tests.drivers.simulated.support import ROOT, Devices, devices, number

ROUNDS = 50
SLOW = ("light/dimmed", "light/mode", "light/fault", "light/on")  # small numbers and bits repeat themselves


def _driver(folder: Path, running: Devices) -> ModbusDriver:
    sample = (ROOT / "drivers" / "simulated" / "sample.toml").read_text()
    file = folder / "lamppost.toml"
    file.write_text(sample.partition("[buses.mast]")[0].replace("port = 15020", f"port = {running.port}"))
    return from_file(file)


async def _poll(driver: ModbusDriver, rounds: int) -> list[dict[str, Value]]:
    sink = Values(driver)
    said: list[dict[str, Value]] = []
    await driver.open()
    for _ in range(rounds):
        for read in driver.reads():
            sink.scan(read, await driver.read(read))
        said.append(sink.decoded())
    await driver.close()
    return said


def test_the_account_holds_exactly_what_was_decoded(tmp_path: Path) -> None:
    begin = time.time_ns() // 1_000_000
    with devices(tmp_path, "--no-mast") as running:
        said = asyncio.run(_poll(_driver(tmp_path, running), ROUNDS))
    served = running.served()
    end = time.time_ns() // 1_000_000
    by_point: dict[str, list[object]] = {}
    for line in served:
        assert line.keys() == {"point", "utc_ms", "value"}
        assert begin <= line["utc_ms"] <= end
        by_point.setdefault(line["point"], []).append(number(line["value"]))
    assert by_point.keys() == said[0].keys()
    for point, values in by_point.items():
        decoded = [one[point] for one in said]
        assert [repr(v) if isinstance(v, float | bool) else v for v in values] == [
            repr(v) if isinstance(v, float | bool) else v for v in decoded
        ], point
        assert point in SLOW or all(a != b for a, b in pairwise(values)), f"{point} stands still"
    assert {type(v) for v in said[0].values()} == {bool, int, float, Decimal}


def test_a_level_can_be_written_and_nothing_else(tmp_path: Path) -> None:
    with devices(tmp_path, "--no-mast", "--meters", "0") as running:
        values = asyncio.run(_write(running.port))
    assert values == [425, 425]
    assert [line["value"] for line in running.served() if line["point"] == "light/level"] == ["42.5", "42.5"]


async def _write(port: int) -> list[int]:
    async with AsyncModbusTcpClient("127.0.0.1", port=port) as client:
        assert not (await client.write_register(12, 425, device_id=2)).isError()
        assert (await client.write_register(12, 1001, device_id=2)).exception_code == 3
        assert (await client.write_register(11, 1, device_id=2)).exception_code == 3
        assert (await client.write_coil(0, True, device_id=2)).exception_code == 1
        assert (await client.read_holding_registers(16, device_id=2)).exception_code == 2
        answers = [await client.read_holding_registers(12, device_id=2) for _ in range(2)]
        return [answer.registers[0] for answer in answers]


def test_more_units_have_names_of_their_own(tmp_path: Path) -> None:
    with devices(tmp_path, "--no-mast", "--meters", "2", "--lights", "3") as running:
        asyncio.run(_read_coils(running.port, (2, 4, 6)))
    assert {line["point"] for line in running.served()} == {"light/on", "light2/on", "light3/on"}


async def _read_coils(port: int, numbers: tuple[int, ...]) -> None:
    async with AsyncModbusTcpClient("127.0.0.1", port=port) as client:
        for unit in numbers:
            assert not (await client.read_coils(0, count=1, device_id=unit)).isError()


@pytest.mark.parametrize("options", [("--listen", "nowhere"), ("--meters", "200"), ("--listen", "127.0.0.1:99999")])
def test_a_command_line_that_is_wrong(tmp_path: Path, options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "drivers.simulated", "--log", str(tmp_path / "log"), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: " in done.stderr
