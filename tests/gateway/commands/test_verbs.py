"""`lamppost write`, `commands`, `lock` and `unlock` against an agent that lives, without platform and keyring."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from drivers.base import Read
from ext import Value
from gateway.cli import commands, lock, schedule, status, unlock, write
from gateway.control.client import Client
from gateway.control.sockets import control_socket
from gateway.errors import NotRunning, RequestRefused
from tests.gateway.support import Asked, bus, device, make_agent, until

TEXT = bus() + device(
    "lamp",
    "level writable = { min = 0, max = 100, step = 5, max_rate = '2/1h' }",
    "plain",
    "mode writable = { allowed = ['auto', 'off'] }",
    every="50ms",
)  # fmt: skip


class Dimmer(Asked):
    """Keeps what is written to it."""

    level = 10

    async def zeros(self, read: Read) -> bytes:
        assert read.points
        return self.level.to_bytes(2, "big") + bytes(4)

    async def write(self, point: str, value: Value) -> None:
        assert point == "lamp/level"
        assert isinstance(value, int)
        self.level = value


@asynccontextmanager
async def running(folder: Path, run_dir: Path) -> AsyncIterator[Dimmer]:
    """An agent in this process that has heard its device."""
    agent, (driver,) = await asyncio.to_thread(make_agent, folder, run_dir, TEXT, Dimmer)
    task = asyncio.ensure_future(agent.run())
    try:
        await until(lambda: task.done() or len(agent.sockets) == 2)
        await until(lambda: task.done() or all(server._server is not None for server in agent.sockets))
        await until(lambda: task.done() or agent.recorder.samples > 5)
        yield driver
    finally:
        agent.stopping.set()
        await asyncio.wait_for(task, 20)


async def cli(verb: Any, run_dir: Path, *words: str, given: str = "") -> Result:
    """What the command line does."""
    return await asyncio.to_thread(
        lambda: CliRunner().invoke(verb.command, [*words, "--run-dir", str(run_dir)], input=given)
    )


async def test_a_write_asks_first_and_obeys_the_rules(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir) as dimmer:
        done = await cli(write, run_dir, "lamp/level", "40", given="n\n")
        assert (done.exit_code, dimmer.level) == (1, 10)
        assert "lamp/level: now 10" in done.stderr
        done = await cli(write, run_dir, "lamp/level", "40", given="y\n")
        assert (done.exit_code, dimmer.level) == (0, 40)
        assert done.stdout.startswith("verified\n  lamp/level = 40: verified in ")
        done = await cli(write, run_dir, "lamp/level", "45", "--dry-run", "--json")
        assert (json.loads(done.stdout)["writes"][0]["read_back"], dimmer.level) == (40, 40)
        for value, why in (("42", "no multiple of 5"), ("-5", "below 0"), ("true", "no multiple of 5")):
            done = await cli(write, run_dir, "lamp/level", value, "--yes")
            assert (done.exit_code, dimmer.level) == (1, 40), done.output
            assert f"refused\n  limits: lamp/level: {'1' if value == 'true' else value} is" in done.stdout
            assert why in done.stdout
        done = await cli(write, run_dir, "lamp/plain", "1", "--yes")
        assert "not-writable: lamp/plain is not writable" in done.stdout
        assert (await cli(write, run_dir, "lamp/level", "50", "--yes", "--why", "a test")).exit_code == 0
        done = await cli(write, run_dir, "lamp/level", "55", "--yes")
        assert "rate: lamp/level: written 2 times" in done.stdout
        assert dimmer.level == 50
        done = await cli(commands, run_dir, "--json")
        listed = json.loads(done.stdout)
        assert [one["status"] for one in listed] == ["refused", "verified", *["refused"] * 4, "verified", "verified"]
        assert [one["dry_run"] for one in listed][-2:] == [True, False]
        assert {one["source"] for one in listed} == {"local"}
        assert listed[1]["why"] == "a test"
        assert (await cli(commands, run_dir)).exit_code == 0


async def test_values_with_names_are_written_by_them(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir):
        done = await cli(write, run_dir, "lamp/mode", "auto", "--dry-run", "--json")
        assert (done.exit_code, json.loads(done.stdout)["writes"][0]["value"]) == (0, "auto")
        done = await cli(write, run_dir, "lamp/mode", "dim", "--yes")
        assert "one of auto, off" in str(done.exception)


async def test_without_a_platform_there_is_no_schedule(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir):
        assert "no schedule has come yet" in (await cli(schedule, run_dir)).stdout
        assert json.loads((await cli(schedule, run_dir, "--json")).stdout)["edition"] is None


async def test_a_lock_is_seen_and_ended(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir) as dimmer:
        done = await cli(lock, run_dir, "lamp", "--reason", "new driver", "--for", "2h")
        assert (done.exit_code, "lamp is locked" in done.stdout) == (0, True)
        done = await cli(write, run_dir, "lamp/level", "40", "--yes")
        assert (done.exit_code, dimmer.level) == (1, 10)
        assert "new driver" in done.stdout
        assert "LOCKED  lamp by" in (await cli(status, run_dir)).stdout
        assert "lamp is unlocked" in (await cli(unlock, run_dir, "lamp")).stdout
        assert "was not locked" in (await cli(unlock, run_dir, "lamp")).stdout
        assert dimmer.level == 10  # its end replays nothing
        assert (await cli(lock, run_dir, "lamp", "--reason", "r", "--for", "soon")).exit_code == 2
        assert isinstance((await cli(lock, run_dir, "nobody", "--reason", "r")).exception, RequestRefused)


NONSENSE: list[tuple[str, dict[str, object]]] = [
    ("write", {}),
    ("write", {"point": 5, "value": "1"}),
    ("write", {"point": "lamp/level", "value": 1}),
    ("write", {"point": "lamp/level", "value": "1e5"}),
    ("write", {"point": "lamp/level", "value": "NaN"}),
    ("write", {"point": "lamp/level", "value": "1" * 19}),
    ("write", {"point": "lamp/level", "value": "1", "dry_run": 1}),
    ("write", {"point": "lamp/level", "value": "auto"}),
    ("write", {"point": "lamp/mode", "value": "on"}),
    ("write", {"point": "lamp/mode", "value": "1"}),
    ("lock", {"device": "lamp"}),
    ("lock", {"device": "lamp", "reason": "r", "for_ms": True}),
    ("lock", {"device": "lamp", "reason": "r", "for_ms": -1}),
    ("unlock", {"device": None}),
]


async def test_what_is_no_request_is_refused(tmp_path: Path, run_dir: Path) -> None:
    def ask() -> None:
        for verb, args in NONSENSE:
            told = r"^(point|value|dry_run|device|reason|for_ms): "
            with Client(control_socket(run_dir)) as client, pytest.raises(RequestRefused, match=told):
                client.call(verb, **args)

    async with running(tmp_path, run_dir) as dimmer:
        await asyncio.to_thread(ask)
        assert dimmer.level == 10


async def test_without_an_agent_nothing_is_written(run_dir: Path) -> None:
    assert isinstance((await cli(write, run_dir, "lamp/level", "40", "--yes")).exception, NotRunning)
