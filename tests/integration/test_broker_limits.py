"""A broker that takes no large messages: what is too large is split or set aside, and nothing waits behind it."""

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from buffer.block import Block
from buffer.catalogue import SeriesDefinition
from buffer.header import Clock, ClockState, Priority
from buffer.keys import SigningKey
from buffer.store import Store
from ext import Packer, Series, Value
from tests.integration.harness import GATEWAY, Rig
from tests.integration.test_faults_disk import start_devices

LIMIT = 8192
"""`max_packet_size` of mosquitto.conf(5): told to MQTT 5 clients; one of 3.1.1 is disconnected without a word."""
CLOCK = Clock(bytes(range(16)), 1_790_000_000_000, ClockState.SYNCHRONIZED)
POINTS = [SeriesDefinition("store", name, "V", "any") for name in ("noise", "text", "small")]
LARGE, LARGER = 1500, 2500  # doubles of 8 random bytes: over the limit, and so the pieces that are half of it
BEHIND = 40
Values = dict[tuple[str, int], Value]


def fill(rig: Rig) -> Values:
    """Before the agent's first start: two batches to split, one that cannot be, and small ones around them."""
    rng = random.Random(8)
    store = Store.open(
        rig.buffer, GATEWAY, SigningKey.load(rig.folder / "batch.key"), CLOCK.boot, size_limit=8_000_000,
        now_ms=lambda: 0,
    )  # fmt: skip
    numbers = store.assign(POINTS)
    batches: list[list[tuple[int, Value]]] = [[(0, rng.random()) for _ in range(count)] for count in (LARGER, LARGE)]
    batches.append([(1, rng.randbytes(20_000))])
    batches[1:1] = [[(2, rng.random())] for _ in range(BEHIND)]
    batches += [[(2, rng.random())] for _ in range(BEHIND)]
    at, made = 0, Values()
    for samples in batches:
        packer, first = Packer(), at + 1
        for which, value in samples:
            at += 1
            packer.append(Series(numbers[which]), at, value)
            made[f"store/{POINTS[which].point}", at] = value
        store.commit([Block(Priority.NORMAL, CLOCK, len(samples), first, at, packer.commit(), fresh=True)], seal=True)
    store.close()
    return made


def stored(rig: Rig) -> Values:
    """What the collector keeps of it; fails for a sample that it has twice."""
    found = Values()
    for sample in rig.samples():
        if sample.point.startswith("store/"):
            assert (sample.point, sample.boot_ms) not in found, "delivered twice"
            found[sample.point, sample.boot_ms] = sample.value
    return found


def queue(rig: Rig) -> list[dict[str, Any]]:
    """What `lamppost queue` shows as set aside."""
    words = ["-m", "gateway", "queue", "--run-dir", str(rig.run_dir), "--json"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    return [row for row in json.loads(done.stdout) if row["refused"]]


def delivered(rig: Rig) -> bool:
    """Whether all is but what is set aside."""
    rig.flush()
    held = rig.status()["buffer"]["held"]
    return bool(held["batches"] == held["refused"] == 1)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_what_is_too_large_for_the_broker_is_split_or_set_aside(tmp_path: Path, version: str) -> None:
    async with Rig(tmp_path, broker=[f"max_packet_size {LIMIT}"]) as rig:
        committed = await asyncio.to_thread(fill, rig)
        await rig.start_agent(await start_devices(rig), uplink=f'version = "{version}"')
        wanted = {key: value for key, value in committed.items() if key[0] != "store/text"}
        await rig.until(lambda: len(stored(rig)) >= len(wanted), "all that can be split is there", 40)
        await rig.until(lambda: queue(rig), "what cannot be is set aside", 40)
        assert await asyncio.to_thread(stored, rig) == wanted
        (aside,) = await asyncio.to_thread(queue, rig)
        assert (aside["samples"], aside["kind"]) == (1, "batch")
        assert "too large" in aside["refused"]
        before = len(await asyncio.to_thread(rig.rows))
        await rig.until(lambda: len(rig.rows()) > before, "what comes later arrives")
        assert await rig.children.stop("devices") is not None
        await rig.until(lambda: delivered(rig), "nothing else waits")
        assert await rig.stop_agent() == 0
        account = await asyncio.to_thread(rig.query, "SELECT count(*) FROM gaps WHERE samples > 0")
        assert account == [(0,)], "nothing is lost"
        (largest,) = await asyncio.to_thread(rig.query, "SELECT max(length(bytes)) FROM batches")
        assert largest[0] < LIMIT
