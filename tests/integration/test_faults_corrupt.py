"""A store that is damaged, found at a start or while the agent runs: all that can be proved is delivered once."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from buffer.database import PAGE_BYTES as PAGE
from gateway.control.client import Client
from gateway.control.sockets import status_socket
from tests.integration.harness import Rig
from tests.integration.test_faults_disk import logged, start_devices

COUNT = """
SELECT count(*), count(DISTINCT ts_ms || ' ' || series) FROM samples JOIN series ON id = series WHERE stream = :s
"""


def header_gone(buffer: Path) -> None:
    """No SQLite file any more: found at the start."""
    with buffer.open("r+b") as file:
        file.write(bytes(PAGE // 2))


def index_gone(buffer: Path) -> None:
    """The index of what is held holds nonsense: found when somebody asks for it."""
    with closing(sqlite3.connect(buffer)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'held'").fetchone()
    with buffer.open("r+b") as file:
        file.seek((root - 1) * PAGE)
        file.write(bytes(PAGE))


def kept(buffer: Path) -> tuple[str, int]:
    """The stream, and how many samples are in the file, all of them sealed."""
    with closing(sqlite3.connect(buffer)) as db:
        (stream,) = db.execute("SELECT stream FROM state").fetchone()
        return stream.hex(), int(db.execute("SELECT sum(samples) FROM batches").fetchone()[0])


@pytest.mark.slow
@pytest.mark.parametrize("damage", [header_gone, index_gone])
async def test_what_a_damaged_store_held_is_delivered_once(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    async with Rig(tmp_path) as rig:
        await rig.start_agent(await start_devices(rig), commit="100ms", batch="300ms", heard=True)
        await rig.until_rows(lambda rows: len(rows) > 50, "samples arrive")
        await rig.link.cut()
        await rig.until(lambda: rig.status()["buffer"]["held"]["batches"] >= 5, "batches wait")
        assert await rig.stop_agent() == 0
        stream, samples = await asyncio.to_thread(kept, rig.buffer)
        await asyncio.to_thread(damage, rig.buffer)
        await started(rig)
        waiting = await rig.until(lambda: [row for row in queue(rig) if row["salvaged"]], "the queue shows them")
        assert all(row["number"] < 0 < row["bytes"] for row in waiting)
        await rig.link.start()
        state = await rig.until(lambda: salvaged(rig), "everything that was salvaged is delivered")
        assert state["stream"] == stream
        assert state["lost"] == 0
        assert await asyncio.to_thread(lambda: rig.query(COUNT, s=stream)) == [(samples, samples)]
        gaps = await rig.until(lambda: rig.query("SELECT reason FROM gaps WHERE reason LIKE '%damaged%'"), "the ledger")
        assert f"stream {stream} was damaged and set aside as {state['file']}" in [reason for (reason,) in gaps]
        assert await asyncio.to_thread(logged, rig, "agent", "set aside as") == 1
        assert await asyncio.to_thread(logged, rig, "agent", "salvaged from") == 1
        await rig.until(lambda: rig.status()["buffer"]["committed"] > 100, "sampling goes on")


def queue(rig: Rig) -> list[dict[str, Any]]:
    """What the agent says waits. Blocks."""
    with Client(status_socket(rig.run_dir)) as client:
        rows: list[dict[str, Any]] = client.call("queue")
        return rows


async def started(rig: Rig) -> None:
    """Start the agent as systemd does: again, when it ended."""
    try:
        await rig.start_agent()
    except AssertionError:
        await rig.start_agent()
    await rig.until(lambda: rig.children.running("agent"), "the agent runs")


def salvaged(rig: Rig) -> dict[str, Any]:
    """How it stands once all of it is delivered; nothing before."""
    found = rig.status()["buffer"]["salvage"]
    return found[0] if found and found[0]["done"] and not found[0]["waiting"] else {}
