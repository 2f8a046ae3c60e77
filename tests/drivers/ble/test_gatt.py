"""Unmodified bleak that connects, reads, writes and is notified, to devices that answer and to those that do not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from drivers.base import Read
from drivers.ble_gatt import GattDriver
from drivers.errors import BadAnswer, BusError, ExceptionAnswer, NoAnswer, NotWritable
from drivers.simulated.bluez import SimulatedBluez, device_path
from drivers.simulated.gatt import Characteristic
from gateway.events import wait_until
from gateway.keeping.recorder import Recorder
from gateway.keeping.series import compile_series
from gateway.polling.health import State
from gateway.polling.poller import PollingTask
from tests.drivers.support import WAIT_SECONDS, Listener, make

BASE = "-0000-1000-8000-00805f9b34fb"
ROOM, PUMP = "C4:11:22:33:44:55", "C4:11:22:33:44:56"
PUMP_UUID = "f000aa01-0451-4000-b000-000000000000"
LEVEL_UUID = "f000aa02-0451-4000-b000-000000000000"
CONFIG = f"""
[buses]
air = {{ driver = "ble-gatt", timeout = "400ms" }}
[devices]
room = {{ bus = "air", address = "{ROOM}", profile = "environmental-sensing" }}
[devices.pump]
bus = "air"
address = "{PUMP}"
every = "1s"
points.speed = {{ characteristic = "{PUMP_UUID}", notify = true }}
points.level = {{ characteristic = "{LEVEL_UUID}", type = "int16", scale = 0.5 }}
"""


def uuid(short: str) -> str:
    return f"0000{short}{BASE}"


def environment() -> dict[str, dict[str, Characteristic]]:
    return {
        uuid("181a"): {
            uuid("2a6e"): Characteristic(bytes.fromhex("2909")),
            uuid("2a6f"): Characteristic(bytes.fromhex("4815")),
        },
        uuid("180f"): {uuid("2a19"): Characteristic(b"\x63")},
    }


@pytest.fixture(autouse=True)
def version(monkeypatch: pytest.MonkeyPatch) -> None:
    """bleak asks bluetoothctl once for BlueZ's version, and logs when there is none: here there need not be."""
    from bleak.backends.bluezdbus.version import BlueZFeatures

    monkeypatch.setattr(BlueZFeatures, "checked_bluez_version", True)


@pytest.fixture
def idle(tmp_path: Path) -> GattDriver:
    return make(GattDriver, tmp_path, CONFIG)


@pytest.fixture
async def driver(idle: GattDriver, bluez: SimulatedBluez) -> AsyncIterator[GattDriver]:
    await idle.open()
    await bluez.until_scanning()
    yield idle
    await idle.close()


def read_of(driver: GattDriver, device: str) -> Read:
    return next(read for read in driver.reads() if read.device == device)


async def answered(driver: GattDriver, device: str, sink: Listener) -> None:
    """Ask until it answers: what broke the link may be known only after a try that began with it."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            with suppress(NoAnswer):
                return await driver.ask(read_of(driver, device), sink)


async def test_environmental_sensing_is_read_and_left(driver: GattDriver, bluez: SimulatedBluez) -> None:
    bluez.add_peripheral(ROOM, environment())
    sink = Listener(driver.setup)
    await driver.ask(read_of(driver, "room"), sink)
    assert sorted(sink.samples) == [
        ["room/battery", "99", "good"], ["room/humidity", "54.48", "good"], ["room/temperature", "23.45", "good"]
    ]  # fmt: skip
    assert not bluez.gatt.connected
    await driver.ask(read_of(driver, "room"), sink)
    assert len(bluez.gatt.connects) == 2


async def test_what_does_not_answer_costs_its_time_and_no_more(driver: GattDriver, bluez: SimulatedBluez) -> None:
    sink, read, path = Listener(driver.setup), read_of(driver, "room"), device_path(ROOM)
    with pytest.raises(NoAnswer, match="BlueZ does not see it"):
        await driver.ask(read, sink)
    bluez.add_peripheral(ROOM, environment())
    bluez.gatt.stuck.add(path)
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(NoAnswer, match=r"no answer within 0\.4 s"):
            await driver.ask(read, sink)
    assert (path, "Disconnect") in bluez.calls
    bluez.mute.add("Disconnect")
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(NoAnswer):
            await driver.ask(read, sink)
    bluez.mute.clear()
    bluez.gatt.stuck.clear()
    bluez.gatt.broken[path] = "le-connection-abort"
    bluez.gatt.connects.clear()
    with pytest.raises(NoAnswer, match="connection failed: le-connection-abort"):
        await driver.ask(read, sink)
    assert len(bluez.gatt.connects) == 2
    bluez.gatt.broken.clear()
    assert not sink.samples
    await driver.ask(read, sink)
    assert len(sink.samples) == 3


async def test_what_is_missing_or_refused_costs_its_own_points(driver: GattDriver, bluez: SimulatedBluez) -> None:
    sink = Listener(driver.setup)
    bluez.add_peripheral(ROOM, {uuid("180f"): {uuid("2a00"): Characteristic()}})
    with pytest.raises(BadAnswer, match="has no characteristic"):
        await driver.ask(read_of(driver, "room"), sink)
    bluez.add_peripheral(
        PUMP, {uuid("1800"): {PUMP_UUID: Characteristic(flags=("notify",)), LEVEL_UUID: Characteristic()}}
    )
    bluez.errors["ReadValue"] = ("org.bluez.Error.Failed", "Operation failed with ATT error: 0x05")
    with pytest.raises(ExceptionAnswer, match="exception 5"):
        await driver.ask(read_of(driver, "pump"), sink)
    bluez.errors.clear()
    with pytest.raises(BadAnswer, match="has 0 bytes, not 2"):
        await driver.ask(read_of(driver, "pump"), sink)
    assert not sink.samples


async def test_notifications_on_a_kept_link_that_is_lost_and_made_again(
    driver: GattDriver, bluez: SimulatedBluez
) -> None:
    sink, read, path = Listener(driver.setup), read_of(driver, "pump"), device_path(PUMP)
    pump = {PUMP_UUID: Characteristic(flags=("notify",)), LEVEL_UUID: Characteristic(b"\xfe\xff", ("read", "write"))}
    bluez.add_peripheral(PUMP, {uuid("1800"): pump})
    await driver.ask(read, sink)
    assert bluez.gatt.notify(path, PUMP_UUID, b"\x10\x00")
    await sink.until(samples=2)
    await driver.ask(read, sink)
    assert bluez.gatt.connects == [path]
    bluez.gatt.drop(path)
    assert not bluez.gatt.notify(path, PUMP_UUID, b"\x11\x00")
    await asyncio.sleep(0)
    await answered(driver, "pump", sink)
    assert bluez.gatt.notify(path, PUMP_UUID, b"\x12\x00")
    await sink.until(samples=5)
    await driver.write("pump/level", 3.5)
    assert pump[LEVEL_UUID].value == b"\x07\x00"
    assert path in bluez.gatt.connected
    await driver.close()
    assert not bluez.gatt.connected
    speeds = [value for name, value, _ in sink.samples if name == "pump/speed"]
    assert speeds == ["16", "18"]
    assert ["pump/level", "-1", "good"] in sink.samples


@pytest.mark.parametrize(
    ("point", "value"),
    [("pump/none", 1), ("pump/level", 0.3), ("pump/level", 20000), ("pump/level", True), ("pump/level", "1")],
)
async def test_what_cannot_be_written_is_not(
    driver: GattDriver, bluez: SimulatedBluez, point: str, value: float | str
) -> None:
    bluez.add_peripheral(PUMP, {})
    with pytest.raises(NotWritable):
        await driver.write(point, value)
    assert not bluez.gatt.connects


async def test_bluez_that_goes_away_is_the_bus_s_fault(driver: GattDriver, bluez: SimulatedBluez) -> None:
    bluez.add_peripheral(ROOM, environment())
    sink = Listener(driver.setup)
    await driver.ask(read_of(driver, "room"), sink)
    await bluez.stop()
    with pytest.raises(BusError, match="BlueZ went away"):
        await answered(driver, "room", sink)
    await driver.close()
    with pytest.raises(BusError, match="is not open"):
        await driver.ask(read_of(driver, "room"), sink)


LIVING, DEAD, EVERY_MS = 170, 30, 12_000  # and a timeout of 200 ms: as 15 s are to 15 minutes
HERD = """
[buses]
air = { driver = "ble-gatt", timeout = "200ms" }
[devices]
""" + "\n".join(
    f'd{n} = {{ bus = "air", address = "C4:11:22:33:{n // 256:02X}:{n % 256:02X}", every = "{EVERY_MS}ms", '
    f'supply = "mains", profile = "battery-service" }}'
    for n in range(LIVING + DEAD)
)


@pytest.fixture
def herd(tmp_path: Path) -> GattDriver:
    return make(GattDriver, tmp_path, HERD)


async def test_thirty_dead_of_two_hundred_do_not_cost_the_living_their_schedule(
    herd: GattDriver, bluez: SimulatedBluez
) -> None:
    """A quarter of an hour is twelve seconds here."""
    dead = set(range(0, LIVING + DEAD, (LIVING + DEAD) // DEAD)[:DEAD])
    tell, bluez.objects.send = bluez.objects.send, None  # nobody listens yet, and so many signals may fill the socket
    for number, device in enumerate(herd.setup.devices):
        address = device.options.address  # type: ignore[attr-defined]
        bluez.add_peripheral(address, environment())
        if number in dead:
            bluez.gatt.stuck.add(device_path(address))
    bluez.objects.send = tell
    loop = asyncio.get_running_loop()
    points = {p.point.id: p.point for d in herd.setup.devices for p in d.points}
    series = compile_series(points, {name: number for number, name in enumerate(points, 1)})
    task = PollingTask(herd, Recorder(lambda: int(loop.time() * 1000), series, points), lambda: int(loop.time() * 1000))
    running = asyncio.ensure_future(task.run())
    living = [h for n, h in enumerate(task.health.values()) if n not in dead]
    gone = [h for n, h in enumerate(task.health.values()) if n in dead]
    again = living[: LIVING // 5]  # those that are due for the second time within the first fifth of a period
    await wait_until(lambda: min(h.answers for h in again) > 1, WAIT_SECONDS + EVERY_MS / 1000)
    running.cancel()
    await asyncio.wait([running])
    assert {h.state for h in living} == {State.ONLINE}
    assert task.turns is not None
    assert task.turns.schedule.missed == 0
    assert sum(h.answers for h in gone) == 0
    assert min(h.failures for h in gone) >= 1
    assert bluez.gatt.most == 1
