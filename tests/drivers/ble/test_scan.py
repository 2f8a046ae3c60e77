"""`lamppost scan ble`: what it lists, and that what it writes is a configuration."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from click.testing import CliRunner

from config import load
from drivers.ble import BleDriver
from drivers.setup import prepare
from drivers.simulated.bluez import SimulatedBluez
from drivers.simulated.dbus import PrivateBus
from gateway.cli.scan import command
from tests.drivers.support import GATEWAY, WAIT_SECONDS

# https://docs.ruuvi.com/communication/bluetooth-advertisements/data-format-5-rawv2, valid data
RUUVI = bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")
# https://bthome.io/format/: temperature 25 degrees and humidity 50.55 %, not encrypted
BTHOME = bytes.fromhex("4002C40903BF13")
TAG, PROBE, STRANGER = "CB:B8:33:4C:88:4F", "A4:C1:38:8D:18:B2", "C4:11:22:33:44:55"


@pytest.fixture
def street(daemon: PrivateBus) -> Iterator[None]:
    """A tag, a probe and a telephone, in a thread of their own since the command has an event loop of its own."""
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def speak() -> None:
        bluez = SimulatedBluez()
        await bluez.start()
        bluez.add_adapter()
        ready.set()
        while not done.is_set():
            bluez.advertise(TAG, {0x0499: RUUVI}, rssi=-50)
            bluez.advertise(PROBE, service={"fcd2": BTHOME}, rssi=-70, name="\x1b[2J probe 1")
            bluez.advertise(STRANGER, {0x004C: b"\x10\x05"})
            await asyncio.sleep(0.05)
        await bluez.stop()

    ready = Event()
    thread = Thread(target=loop.run_until_complete, args=(speak(),))
    thread.start()
    assert ready.wait(WAIT_SECONDS)
    yield
    loop.call_soon_threadsafe(done.set)
    thread.join()
    loop.close()


def test_devices_are_listed_with_the_format_that_fits(street: None, tmp_path: Path) -> None:
    file = tmp_path / "air.toml"
    result = CliRunner().invoke(command, ["ble", "--seconds", "0.6", "--json", "--write", str(file)])
    assert result.exit_code == 0, result.output
    found = {one["address"]: one for one in json.loads(result.stdout)}
    assert set(found) == {TAG, PROBE}
    assert (found[TAG]["format"], found[TAG]["rssi"]) == ("ruuvi", -50) or found[TAG]["format"].startswith("ruuvi")
    assert found[TAG]["says"]["temperature"] == 24.3
    assert found[PROBE]["format"] == "bthome"
    assert (found[PROBE]["says"]["temperature"], found[PROBE]["says"]["humidity"]) == (25, 50.55)
    config = tmp_path / "lamppost.toml"
    config.write_text(GATEWAY + file.read_text())
    assert BleDriver.profiles is not None
    (driver,) = prepare(load(config, profiles=[BleDriver.profiles]), lambda _: BleDriver)
    assert len(driver.setup.devices) == 2
    assert STRANGER not in file.read_text()
    assert "\x1b" not in file.read_text()


def test_all_are_listed_when_asked_for_and_a_file_is_not_overwritten(street: None, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["ble", "--seconds", "0.6", "--all"])
    assert STRANGER in result.stdout
    assert "\x1b" not in result.stdout
    file = tmp_path / "air.toml"
    file.write_text("")
    assert CliRunner().invoke(command, ["ble", "--write", str(file)]).exit_code == 2
    assert CliRunner().invoke(command, ["ble", "--adapter", "x"]).exit_code == 2
