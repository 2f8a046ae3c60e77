"""A full disk stops neither the agent nor the collector, and costs no sample that memory could hold."""

import asyncio
import errno
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.account import account
from tests.integration.harness import Rig

MB = 1_000_000
COMMIT_MS = 200
GREEDY = 'keep_free = "0B"'
LEFT = 4096  # bytes that the kernel gives out at a time

DEVICES = """
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {port}
[devices]
light = {{ bus = "panel", address = 2, profile = "street-light", every = "100ms" }}
meter = {{ bus = "panel", address = 1, profile = "eastron-sdm630", every = "100ms" }}
"""


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    path = folder / "ballast"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        size = MB
        while size:
            try:
                while os.write(descriptor, bytes(size)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 16
    finally:
        os.close(descriptor)
    return path


async def start_devices(rig: Rig) -> str:
    """Simulated devices; the agent's configuration for them."""
    words = ["-m", "drivers.simulated", "--no-mast", "--no-p1", "--log", str(rig.folder / "devices.ndjson")]
    process = await rig.children.start("devices", [sys.executable, *words])
    assert process.stdout is not None
    return DEVICES.format(port=json.loads(await process.stdout.readline())["modbus"])


UNTOLD = "SELECT count(*) FROM waiting WHERE state IN ('ready', 'clock', 'catalogue')"


def all_offline(rig: Rig) -> bool:
    """Whether no device of the agent answers any more."""
    return all(device["state"] == "offline" for bus in rig.status()["buses"] for device in bus["devices"])


async def balance(rig: Rig) -> None:
    """Silence the devices, deliver everything, and compare what they said with what is stored."""
    ended = time.time_ns() // 1_000_000
    seen = await asyncio.to_thread(rig.status)
    await rig.until(lambda: further(rig, seen["buffer"]["samples"] + 100), "what was answered until then is taken")
    await rig.children.stop("devices")
    await rig.until(lambda: all_offline(rig), "the agent knows that the devices are gone, and says no more")
    await rig.settle()
    assert await rig.stop_agent() == 0
    await rig.until(lambda: not rig.query(UNTOLD)[0][0], "the collector has made samples of all that it has")
    await rig.children.stop("collector")
    log, key = rig.folder / "devices.ndjson", rig.public_key
    result = await asyncio.to_thread(account, log, rig.buffer, rig.database, key, commit_ms=COMMIT_MS, ended_ms=ended)
    aside = await asyncio.to_thread(rig.query, "SELECT * FROM waiting")
    assert result.faults == [], aside
    assert result.balanced
    assert result.delivered == result.committed > 500


def logged(rig: Rig, name: str, text: str) -> int:
    """How many lines of a log have `text`."""
    return sum(text in line for line in (rig.folder / f"{name}.log").read_text().splitlines())


async def test_the_agent_outlasts_a_full_disk_and_loses_nothing_that_memory_held(
    tmp_path: Path, tmpfs: Callable[[int], Path]
) -> None:
    disk = tmpfs(3 * MB)
    async with Rig(tmp_path, buffer=disk / "buffer.db") as rig:
        await rig.start_agent(await start_devices(rig), commit="200ms", batch="500ms", heard=True, store=GREEDY)
        ballast = await asyncio.to_thread(fill, disk)
        full = await rig.until(lambda: error_of(rig), "the agent says that the disk is full")
        assert "full" in full or "No space" in full
        before = await asyncio.to_thread(rig.status)
        after = await rig.until(lambda: further(rig, before["buffer"]["samples"] + 500), "sampling goes on")
        assert after["buffer"]["committed"] == before["buffer"]["committed"]
        assert all(bus["up"] for bus in after["buses"])
        assert all(device["state"] == "online" for bus in after["buses"] for device in bus["devices"])
        assert after["stuck"] == []
        shown = await rig.children.start("shown", [*LAMPPOST, "status", "--run-dir", str(rig.run_dir)])
        assert b"DISK: " in (await shown.communicate())[0]
        await asyncio.to_thread(ballast.unlink)
        await rig.until(lambda: not error_of(rig), "the disk takes samples again")
        await balance(rig)
        assert await asyncio.to_thread(logged, rig, "agent", "samples wait in memory") == 1
        assert await asyncio.to_thread(logged, rig, "agent", "the disk takes samples again") == 1
        assert await asyncio.to_thread(logged, rig, "agent", "Traceback") == 0


LAMPPOST = [sys.executable, "-m", "gateway"]


def error_of(rig: Rig) -> str:
    """What the agent says of its disk."""
    return str(rig.status()["buffer"]["error"])


def further(rig: Rig, samples: int) -> dict[str, Any]:
    """The status once there are so many samples; nothing before."""
    status = rig.status()
    return status if status["buffer"]["samples"] >= samples else {}


async def test_an_agent_that_is_stopped_while_the_disk_is_full_stops_in_time_and_owns_up(
    tmp_path: Path, tmpfs: Callable[[int], Path]
) -> None:
    disk = tmpfs(3 * MB)
    async with Rig(tmp_path, buffer=disk / "buffer.db") as rig:
        await rig.start_agent(await start_devices(rig), commit="200ms", batch="500ms", heard=True, store=GREEDY)
        ballast = await asyncio.to_thread(fill, disk)
        await rig.until(lambda: error_of(rig), "the agent says that the disk is full")
        began = time.monotonic()
        assert await rig.stop_agent() == 0
        assert time.monotonic() - began < 5
        assert await asyncio.to_thread(logged, rig, "agent", "the last samples are not committed") == 1
        await asyncio.to_thread(ballast.unlink)
        await rig.start_agent(heard=True)
        await rig.children.stop("devices")
        await rig.settle()
        gaps = await rig.until(lambda: rig.query("SELECT reason, state FROM gaps"), "the gap is in the ledger")
        assert [state for reason, state in gaps if "unclean" in reason] == ["ledgered"]


@pytest.mark.slow
async def test_the_collector_acknowledges_nothing_while_its_disk_is_full_and_stores_everything_afterwards(
    tmp_path: Path, tmpfs: Callable[[int], Path]
) -> None:
    disk = tmpfs(3 * MB)
    async with Rig(tmp_path, database=disk / "collector.db") as rig:
        await rig.start_agent(await start_devices(rig), commit="200ms", batch="300ms", heard=True)
        await rig.until_rows(lambda rows: len(rows) > 100, "samples arrive")
        ballast = await asyncio.to_thread(fill, disk)
        await rig.until(lambda: logged(rig, "collector", "nothing can be stored"), "the collector says that it is full")
        before = await asyncio.to_thread(rig.status)
        stored = await asyncio.to_thread(rig.query, "SELECT count(*) FROM batches")
        await rig.until(
            lambda: rig.status()["buffer"]["held"]["batches"] >= before["buffer"]["held"]["batches"] + 8,
            "batches wait for an acknowledgement",
        )
        after = await asyncio.to_thread(rig.status)
        assert after["uplink"]["acknowledged"] <= stored[0][0]
        assert await asyncio.to_thread(rig.query, "SELECT count(*) FROM batches") == stored
        assert rig.children.running("collector")
        await asyncio.to_thread(ballast.unlink)
        await rig.until(lambda: logged(rig, "collector", "storing goes on"), "the collector goes on")
        await balance(rig)
        assert await asyncio.to_thread(logged, rig, "collector", "nothing can be stored") == 1
