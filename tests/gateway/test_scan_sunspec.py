"""`lamppost scan sunspec` at pymodbus's server: what is shown, what is written, and that the driver reads just that."""

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from drivers.errors import NotSunSpec
from drivers.modbus import ModbusDriver
from gateway.cli.scan import command
from gateway.control.sockets import status_socket
from tests.drivers.modbus.sunspec_maps import Image, device_1547, served, served_on_a_line, sunny_boy
from tests.drivers.modbus.support import GATEWAY, Values, from_file


async def scan(image: Image, folder: Path, *arguments: str, unit: int = 1) -> Result:
    """The command against a server with these registers."""
    async with served(image, unit) as port:
        return await scan_at(port, folder, *arguments)


async def scan_at(port: int, folder: Path, *arguments: str) -> Result:
    where = [f"tcp://127.0.0.1:{port}", "--run-dir", str(folder), "--config", str(folder / "none.toml")]
    return await asyncio.to_thread(CliRunner().invoke, command, ["sunspec", *where, *arguments])


def configured(file: Path) -> ModbusDriver:
    """The driver of what was written, as a part of a configuration."""
    file.write_text(GATEWAY + file.read_text())
    return from_file(file)


def points(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    return {point["name"]: point for point in found["points"]}


async def test_what_a_device_measures_is_shown(tmp_path: Path) -> None:
    """Values: sunspec2/tests/test_data/device_1547.json."""
    found = points(await scan(await asyncio.to_thread(device_1547), tmp_path, "--json"))
    shown = {name: (found[name]["value"], found[name]["unit"]) for name in ("1-sn", "701-w", "701-hz", "701-tmpcab")}
    assert shown == {
        "1-sn": ("sn-123456789", ""),
        "701-w": ("9800", "W"),
        "701-hz": ("60.010", "Hz"),
        "701-tmpcab": ("55.0", "Cel"),
    }
    assert not any(name.startswith(("1-da", "701-w-sf", "701-id", "703-")) for name in found)  # settings, and how


async def test_a_line(tmp_path: Path) -> None:
    async with served_on_a_line(sunny_boy(), 126) as port:
        place = [
            port,
            "--unit",
            "126",
            "--baud",
            "115200",
            "--run-dir",
            str(tmp_path),
            "--config",
            str(tmp_path / "no"),
        ]
        found = points(await asyncio.to_thread(CliRunner().invoke, command, ["sunspec", *place, "--json"]))
    assert found["122-actwh"]["value"] == 29479142


async def test_settings_and_single_models_by_option(tmp_path: Path) -> None:
    found = points(await scan(sunny_boy(), tmp_path, "--json", "--all", "--model", "123"))
    assert {point["model"] for point in found.values()} == {123}
    assert found["123-wmaxlim-ena"]["value"] == "ENABLED"
    assert found["123-conn-wintms"]["value"] is None


async def test_people_see_a_table_a_model(tmp_path: Path) -> None:
    done = await scan(sunny_boy(), tmp_path)
    assert "unit 1, register 40185: model 101, Inverter (Single Phase), 50 registers\n" in done.stdout
    assert "29479142" in done.stdout


async def test_the_driver_reads_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "found.toml"
    async with served(await asyncio.to_thread(device_1547)) as port:
        shown = points(await scan_at(port, tmp_path, "--json", "--write", str(file)))
        driver = await asyncio.to_thread(configured, file)
        sink = Values(driver)
        await driver.open()
        for read in driver.reads():
            await driver.ask(read, sink)
        await driver.close()
    assert len(shown) > 30
    assert not sink.errors
    beside = {name: value for name, (value, _) in sink.beside.items()}
    values = {name.partition("/")[2]: _shown(value) for name, value in {**beside, **sink.decoded()}.items()}
    assert values == {name: point["value"] for name, point in shown.items()}


def _shown(value: object) -> object:
    return value if value is None or isinstance(value, int | str) else format(value, "f")


async def test_the_device_bears_its_identity(tmp_path: Path) -> None:
    file = tmp_path / "found.toml"
    await scan(sunny_boy(), tmp_path, "--write", str(file))
    (device,) = (await asyncio.to_thread(configured, file)).setup.devices
    assert device.device.id == "sma-3005067415"
    assert device.device.labels == {
        "manufacturer": "SMA",
        "model": "SB3.6-1AV-41",
        "version": "4.01.15.R",
        "serial": "3005067415",
    }
    assert "101-w" in {point.point.name for point in device.points}  # every inverter has it, if only by day


async def test_two_units_are_two_devices(tmp_path: Path) -> None:
    file = tmp_path / "found.toml"
    done = await scan(sunny_boy(), tmp_path, "--unit", "3", "--unit", "4", "--write", str(file), unit=3)
    assert done.exit_code == 0, done.output
    assert "unit 4: no SunSpec map" in done.stderr
    assert file.read_text().count("[devices.sma-3005067415]") == 1


async def test_hostile_names_become_plain_ones(tmp_path: Path) -> None:
    image, file = sunny_boy(), tmp_path / "found.toml"
    image |= {40004: 0x1B5B, 40005: 0x2244, 40006: 0x5C0A}  # escape, quote, backslash, newline in the manufacturer
    await scan(image, tmp_path, "--write", str(file))
    (device,) = (await asyncio.to_thread(configured, file)).setup.devices
    assert device.device.labels["manufacturer"] == '\N{REPLACEMENT CHARACTER}["D\\\N{REPLACEMENT CHARACTER}'


async def test_no_map_is_an_error(tmp_path: Path) -> None:
    done = await scan({0: 1, 1: 2}, tmp_path)
    assert isinstance(done.exception, NotSunSpec)
    assert done.exception.exit_code == 69


async def test_without_the_models_the_chain_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sunspec2", None)
    done = await scan(sunny_boy(), tmp_path, "--json")
    (found,) = json.loads(done.stdout)
    assert (len(found["models"]), found["points"]) == (17, [])
    assert "install pysunspec2" in done.stderr


def test_a_bus_in_service_is_left_alone(run_dir: Path) -> None:
    config = run_dir / "lamppost.toml"
    config.write_text(GATEWAY + '[buses]\nroof = { driver = "modbus", transport = "tcp", host = "10.0.0.9" }\n')
    with socket.socket(socket.AF_UNIX) as agent:
        status_socket(run_dir).parent.mkdir(exist_ok=True)
        agent.bind(str(status_socket(run_dir)))
        agent.listen()
        place = ["tcp://10.0.0.9", "--config", str(config), "--run-dir", str(run_dir)]
        done = CliRunner().invoke(command, ["sunspec", *place])
    assert "bus roof of the running agent" in str(done.exception)


@pytest.mark.parametrize("place", ["http://10.0.0.9", "tcp://", "tcp://h:99999", "rtu-over-tcp://h", "tcp://h/1"])
def test_places_that_are_none(place: str) -> None:
    done = CliRunner().invoke(command, ["sunspec", place])
    assert (done.exit_code, "is not tcp://HOST" in done.output) == (2, True)
