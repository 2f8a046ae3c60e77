"""What systemd is told: ready, alive while every part makes progress, stopping."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.base import Read
from drivers.errors import NoAnswer
from gateway import agent as module
from gateway.reporting.notify import notify, watchdog_interval
from tests.gateway.support import Asked, bus, device, make_agent, until

TEXT = bus("x") + bus("y") + device("d", "p", bus="x", every="50ms") + device("e", "p", bus="y", every="50ms")


@pytest.fixture
def systemd(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that $NOTIFY_SOCKET names."""
    path = run_dir / "notify"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as channel:
        channel.bind(str(path))
        channel.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield channel


def heard(channel: socket.socket) -> list[bytes]:
    """What has come."""
    found = []
    while True:
        try:
            found.append(channel.recv(1000))
        except BlockingIOError:
            return found


async def test_ready_alive_and_stopping_are_told(
    tmp_path: Path, run_dir: Path, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    agent, _ = await asyncio.to_thread(make_agent, tmp_path, run_dir, TEXT, Asked)
    task = asyncio.ensure_future(agent.run())
    told: list[bytes] = []

    def alive(times: int) -> bool:
        told.extend(heard(systemd))
        return told.count(b"WATCHDOG=1") >= times

    await until(lambda: alive(3))
    agent.stopping.set()
    await asyncio.wait_for(task, 20)
    told += heard(systemd)
    assert set(told) == {b"READY=1", b"WATCHDOG=1", b"STOPPING=1"}
    assert told.count(b"READY=1") == told.count(b"STOPPING=1") == 1
    assert told[-1] == b"STOPPING=1"


async def test_a_bus_that_is_stuck_starves_the_watchdog(
    tmp_path: Path, run_dir: Path, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    agent, (hung, _) = await asyncio.to_thread(make_agent, tmp_path, run_dir, TEXT, Asked)
    monkeypatch.setattr(module, "STUCK_MS", 1_500)  # an idle task reports once a second

    async def answer(_: Read) -> bytes:
        await asyncio.Event().wait()
        return b""

    task = asyncio.ensure_future(agent.run())
    await until(lambda: b"WATCHDOG=1" in heard(systemd))
    hung.answer = answer
    await until(lambda: agent.stuck() == ["bus x"])
    await until(lambda: any("bus x" in record.getMessage() for record in caplog.records))
    heard(systemd)
    rounds = sum("no progress" in record.getMessage() for record in caplog.records)
    await until(lambda: sum("no progress" in record.getMessage() for record in caplog.records) >= rounds + 3)
    assert b"WATCHDOG=1" not in heard(systemd)
    agent.stopping.set()
    await asyncio.wait_for(task, 20)


async def test_a_store_that_is_stuck_starves_the_watchdog_and_a_dead_device_does_not(
    tmp_path: Path, run_dir: Path, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    agent, (dead, _) = await asyncio.to_thread(make_agent, tmp_path, run_dir, TEXT, Asked)
    monkeypatch.setattr(module, "STUCK_MS", 1_500)
    monkeypatch.setattr(module, "DISK_STUCK_MS", 1_500)

    async def silence(_: Read) -> bytes:
        raise NoAnswer("no answer within 10 ms")

    dead.answer = silence
    task = asyncio.ensure_future(agent.run())
    begun = asyncio.get_running_loop().time()
    fed: list[float] = []

    def fed_for(seconds: float) -> bool:
        fed.extend(asyncio.get_running_loop().time() for told in heard(systemd) if told == b"WATCHDOG=1")
        return bool(fed) and fed[-1] - begun > seconds

    await until(lambda: fed_for(3.0))
    assert max(b - a for a, b in pairwise(fed)) < 1.5  # it never starved
    free = threading.Event()
    asleep = asyncio.ensure_future(agent.store.call(lambda _: free.wait()))
    await until(lambda: agent.stuck() == ["buffer"])
    free.set()
    await asleep
    await until(lambda: agent.stuck() == [])
    agent.stopping.set()
    await asyncio.wait_for(task, 20)


def test_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    assert notify("READY=1") is False
    assert watchdog_interval() is None


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all", "@lamppost-nobody"])
def test_an_address_that_is_none_is_no_harm(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify("READY=1") is False


def test_an_abstract_address(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"lamppost-test-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as channel:
        channel.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify("READY=1")
        assert channel.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [("30000000", None, 15.0), ("30000000", "ours", 15.0), ("30000000", "1", None), ("-5", None, None),
     ("soon", None, None), ("", None, None)],
)  # fmt: skip
def test_the_watchdog_is_fed_at_half_its_time(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str | None, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    if pid is None:
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
    else:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)
    assert watchdog_interval() == seconds
