"""Brokers that go away, are not there, cannot be found or say nothing: sampling goes on and nothing is lost."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.gateway.conftest import run_dir as _run_dir
from tests.gateway.process import STOP_S, Lone
from tests.mosquitto import free_port

run_dir = _run_dir


@asynccontextmanager
async def nobody() -> AsyncIterator[int]:
    """A port where nobody listens."""
    yield free_port()


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """A port where connections are accepted, and nothing is said."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(1024):
                pass
        finally:
            writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def backlog() -> AsyncIterator[int]:
    """A port whose connections nobody accepts: the kernel's queue is full, and it drops what asks to connect."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("place", "url"),
    [
        (nobody, "mqtt://127.0.0.1:{port}"),
        (nobody, "mqtt://no-such-broker.invalid:{port}"),
        (black_hole, "mqtt://127.0.0.1:{port}"),
        (black_hole, "mqtts://127.0.0.1:{port}"),
        (backlog, "mqtt://127.0.0.1:{port}"),
    ],
    ids=["down", "no-such-name", "black-hole", "black-hole-tls", "never-accepts"],
)
async def test_without_a_broker_it_starts_samples_and_stops_in_time_with_everything_committed(
    tmp_path: Path, run_dir: Path, place: Callable[[], AbstractAsyncContextManager[int]], url: str
) -> None:
    async with place() as port, Lone(tmp_path, run_dir) as lone:
        await lone.start(f'brokers = ["{url.format(port=port)}"]')
        status = await lone.until(lambda s: s["buffer"]["held"]["batches"] >= 4 and s["buffer"]["samples"] > 100)
        assert not status["uplink"]["up"]
        assert status["stuck"] == []
        code, seconds, when = await lone.stop()
        assert code == 0, await asyncio.to_thread(lone.log)
        assert seconds < STOP_S
        assert await asyncio.to_thread(lone.uncommitted, when) == []
        assert await asyncio.to_thread(lone.unsealed) == 0


async def test_without_an_uplink_everything_stays_in_the_buffer(tmp_path: Path, run_dir: Path) -> None:
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start("")
        status = await lone.until(lambda s: s["buffer"]["committed"] > 300)
        assert status["uplink"] is None
        code, seconds, when = await lone.stop()
        assert code == 0
        assert seconds < STOP_S
        assert await asyncio.to_thread(lone.uncommitted, when) == []
