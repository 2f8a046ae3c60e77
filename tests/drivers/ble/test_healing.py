"""A radio that falls silent, in virtual time, and each rung of the ladder once on a BlueZ that hears nothing."""

import asyncio
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ble import BleDriver
from drivers.ble.healing import LADDER, REST_MS, Healer, State, Step
from drivers.errors import BusError
from drivers.simulated.bluez import SimulatedBluez
from gateway.events import wait_until
from tests.drivers.support import WAIT_SECONDS, Listener, make

SILENCE = 120_000
TAG = "CB:B8:33:4C:88:4F"
CONFIG = f"""
[buses]
air = {{ driver = "ble", silence = "1s", restart_bluetoothd = true }}
[devices.tag]
bus = "air"
address = "{TAG}"
points.rssi = {{ source = "rssi" }}
"""


def steps(healer: Healer, times: range, heard: int) -> list[tuple[int, Step]]:
    found = [(now, healer.tick(now, heard)) for now in times]
    return [(now, step) for now, step in found if step is not None]


def test_a_street_that_was_silent_since_start_asks_for_nothing() -> None:
    healer = Healer(SILENCE, may_restart=True)
    healer.resume(0)
    assert steps(healer, range(0, 10 * REST_MS, 1000), 0) == []
    assert healer.state is State.NOTHING_YET


@pytest.mark.parametrize("allowed", [True, False])
def test_each_rung_once_and_again_after_a_rest(allowed: bool) -> None:
    healer = Healer(SILENCE, may_restart=allowed)
    healer.resume(0)
    assert healer.tick(500, 1) is None
    last = [(360_500 + 1000, Step.RESTART_BLUEZ)] if allowed else []
    found = steps(healer, range(500, REST_MS, 1000), 1)
    assert found == [
        (120_500, Step.RESTART_SCAN), (240_500, Step.POWER_CYCLE), (360_500, Step.SAY_SO), *last
    ]  # fmt: skip
    assert healer.loud
    later = steps(healer, range(REST_MS, 2 * REST_MS, 1000), 1)
    assert [step for _, step in later] == [Step.RESTART_SCAN, Step.POWER_CYCLE, Step.SAY_SO, *(s for _, s in last)]
    assert later[0][0] - found[-1][0] == pytest.approx(REST_MS, abs=1000)
    assert not healer.loud
    assert healer.counts == {
        Step.RESTART_SCAN: 2, Step.POWER_CYCLE: 2, Step.SAY_SO: 2, Step.RESTART_BLUEZ: 2 if allowed else 0
    }  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 200_000), st.booleans()), max_size=60), st.booleans())
def test_no_step_without_silence_and_none_out_of_order(events: list[tuple[int, bool]], allowed: bool) -> None:
    healer, now, heard, silent_since = Healer(SILENCE, may_restart=allowed), 0, 0, 0
    for passed, sound in events:
        before, now, heard = healer.state, now + passed, heard + sound
        step = healer.tick(now, heard)
        if sound:
            assert step is None
            assert healer.state is State.HEARING
            assert healer.recovered is (before not in (State.HEARING, State.NOTHING_YET))
            silent_since = now
        elif step is not None:
            assert now - silent_since >= SILENCE
            assert (step, healer.state) in (LADDER.get(before), LADDER[State.SPENT])
            assert step is not Step.RESTART_BLUEZ or allowed


@pytest.fixture
def driver(tmp_path: Path) -> BleDriver:
    return make(BleDriver, tmp_path, CONFIG)


async def test_each_rung_is_seen_once_in_order_by_bluez(
    driver: BleDriver, bluez: SimulatedBluez, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "drivers.ble")
    sink = Listener(driver.setup)
    await driver.open()
    task = asyncio.ensure_future(driver.listen(sink))
    async with asyncio.timeout(WAIT_SECONDS):
        await bluez.until_scanning()
        bluez.advertise(TAG, {1: b"1"})
        await sink.until(samples=1)
        bluez.deaf, bluez.calls[:] = True, []
        while ("/org/freedesktop/systemd1", "RestartUnit") not in bluez.calls:
            await bluez.news()
        bluez.deaf = False
        seen = [member for _, member in bluez.calls if member in ("StartDiscovery", "StopDiscovery", "Set")]
        await bluez.until_scanning()
        bluez.advertise(TAG, {1: b"2"})
        await sink.until(samples=2)
        await wait_until(lambda: driver.facts()["state"] == State.HEARING.value, WAIT_SECONDS)
    # StopDiscovery and StartDiscovery: a new scan; twice Set: Powered off and on; and a stop before each step
    assert seen == [
        "StopDiscovery", "StartDiscovery", "StopDiscovery", "Set", "Set", "StartDiscovery", "StopDiscovery"
    ]  # fmt: skip
    facts = driver.facts()
    assert [facts[step.value] for step in Step] == [1, 1, 1, 1]
    task.cancel()
    await asyncio.wait([task])
    await driver.close()
    told = [record.getMessage() for record in caplog.records]
    assert [text.rpartition(": ")[2] for text in told[:2]] == ["restart-scan", "power-cycle"]
    assert "neither a new scan nor power-cycling helped" in told[2]
    assert told[3].endswith("restart-bluetoothd")
    assert "heard again" in told[4]
    assert len(told) == 5
    assert TAG not in "".join(told)


async def test_an_adapter_that_does_not_come_on_again_is_switched_on_at_the_next_opening(
    driver: BleDriver, bluez: SimulatedBluez
) -> None:
    sink = Listener(driver.setup)
    await driver.open()
    task = asyncio.ensure_future(driver.listen(sink))
    async with asyncio.timeout(WAIT_SECONDS):
        await bluez.until_scanning()
        bluez.advertise(TAG, {1: b"1"})
        await sink.until(samples=1)
        bluez.deaf = True
        while not any(member == "Set" for _, member in bluez.calls):
            await bluez.news()
        bluez.errors["Set"] = ("org.bluez.Error.Failed", "Failed")
        with pytest.raises(BusError, match="hci0 cannot be switched on: Failed"):
            await task
        await driver.close()
        with pytest.raises(BusError, match="hci0 cannot be switched on: Failed"):
            await driver.open()
        del bluez.errors["Set"]
        await driver.open()
        bluez.deaf = False
        task = asyncio.ensure_future(driver.listen(sink))
        await bluez.until_scanning()
        bluez.advertise(TAG, {1: b"2"})
        await sink.until(samples=2)
    task.cancel()
    await asyncio.wait([task])
    await driver.close()
