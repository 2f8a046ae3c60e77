"""BlueZ that refuses a call, or never answers it: one error of the bus, nothing left behind, and well again after."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from drivers.ble import BleDriver, radio, watch
from drivers.errors import BusError
from drivers.simulated.bluez import SimulatedBluez
from tests.drivers.ble.test_radio import PASSIVE, RUUVI, TAG, VALID
from tests.drivers.support import WAIT_SECONDS, Listener, make

SECONDS = 0.2
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
