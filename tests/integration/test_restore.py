"""A platform whose database is gone, or is an older copy: the gateway's history fills it, nothing twice."""

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import GATEWAY, Rig, Row
from tests.integration.plant import Plant

CONFIG = """
[buses.b]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {port}
[devices.meter]
bus = "b"
address = 1
every = "50ms"
points.count = {{ table = "holding", register = 0, type = "uint16", unit = "1" }}
"""


def backup(database: Path, copy: Path) -> None:
    """A copy of the database as it is on the disk. Blocks."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def restore(database: Path, copy: Path) -> None:
    """Put the copy in the place of the database. Blocks."""
    for name in (database, Path(f"{database}-wal"), Path(f"{database}-shm")):
        name.unlink(missing_ok=True)
    copy.rename(database)


async def collector(rig: Rig, *words: object) -> tuple[int, Any]:
    """Exit code and JSON of a verb of the collector."""
    arguments = ["-m", "collector", *map(str, words), "--database", str(rig.database), "--json"]
    child = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate()
    return child.returncode or 0, [json.loads(line) for line in out.splitlines()]


async def connected(rig: Rig, times: int) -> None:
    """Wait until the collector is subscribed: what is sent while nobody listens is sent again after 15 s only."""
    log = rig.folder / "collector.log"
    await rig.until(lambda: log.read_text().count("connected by") >= times, "the collector is connected")


async def batches(rig: Rig, more: int) -> None:
    """Wait until so many more batches are stored."""
    (start,) = rig.query("SELECT max(number) FROM batches")[0] or (0,)

    def enough() -> bool:
        rig.flush()
        return (rig.query("SELECT max(number) FROM batches")[0][0] or 0) >= (start or 0) + more

    await rig.until(enough, f"{more} batches more")


def identities(rows: list[Row]) -> list[tuple[str, int, float | None]]:
    return [(row.point, row.utc_ms, row.value) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True], ids=["an older copy", "nothing left"])
async def test_a_restored_platform_gets_back_what_it_lacks(tmp_path: Path, lost: bool) -> None:
    async with Plant() as plant, Rig(tmp_path) as rig:

        async def count(_function: int, unit: int, address: int) -> None:  # no two answers are the same
            plant.values[unit, address] = plant.values.get((unit, address), 0) + 1

        plant.before = count
        copy = tmp_path / "copy.db"
        if lost:
            await asyncio.to_thread(backup, rig.database, copy)
        await connected(rig, 1)
        await rig.start_agent(CONFIG.format(port=plant.port), batch="10s", commit="100ms")
        await batches(rig, 4)
        if not lost:
            await asyncio.to_thread(backup, rig.database, copy)
        await batches(rig, 8)
        await rig.link.cut()
        await rig.children.stop("collector")
        before = await asyncio.to_thread(rig.rows)

        await asyncio.to_thread(restore, rig.database, copy)
        await rig.start_collector()
        await connected(rig, 2)
        await rig.link.start()
        await batches(rig, 2)
        gaps = await asyncio.to_thread(rig.query, "SELECT first, last FROM gaps WHERE state = 'pending'")
        assert gaps, "what was delivered to the database of before is missing"
        code, (report,) = await collector(rig, "verify")
        assert (code, report["state"]) == (75, "incomplete")

        words = ("resend", GATEWAY, "--key", tmp_path / "platform.key", "--broker", rig.broker.url, "--wait", "20s")
        code, (asked,) = await collector(rig, *words, "--yes")
        assert (code, asked["missing"]) == (0, 0), await asyncio.to_thread(rig.logs)
        code, (report,) = await collector(rig, "verify")
        assert (code, report["faults"]) == (0, [])
        now = identities(await asyncio.to_thread(rig.rows))
        assert len(set(now)) == len(now), "nothing twice"
        assert set(identities(before)) <= set(now), "nothing lost"
