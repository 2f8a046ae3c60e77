"""Advertisements through unmodified bleak, in the agent's process, to the collector's rows: exact, and each once."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from drivers.simulated.bluez import SimulatedBluez
from drivers.simulated.dbus import PrivateBus
from tests.integration.harness import Rig, Row, columns, same

RUUVI = 0x0499
TAG, STRANGER = "CB:B8:33:4C:88:4F", "C4:11:22:33:44:55"
GOOD, NO_ANSWER, SENTINEL = 0, 6, 14  # docs/format.md

CONFIG = f"""
[buses]
air = {{ driver = "ble", adapter = "hci0" }}
[devices]
tag = {{ bus = "air", address = "{TAG}", profile = "ruuvi-df5" }}
"""

POINTS = (
    "temperature", "humidity", "pressure", "acceleration-x", "acceleration-y", "acceleration-z", "battery", "tx-power",
    "movements", "sequence",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vector:
    """A test vector of https://docs.ruuvi.com/communication/bluetooth-advertisements/data-format-5-rawv2."""

    data: str
    values: Sequence[Decimal | int | None]
    """In the order of POINTS; scaled ones with the digits that the scale has."""


VALID = Vector(
    "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F",
    [*map(Decimal, ("24.300", "53.4900", "100044", "0.004", "-0.004", "1.036", "2.977", "4")), 66, 205],
)
MAXIMUM = Vector(
    "057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F",
    [*map(Decimal, ("163.835", "163.8350", "115534", "32.767", "32.767", "32.767", "3.646", "20")), 254, 65534],
)
MINIMUM = Vector(
    "058001000000008001800180010000000000CBB8334C884F",
    [*map(Decimal, ("-163.835", "0.0000", "50000", "-32.767", "-32.767", "-32.767", "1.600", "-40")), 0, 0],
)
INVALID = Vector("058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF", [None] * len(POINTS))
SENT = (VALID, MAXIMUM, MINIMUM, INVALID, VALID)


@pytest.fixture
def system_bus(
    program: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A D-Bus daemon of the test's own, for this process and those that it starts."""
    made = PrivateBus(program("dbus-daemon", "dbus-daemon"), tmp_path_factory.mktemp("dbus"))
    monkeypatch.setitem(os.environ, "DBUS_SYSTEM_BUS_ADDRESS", made.address)
    yield
    made.kill()


@asynccontextmanager
async def bluetoothd() -> AsyncIterator[SimulatedBluez]:
    """A BlueZ that has just started, with an adapter and without memories."""
    made = SimulatedBluez()
    await made.start()
    made.add_adapter()
    try:
        yield made
    finally:
        await made.stop()


def expected(sent: Sequence[tuple[Vector, int]]) -> dict[str, list[tuple[object, int]]]:
    """(value, quality) of each point, in order of time."""
    found: dict[str, list[tuple[object, int]]] = {"tag/rssi": [(rssi, GOOD) for _, rssi in sent]}
    for index, point in enumerate(POINTS):
        values = [vector.values[index] for vector, _ in sent]
        found[f"tag/{point}"] = [(value, SENTINEL if value is None else GOOD) for value in values]
    return found


async def test_ruuvi_s_vectors_arrive_and_bluez_may_go_and_come(tmp_path: Path, system_bus: None) -> None:
    heard = [(vector, -60 - turn) for turn, vector in enumerate(SENT)]
    async with Rig(tmp_path) as rig:
        async with bluetoothd() as bluez:
            await rig.start_agent(CONFIG)
            await asyncio.wait_for(bluez.until_scanning(), 20)
            for vector, rssi in heard:
                bluez.advertise(TAG, {RUUVI: bytes.fromhex(vector.data)}, rssi=rssi, name="Ruuvi 884F")
                bluez.advertise(STRANGER, {RUUVI: bytes.fromhex(vector.data)}, rssi=rssi, name="stranger's")
            await rig.until_rows(lambda rows: len(rows) == len(heard) * 11, "all that was advertised")
            assert sum((await asyncio.to_thread(rig.status))["strangers"].values()) == len(heard)
        await rig.until_rows(lambda rows: len(rows) == (len(heard) + 1) * 11, "the bus is told to be out")
        async with bluetoothd() as bluez:
            await asyncio.wait_for(bluez.until_scanning(), 20)
            bluez.advertise(TAG, {RUUVI: bytes.fromhex(MAXIMUM.data)}, rssi=-77)
            await rig.until_rows(lambda rows: len(rows) == (len(heard) + 2) * 11, "the tag is heard again")
            state = await asyncio.to_thread(rig.device, "tag")
            await rig.settle()
            assert await rig.stop_agent() == 0
        rows, samples = await asyncio.to_thread(rig.rows), await asyncio.to_thread(rig.samples)
        told = await asyncio.to_thread(lambda: rig.logs() + repr(rig.query("SELECT bytes FROM batches")))

    before, after = expected(heard), expected([(MAXIMUM, -77)])
    wanted = {point: [*before[point], (None, NO_ANSWER), *after[point]] for point in before}
    for point, values in wanted.items():
        found = [sample for sample in samples if sample.point == point]
        assert [sample.quality for sample in found] == [quality for _, quality in values], point
        assert all(same(s.value, value) for s, (value, _) in zip(found, values, strict=True)), (point, found)
        assert [shown(row) for row in rows if row.point == point] == [(*columns(value), q) for value, q in values]
    assert {row.point for row in rows} == set(wanted)
    assert {(row.type, row.unit) for row in rows if row.point == "tag/temperature"} == {("int16", "Cel")}
    assert (state["state"], state["failures"]) == ("online", 0)
    assert "stranger's" not in told
    assert STRANGER.lower() not in told.lower()


async def test_what_was_heard_before_the_time_was_known_is_dated_without_waiting_for_more(
    tmp_path: Path, system_bus: None
) -> None:
    """An agent that reaches no time server learns the time from the collector; a sensor may speak once a day."""
    async with Rig(tmp_path) as rig, bluetoothd() as bluez:
        await rig.link.cut()
        await rig.start_agent(CONFIG)
        await asyncio.wait_for(bluez.until_scanning(), 20)
        bluez.advertise(TAG, {RUUVI: bytes.fromhex(VALID.data)}, rssi=-60)
        await rig.until(
            lambda: rig.status()["buffer"]["held"]["samples"] == 12, "they and the configuration are sealed"
        )
        before = await asyncio.to_thread(rig.status)
        await rig.link.start()
        rows = await rig.until_rows(lambda rows: len(rows) == 11, "they are dated and stored")
        await rig.settle()
        assert await rig.stop_agent() == 0
    assert max(row.utc_ms for row in rows) <= before["utc_ms"] + 1000
    assert {row.quality for row in rows} == {GOOD}


def shown(row: Row) -> tuple[float | None, str | None, int]:
    return row.value, row.exact, row.quality
