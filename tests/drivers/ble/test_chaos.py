"""BlueZ that refuses a call, or never answers it: one error of the bus, nothing left behind, and well again after."""

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import ClassVar
from weakref import WeakSet

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from drivers.ble import BleDriver, radio, watch
from drivers.ble_gatt import GattDriver, peripheral
from drivers.errors import BusError, NoAnswer
from drivers.simulated.bluez import SimulatedBluez, device_path
from gateway.reporting import logs
from tests.drivers.ble.test_gatt import CONFIG as GATT
from tests.drivers.ble.test_gatt import ROOM, environment, read_of
from tests.drivers.ble.test_radio import PASSIVE, RUUVI, STRANGER, TAG, VALID
from tests.drivers.support import WAIT_SECONDS, Listener, make

SECONDS = 0.2
LIBRARIES = ("pymodbus", "pymodbus.logging", "mqtt", "asyncio", "bleak", "dbus_fast")
FAILED, BUSY = ("org.bluez.Error.Failed", ""), ("org.bluez.Error.InProgress", "Operation already in progress")


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BleDriver:
    monkeypatch.setattr(radio, "START_SECONDS", SECONDS)
    monkeypatch.setattr(radio, "STOP_SECONDS", SECONDS)
    monkeypatch.setattr(watch, "CALL_SECONDS", 2 * SECONDS)
    monkeypatch.setattr(watch, "OFF_SECONDS", 0.0)
    return make(BleDriver, tmp_path, PASSIVE.format(adapter="hci0", more="", tag=TAG))


async def heard(driver: BleDriver, bluez: SimulatedBluez) -> None:
    """Open, hear one advertisement, and close; raises `BusError`."""
    sink = Listener(driver.setup)
    try:
        await driver.open()
        listening = asyncio.ensure_future(driver.listen(sink))
        while not bluez.advertise(TAG, {RUUVI: VALID}) and not listening.done():
            await asyncio.wait([listening], timeout=SECONDS / 10)
        if not listening.done():
            await sink.until(samples=1)
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
    finally:
        await driver.close()


async def left_open() -> tuple[int, int]:
    """Open files and tasks of this process."""
    return len(await asyncio.to_thread(os.listdir, "/proc/self/fd")), len(asyncio.all_tasks())


@pytest.mark.parametrize("monitors", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize("error", [FAILED, BUSY, None], ids=["failed", "busy", "mute"])
@pytest.mark.parametrize(
    "member", ["GetManagedObjects", "SetDiscoveryFilter", "StartDiscovery", "StopDiscovery", "RegisterMonitor"]
)
async def test_any_call_may_fail(
    driver: BleDriver, bluez: SimulatedBluez, member: str, error: tuple[str, str] | None, *, monitors: bool
) -> None:
    bluez.remove_adapter()
    bluez.add_adapter(monitors=monitors)
    async with asyncio.timeout(WAIT_SECONDS):
        await heard(driver, bluez)
        before = await left_open()
        if error is None:
            bluez.mute.add(member)
        else:
            bluez.errors[member] = error
        for _ in range(2):
            with suppress(BusError):
                await heard(driver, bluez)
        bluez.mute.clear()
        bluez.errors.clear()
        with suppress(BusError):  # a scan of before that BlueZ still has is ended by the first try
            await heard(driver, bluez)
        await heard(driver, bluez)
        assert await left_open() == before


async def test_a_bluez_that_hangs_is_no_silent_street(
    driver: BleDriver, bluez: SimulatedBluez, caplog: pytest.LogCaptureFixture
) -> None:
    bluez.mute.add("StartDiscovery")
    with pytest.raises(BusError, match="cannot scan with hci0: BlueZ does not answer"):
        await heard(driver, bluez)
    assert not caplog.records


async def test_a_scan_that_bluez_would_not_stop_is_ended_with_the_adapter_s_power(
    driver: BleDriver, bluez: SimulatedBluez, caplog: pytest.LogCaptureFixture
) -> None:
    bluez.mute.add("StopDiscovery")
    await heard(driver, bluez)
    bluez.mute.clear()
    await driver.open()
    with pytest.raises(BusError, match="already in progress"):
        await driver.listen(Listener(driver.setup))
    await driver.close()
    assert driver.facts()["power-cycle"] == 1
    await heard(driver, bluez)
    assert [record.getMessage() for record in caplog.records] == ["adapter hci0: still scans from before: power-cycle"]


class Data(dict[int, bytearray]):
    """What BlueZ says, and whether somebody still holds it."""

    alive: ClassVar[WeakSet["Data"]] = WeakSet()

    __hash__ = object.__hash__  # type: ignore[assignment]


def test_addresses_that_change_for_ever_take_a_bounded_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radio, "MAX_REMEMBERED", 100)
    fresh, told = radio._Fresh([lambda *_: None]), 0
    fresh.ended = False
    for number in range(5_000):
        data = Data({1: bytearray(b"x")})
        Data.alive.add(data)
        device = BLEDevice(f"C4:11:22:33:{number // 256:02X}:{number % 256:02X}", None, {})
        fresh(device, AdvertisementData(None, {1: b"x"}, {}, [], None, -60, ("", {"ManufacturerData": data})))
        told = max(told, len(Data.alive))
    assert told <= 2 * 100 + 2
    assert fresh.count == 5_000


async def test_no_log_of_any_level_has_a_stranger(
    driver: BleDriver, bluez: SimulatedBluez, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even bleak's own, where the agent says all that it can."""
    caplog.set_level(logging.DEBUG)
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    logs.start(verbose=True).stop()
    sink = Listener(driver.setup)
    await driver.open()
    listening = asyncio.ensure_future(driver.listen(sink))
    await bluez.until_scanning()
    for number in range(20):
        bluez.advertise(f"C4:11:22:33:44:{number:02X}", {76: b"\x10\x05"}, name="\x1b[2J\n" + "n" * 200)
    bluez.advertise(STRANGER, {RUUVI: b"\x05" * 255}, service={"fcd2": b"\x40" + b"\x57" * 254})
    await sink.until(strangers=21)
    bluez.remove_adapter()
    await asyncio.wait([listening])
    await driver.close()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    said = repr((caplog.text, driver.facts(), sink.strangers, sink.failures, listening.exception()))
    assert "C4:11" not in said
    assert "C4_11" not in said
    assert "nnn" not in said
    assert len(set(sink.strangers)) <= 2


@pytest.fixture
def roaming(tmp_path: Path) -> BleDriver:
    return make(BleDriver, tmp_path, PASSIVE.format(adapter="00:00:5e:00:53:02", more="", tag=TAG))


async def test_an_adapter_by_its_address_is_found_under_another_number(
    roaming: BleDriver, bluez: SimulatedBluez
) -> None:
    for number in ("hci1", "hci7"):
        bluez.add_adapter(number, address="00:00:5E:00:53:02")
        await roaming.open()
        sink = Listener(roaming.setup)
        listening = asyncio.ensure_future(roaming.listen(sink))
        await bluez.until_scanning()
        bluez.advertise(TAG, {RUUVI: VALID}, adapter=number)
        await sink.until(samples=1)
        assert roaming.facts()["adapter"] == number
        bluez.remove_adapter(number)
        with pytest.raises(BusError, match=f"{number} went away"):
            await listening
        await roaming.close()


@pytest.fixture
def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GattDriver:
    monkeypatch.setattr(peripheral, "DISCONNECT_SECONDS", SECONDS)
    return make(GattDriver, tmp_path, GATT)


async def test_bluez_that_restarts_in_mid_connection_leaves_nothing(rooms: GattDriver, bluez: SimulatedBluez) -> None:
    before: list[tuple[int, int]] = []
    async with asyncio.timeout(WAIT_SECONDS):
        for _ in range(3):
            bluez.add_peripheral(ROOM, environment())
            bluez.gatt.stuck.add(device_path(ROOM))
            await rooms.open()
            await bluez.until_scanning()
            asking = asyncio.ensure_future(rooms.ask(read_of(rooms, "room"), Listener(rooms.setup)))
            while (device_path(ROOM), "Connect") not in bluez.calls:
                await bluez.news()
            await bluez.stop()
            with pytest.raises((BusError, NoAnswer)):
                await asking
            await rooms.close()
            bluez.calls.clear()
            bluez.gatt.stuck.clear()
            await bluez.start()
            bluez.add_adapter()
            bluez.add_peripheral(ROOM, environment())
            await rooms.open()
            sink = Listener(rooms.setup)
            with suppress(NoAnswer):
                await rooms.ask(read_of(rooms, "room"), sink)
            await rooms.ask(read_of(rooms, "room"), sink)
            assert len(sink.samples) >= 3
            await rooms.close()
            bluez.calls.clear()
            before.append(await left_open())
    assert len(set(before[1:])) == 1
