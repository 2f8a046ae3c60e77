"""A card that is put into another board, the real agent and collector: two streams, nothing lost and nothing twice."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import GATEWAY, RUNNING, Rig
from tests.integration.test_faults_corrupt import kept
from tests.integration.test_faults_disk import UNTOLD, all_offline, logged, start_devices
from tests.integration.test_restore import collector

ON_BOARD = """
import sys
from pathlib import Path
from gateway.identity import board
board.ROOT = Path(sys.argv[1])
sys.argv[1:] = sys.argv[5:]
from gateway.cli import main
main()
"""
"""`python -c ON_BOARD ROOT python -m gateway VERB...`: the agent as it is, with another /sys."""


STORED = "SELECT stream, count(*) FROM samples JOIN series ON id = series GROUP BY stream"


def on_board(rig: Rig, serial: str) -> None:
    """From now on the agent starts on the board of that number. Blocks."""
    root = rig.folder / serial
    file = root / "sys/firmware/devicetree/base/serial-number"
    if not file.exists():
        file.parent.mkdir(parents=True)
        file.write_bytes(f"{serial}\0".encode())
    rig.before = (sys.executable, "-c", ON_BOARD, str(root))


def delivered(rig: Rig) -> dict[str, Any]:
    """What the agent says of the file set aside, once all of it is delivered. Blocks."""
    (one,) = rig.status()["buffer"]["salvage"]
    found: dict[str, Any] = one
    return found if found["done"] and not found["waiting"] else {}


def by_batch(rig: Rig, file: Path) -> list[tuple[int, int, int]]:
    """(number, samples in the file, samples at the platform) where these differ. Blocks."""
    with closing(sqlite3.connect(file)) as db:
        kept = dict(db.execute("SELECT number, samples FROM batches"))
        (stream,) = db.execute("SELECT stream FROM state").fetchone()
    there = dict(
        rig.query(
            "SELECT batch, count(*) FROM samples JOIN series ON id = series WHERE stream = :stream GROUP BY batch",
            stream=stream.hex(),
        )
    )
    return [(number, kept[number], there.get(number, 0)) for number in kept if kept[number] != there.get(number, 0)]


@pytest.mark.slow
async def test_what_was_sampled_on_both_boards_arrives_once(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig:
        await asyncio.to_thread(on_board, rig, "10000000a1b2c3d4")
        devices = await start_devices(rig)
        await rig.start_agent(devices, commit="100ms", batch="300ms", heard=True)
        await rig.until_rows(lambda rows: len(rows) > 50, "samples arrive")
        await rig.link.cut()
        await rig.until(lambda: rig.status()["buffer"]["held"]["batches"] >= 5, "batches wait")
        before = (await asyncio.to_thread(rig.status))["buffer"]["stream"]
        assert await rig.stop_agent() == 0
        await rig.start_agent(heard=True)
        assert (await asyncio.to_thread(rig.status))["buffer"]["stream"] == before, "the same board goes on"
        assert await rig.stop_agent() == 0

        await asyncio.to_thread(on_board, rig, "1000000055667788")
        await rig.start_agent(heard=True)
        now = (await asyncio.to_thread(rig.status))["buffer"]
        assert now["stream"] != before
        assert [(one["stream"], one["moved"]) for one in now["salvage"]] == [(before, True)]
        await rig.link.start()
        state = await rig.until(lambda: delivered(rig), "what the other board had is delivered")
        assert (state["lost"], state["samples"] > 0) == (0, True)
        await rig.until(
            lambda: rig.query("SELECT 1 FROM gaps WHERE reason LIKE '%was on another board%'"), "it is told"
        )
        await rig.children.stop("devices")
        await rig.until(lambda: all_offline(rig), "no more is said")
        await rig.settle()
        assert await rig.stop_agent() == 0
        await rig.until(lambda: not rig.query(UNTOLD)[0][0], "the collector has made samples of all that it has")
        files = [await asyncio.to_thread(kept, file) for file in (tmp_path / state["file"], rig.buffer)]
        assert [stream for stream, _ in files] == [before, now["stream"]]
        stored = await asyncio.to_thread(rig.query, STORED)
        why = await asyncio.to_thread(by_batch, rig, tmp_path / state["file"])
        assert sorted(stored) == sorted(files), f"all that was committed on either board, and no more: {why}"
        taken = await asyncio.to_thread(rig.samples)
        told = len(await asyncio.to_thread(rig.rows, RUNNING))
        assert len(taken) == sum(samples for _, samples in files) - told, "nothing twice"
        code, reports = await collector(rig, "verify")
        assert (code, [report["state"] for report in reports]) == (0, ["proved", "proved"])
        streams = await asyncio.to_thread(rig.query, "SELECT gateway, stream FROM streams WHERE forked_at IS NULL")
        assert sorted(streams) == sorted([(GATEWAY, before), (GATEWAY, now["stream"])])
        assert await asyncio.to_thread(rig.query, "SELECT state FROM gaps WHERE first IS NOT NULL") == []
        assert await asyncio.to_thread(logged, rig, "agent", "was on another board before") == 1
