"""The agent on a disk that fills up, breaks, turns read-only or stalls: it samples on, says so, and loses nothing."""

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.process import Lone

MB = 10**6
LATE_MS = 1_000
"""Between two answers of devices that are asked every 200 ms, on a busy machine and under strace."""
FAULTS = {
    "EIO": "fdatasync,fsync:error=EIO",
    "read-only": "pwrite64:error=EROFS",
    "no space": "pwrite64:error=ENOSPC",
}


@asynccontextmanager
async def injected(lone: Lone, what: str, strace: str) -> AsyncIterator[None]:
    """The agent's system calls on files fail as `what` says, for as long as this lasts (strace(1), --inject)."""
    command = [strace, "-f", "-q", "-o", "/dev/null", "-e", f"trace={what.partition(':')[0]}", "-e", f"inject={what}"]
    tracer = await asyncio.create_subprocess_exec(
        *command, "-p", str(lone.children.pid("agent")), stderr=asyncio.subprocess.PIPE
    )
    try:
        await asyncio.sleep(0.3)
        if tracer.returncode is not None:
            assert tracer.stderr is not None
            pytest.skip(f"strace may not trace here: {(await tracer.stderr.read()).decode()}")
        yield
    finally:
        if tracer.returncode is None:
            tracer.send_signal(signal.SIGINT)  # it lets go, and ends
        await tracer.wait()


def longest_silence(lone: Lone, since_ms: int, until_ms: int) -> int:
    """The longest time in which no device was asked, in ms. Blocks."""
    times: list[int] = [json.loads(line)["utc_ms"] for line in lone.device_log.read_text().splitlines()]
    during = [since_ms, *sorted(t for t in times if since_ms <= t <= until_ms), until_ms]
    return max(later - earlier for earlier, later in itertools.pairwise(during))


def now_ms() -> int:
    return time.time_ns() // MB


async def well_again(lone: Lone, began_ms: int) -> dict[str, Any]:
    """It takes samples again, asked all devices meanwhile, and told of the spell at its begin and its end."""
    ended_ms = now_ms()
    status = await lone.until(lambda status: status["buffer"]["disk"]["state"] == "ok")
    assert await asyncio.to_thread(longest_silence, lone, began_ms, ended_ms) < LATE_MS
    code, _, stopped = await lone.stop()
    assert code == 0
    assert await asyncio.to_thread(lone.uncommitted, stopped) == []
    lines = [line for line in (await asyncio.to_thread(lone.log)).splitlines() if " gateway.keeping.disk: " in line]
    assert [line.partition(" ")[0] for line in lines] == ["ERROR", "WARNING"], lines
    return status


def refuses(status: dict[str, Any]) -> bool:
    buffer = status["buffer"]
    return buffer["disk"]["state"] == "refuses" and bool(buffer["error"]) and buffer["memory"]["samples"] > 100


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_disk_that_refuses_costs_nothing(
    tmp_path: Path, run_dir: Path, program: Callable[[str, str], str], fault: str
) -> None:
    strace = program("strace", "strace")
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start("")
        began_ms = now_ms()
        async with injected(lone, FAULTS[fault], strace):
            status = await lone.until(refuses)
            assert status["buffer"]["memory"]["given_up"] == 0
            assert status["stuck"] == []
        await well_again(lone, began_ms)


async def test_a_card_that_stalls_costs_nothing_and_is_said(
    tmp_path: Path, run_dir: Path, program: Callable[[str, str], str]
) -> None:
    """Each flush takes six seconds; the status does not wait for it."""
    strace = program("strace", "strace")
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start("")
        began_ms = now_ms()
        async with injected(lone, "fdatasync,fsync:delay_enter=6000000", strace):
            status = await lone.until(lambda status: status["buffer"]["disk"]["state"] == "stalls")
            assert "the disk has not answered for" in status["buffer"]["error"]
            assert status["stuck"] == []
            assert status["buffer"]["bytes"] > 0
        ended = await well_again(lone, began_ms)
        assert ended["buffer"]["memory"]["given_up"] == 0


async def test_a_disk_that_is_full_costs_nothing(tmp_path: Path, run_dir: Path, tmpfs: Callable[[int], Path]) -> None:
    disk = tmpfs(3 * MB)
    async with Lone(tmp_path, run_dir, disk=disk) as lone:
        await lone.start("")
        began_ms = now_ms()
        await asyncio.to_thread(fill, disk / "ballast")
        await lone.until(refuses, 60)
        (disk / "ballast").unlink()
        await well_again(lone, began_ms)


def fill(path: Path) -> None:
    """Take all that is free. Blocks."""
    with path.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(4096))
        except OSError:
            pass


async def test_the_low_disk_guard_is_said(tmp_path: Path, run_dir: Path, tmpfs: Callable[[int], Path]) -> None:
    """A tenth of a small file system is kept free, not all that is asked for."""
    disk = tmpfs(60 * MB)
    await asyncio.to_thread((disk / "ballast").write_bytes, bytes(56 * MB))
    async with Lone(tmp_path, run_dir, disk=disk, keep_free="20MB") as lone:
        await lone.start("")
        status = await lone.until(lambda status: status["buffer"]["disk"]["low"])
        found = status["buffer"]["disk"]
        assert 5 * MB < found["keep_free"] < 7 * MB
        assert 0 < found["free"] < found["size"] < 70 * MB
        await lone.stop()
        assert (await asyncio.to_thread(lone.log)).count("6 are kept free: the buffer does not grow") == 1
