"""Unmodified bleak against BlueZ's D-Bus interface: what is heard, and everything that can go away."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.ble import BleDriver
from drivers.errors import BusError
from drivers.simulated.bluez import SimulatedBluez
from drivers.simulated.dbus import PrivateBus
from tests.drivers.support import WAIT_SECONDS, Listener, make

# https://docs.ruuvi.com/communication/bluetooth-advertisements/data-format-5-rawv2, test vectors
VALID = bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")
MAXIMUM = bytes.fromhex("057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F")
RUUVI = 0x0499
TAG = "CB:B8:33:4C:88:4F"
STRANGER = "C4:11:22:33:44:55"

CONFIG = f"""
[buses]
air = {{ driver = "ble", adapter = "hci0" }}
[devices.tag]
bus = "air"
address = "{TAG.lower()}"
advertisement = {{ company = {RUUVI}, header = "05", length = 24 }}
points.temperature = {{ byte = 1, type = "int16", scale = 0.005 }}
points.rssi = {{ source = "rssi" }}
"""


@pytest.fixture
def driver(tmp_path: Path) -> BleDriver:
    return make(BleDriver, tmp_path, CONFIG)


@contextmanager
def listening(driver: BleDriver, sink: Listener) -> Iterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(driver.listen(sink))
    try:
        yield task
    finally:
        task.cancel()


async def until_heard(bluez: SimulatedBluez, sink: Listener) -> None:
    """Wait until the driver hears: BlueZ has said that it scans, and bleak has been told."""
    await bluez.until_scanning()
    before = len(sink.samples)
    bluez.advertise(TAG, {RUUVI: VALID})
    await sink.until(samples=before + 2)


async def test_advertisements_become_samples(driver: BleDriver, bluez: SimulatedBluez) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink):
        await bluez.until_scanning()
        bluez.advertise(TAG, {RUUVI: VALID}, rssi=-60, name="\x1b[2Jtag")
        await sink.until(samples=2)
        bluez.advertise(TAG, {RUUVI: MAXIMUM}, rssi=-71)
        await sink.until(samples=4)
    await bluez.until_scanning(on=False)
    await driver.close()
    assert sink.samples == [
        ["tag/temperature", "24.3", "good"],
        ["tag/rssi", "-60", "good"],
        ["tag/temperature", "163.835", "good"],
        ["tag/rssi", "-71", "good"],
    ]
    assert bluez.filters[0]["DuplicateData"] is True


async def test_the_same_data_again_are_a_new_measurement(driver: BleDriver, bluez: SimulatedBluez) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink):
        await bluez.until_scanning()
        for times in (1, 2, 3):
            bluez.advertise(TAG, {RUUVI: VALID})
            await sink.until(samples=2 * times)
    await driver.close()


async def test_a_change_of_signal_strength_alone_is_no_measurement(driver: BleDriver, bluez: SimulatedBluez) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink):
        await bluez.until_scanning()
        bluez.advertise(TAG, {RUUVI: VALID})
        await sink.until(samples=2)
        bluez.tell_rssi(TAG, -80)
        bluez.tell_rssi(TAG, -81)
        bluez.advertise(TAG, {}, rssi=-82)
        bluez.advertise(TAG, {RUUVI: MAXIMUM}, rssi=-60)
        await sink.until(samples=4)
    await driver.close()
    assert [sample[1] for sample in sink.samples] == ["24.3", "-60", "163.835", "-60"]


async def test_strangers_are_counted_by_format_only(driver: BleDriver, bluez: SimulatedBluez) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink):
        await bluez.until_scanning()
        bluez.advertise(STRANGER, {RUUVI: VALID}, name="<script>")
        bluez.advertise("C4:11:22:33:44:56", {0x004C: b"\x10\x05"})
        await sink.until(strangers=2)
        bluez.advertise(TAG, {RUUVI: VALID[:-1]})
        await sink.until(failures=1)
    await driver.close()
    assert sink.strangers == ["advertisement of company 0x0499, header 05", "advertisement of another format"]
    assert sink.failures[0][0] == "tag"
    assert sink.samples == []


async def test_an_adapter_that_is_pulled_out(driver: BleDriver, bluez: SimulatedBluez) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink) as task:
        await until_heard(bluez, sink)
        bluez.remove_adapter()
        with pytest.raises(BusError, match="Bluetooth adapter hci0 went away"):
            await asyncio.wait_for(task, WAIT_SECONDS)
    await driver.close()
    with pytest.raises(BusError, match=r"there is no Bluetooth adapter hci0 \(there are: none\)"):
        await driver.open()


async def test_an_adapter_that_is_switched_off_and_on(driver: BleDriver, bluez: SimulatedBluez) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink) as task:
        await until_heard(bluez, sink)
        bluez.power(on=False)
        with pytest.raises(BusError, match="hci0 was switched off"):
            await asyncio.wait_for(task, WAIT_SECONDS)
    await driver.close()
    with pytest.raises(BusError, match="hci0 is off"):
        await driver.open()
    bluez.power(on=True)
    await driver.open()
    with listening(driver, sink):
        await until_heard(bluez, sink)
    await driver.close()


async def test_bluez_that_crashes_and_comes_back(driver: BleDriver, bluez: SimulatedBluez) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink) as task:
        await until_heard(bluez, sink)
        await bluez.stop()
        with pytest.raises(BusError, match="BlueZ went away"):
            await asyncio.wait_for(task, WAIT_SECONDS)
    await driver.close()
    with pytest.raises(BusError, match="BlueZ is not running"):
        await driver.open()
    await bluez.start()
    bluez.add_adapter()
    await driver.open()
    with listening(driver, sink):
        await until_heard(bluez, sink)
    await driver.close()


async def test_dbus_that_goes_away(driver: BleDriver, bluez: SimulatedBluez, daemon: PrivateBus) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    with listening(driver, sink) as task:
        await until_heard(bluez, sink)
        daemon.kill()
        with pytest.raises(BusError, match="D-Bus went away"):
            await asyncio.wait_for(task, WAIT_SECONDS)
    await driver.close()
    with pytest.raises(BusError, match="no D-Bus system bus"):
        await driver.open()


async def test_no_dbus_at_all(driver: BleDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'none'}")
    with pytest.raises(BusError, match=r"no D-Bus system bus: .*No such file"):
        await driver.open()
    await driver.close()


async def test_scanning_that_bluez_refuses(driver: BleDriver, bluez: SimulatedBluez) -> None:
    bluez.errors["StartDiscovery"] = ("org.bluez.Error.NotReady", "Resource Not Ready")
    await driver.open()
    with pytest.raises(BusError, match="cannot scan with hci0: Resource Not Ready"):
        await driver.listen(Listener(driver.setup))
    await driver.close()


async def test_listening_needs_an_open_adapter(driver: BleDriver) -> None:
    with pytest.raises(BusError, match="is not open"):
        await driver.listen(Listener(driver.setup))


def test_bleak_is_not_loaded_without_a_bluetooth_bus() -> None:
    code = "import sys, drivers.ble; sys.exit(any(name in sys.modules for name in ('bleak', 'dbus_fast')))"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


PASSIVE = """
[buses]
air = {{ driver = "ble", adapter = "{adapter}"{more} }}
[devices.tag]
bus = "air"
address = "{tag}"
advertisement = {{ company = 0x0499, header = "05", length = 24 }}
points.rssi = {{ source = "rssi" }}
[devices.probe]
bus = "air"
address = "C4:11:22:33:44:66"
advertisement = {{ service = "181a", length = 2 }}
points.temperature = {{ byte = 0, type = "int16", scale = 0.01 }}
"""
NAMED = """
[buses]
air = { driver = "ble" }
[devices.bin]
bus = "air"
name = "bin 4"
points.rssi = { source = "rssi" }
points.seen = { source = "last-seen" }
"""


@pytest.fixture
def passive(tmp_path: Path) -> BleDriver:
    return make(BleDriver, tmp_path, PASSIVE.format(adapter="00:00:5e:00:53:02", more="", tag=TAG))


@pytest.fixture
def named(tmp_path: Path) -> BleDriver:
    return make(BleDriver, tmp_path, NAMED)


async def test_passive_scanning_where_bluez_offers_it(passive: BleDriver, bluez: SimulatedBluez) -> None:
    bluez.add_adapter("hci1", address="00:00:5E:00:53:02", monitors=True)
    sink = Listener(passive.setup)
    await passive.open()
    with listening(passive, sink):
        while not bluez.advertise(TAG, {RUUVI: VALID}, adapter="hci1"):
            await bluez.news()
        assert bluez.passive
        assert not bluez.advertise(STRANGER, {0x004C: b"\x10\x05"}, adapter="hci1")
        assert not bluez.advertise(TAG, {RUUVI: VALID}, adapter="hci0")
        assert bluez.advertise("C4:11:22:33:44:66", service={"181a": b"\xff\x38"}, adapter="hci1")
        await sink.until(samples=2)
        facts = passive.facts()
    await bluez.until_scanning(on=False)
    await passive.close()
    assert sink.samples == [["tag/rssi", "-60", "good"], ["probe/temperature", "-2", "good"]]
    assert (facts["adapter"], facts["scan"]) == ("hci1", "passive")
    assert ("/org/bluez/hci1", "StartDiscovery") not in bluez.calls


async def test_passive_scanning_that_fails_is_active(passive: BleDriver, bluez: SimulatedBluez) -> None:
    bluez.add_adapter("hci1", address="00:00:5E:00:53:02", monitors=True)
    bluez.errors["RegisterMonitor"] = ("org.bluez.Error.Failed", "Failed")
    sink = Listener(passive.setup)
    await passive.open()
    with listening(passive, sink):
        await bluez.until_scanning()
        assert bluez.advertise(TAG, {RUUVI: VALID}, adapter="hci1")
        await sink.until(samples=1)
        assert passive.facts()["scan"] == "active"
        assert "passive scanning failed" in str(passive.facts()["why"])
    await passive.close()


async def test_a_device_by_its_name_and_two_buses_on_one_scan(
    named: BleDriver, driver: BleDriver, bluez: SimulatedBluez
) -> None:
    sink, other = Listener(named.setup), Listener(driver.setup)
    await named.open()
    await driver.open()
    with listening(named, sink) as first:
        await bluez.until_scanning()
        with listening(driver, other):
            while not other.strangers:  # the second bus has begun to listen along
                heard = len(sink.samples)
                bluez.advertise(STRANGER, {1: b"\x01"}, name="bin 4", rssi=-70)
                await sink.until(samples=heard + 2)
            bluez.advertise("C4:11:22:33:44:77", {1: b"\x01"}, name="bin 4", rssi=127)
            bluez.advertise(TAG, {RUUVI: VALID})
            await other.until(samples=2)
            assert [call for call in bluez.calls if call[1] == "StartDiscovery"] == [
                ("/org/bluez/hci0", "StartDiscovery")
            ]
            first.cancel()
            await bluez.until_scanning(on=False)
    await named.close()
    await driver.close()
    assert sink.samples[0] == ["bin/rssi", "-70", "good"]
    assert sink.samples[1][0] == "bin/seen"
    assert int(sink.samples[1][1] or 0) == pytest.approx(time.time(), abs=60)
    assert sink.samples[-2] == ["bin/rssi", None, "bad (sentinel)"]


async def test_an_adapter_that_comes_later(driver: BleDriver, bluez: SimulatedBluez) -> None:
    bluez.remove_adapter()
    bluez.add_adapter("hci7")
    with pytest.raises(BusError, match=r"no Bluetooth adapter hci0 \(there are: hci7\)"):
        await driver.open()
    bluez.add_adapter("hci0")
    await driver.open()
    await driver.close()


CROWD = 20


@pytest.fixture
def crowd(tmp_path: Path) -> BleDriver:
    tags = "\n".join(
        f'd{n} = {{ bus = "air", address = "C4:11:22:33:44:{n:02X}", profile = "ruuvi-df5" }}' for n in range(CROWD)
    )
    return make(BleDriver, tmp_path, f'[buses]\nair = {{ driver = "ble" }}\n[devices]\n{tags}\n')


async def test_none_of_a_crowd_is_lost_and_strangers_leave_nothing(crowd: BleDriver, bluez: SimulatedBluez) -> None:
    """The short form of bench/ble.py: each payload's counter is heard once, in order."""
    sink, each = Listener(crowd.setup), 100
    await crowd.open()
    with listening(crowd, sink):
        await bluez.until_scanning()
        for turn in range(each):
            counted = VALID[:16] + turn.to_bytes(2, "big") + VALID[18:]
            for number in range(CROWD):
                bluez.advertise(f"C4:11:22:33:44:{number:02X}", {RUUVI: counted})
            bluez.advertise(STRANGER, {RUUVI: counted}, name="somebody")
            await sink.until(samples=(turn + 1) * CROWD * 11)  # dbus-fast gives up a connection whose socket is full
        facts = crowd.facts()
    await crowd.close()
    for number in range(CROWD):
        counters = [value for name, value, _ in sink.samples if name == f"d{number}/sequence"]
        assert counters == [str(turn) for turn in range(each)]
    assert set(sink.strangers) == {"advertisement of company 0x0499, header 05"}
    assert STRANGER not in repr((facts, sink.samples, sink.failures))
