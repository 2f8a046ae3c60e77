"""An exchanged meter: noted once, in the chain and on the disk, over a power cut too; and taken back."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from buffer.catalogue import decode as read_catalogue
from buffer.cose import Kind
from gateway.agent import Agent
from gateway.cli.device import command
from gateway.control import replaced
from gateway.control.replaced import Replacement
from gateway.errors import FileDamaged
from gateway.files import save
from tests.gateway.support import Asked, bus, decoded, device, make_agent, samples, until

TEXT = bus() + device("meter", "energy unit = 'kWh'\ncounter = {}", "power") + device("plain", "a", "b")
REPLACE = ("replace", "meter", "--final", "48211.7", "--start", "0.3")


@asynccontextmanager
async def running(folder: Path, run_dir: Path) -> AsyncIterator[Agent]:
    """An agent that lives in this process."""
    agent, _ = await asyncio.to_thread(make_agent, folder, run_dir, TEXT, Asked)
    task = asyncio.ensure_future(agent.run())
    try:
        await until(lambda: task.done() or len(agent.sockets) == 2)
        await until(lambda: task.done() or all(server._server is not None for server in agent.sockets))
        yield agent
    finally:
        agent.stopping.set()
        await asyncio.wait_for(task, 20)


async def cli(run_dir: Path, *words: str) -> Result:
    """`lamppost device` with these words."""
    return await asyncio.to_thread(lambda: CliRunner().invoke(command, [*words, "--run-dir", str(run_dir)]))


def told(folder: Path) -> list[dict[str, object]]:
    """The events in the chain."""
    batches = decoded(folder / "buffer.db")
    entries = [e for b in batches if b.header.kind is Kind.CATALOGUE for e in read_catalogue(b.blocks)]
    numbers = {entry.number for entry in entries if (entry.device, entry.point) == ("gateway", "replacement")}
    found = [s for b in batches if b.header.kind is Kind.BATCH for s in samples(b) if s[0] in numbers]
    return [json.loads(str(value)) for _, _, value, _ in found]


async def test_an_exchange_is_noted_shown_and_taken_back(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir):
        done = await cli(run_dir, *REPLACE, "--ago", "20m", "--why", "S/N 4711", "--json")
        assert done.exit_code == 0, done.output
        made = json.loads(done.stdout)
        assert (made["point"], made["offset"], made["told"]) == ("energy", "48211.4", True)
        (one,) = await asyncio.to_thread(told, tmp_path)
        assert (one["final"], one["start"], one["unit"], one["why"]) == ("48211.7", "0.3", "kWh", "S/N 4711")
        assert one["id"] == made["id"]
        assert isinstance(one["ago_ms"], int)
        assert 1_200_000 <= one["ago_ms"] < 1_230_000
    async with running(tmp_path, run_dir) as agent:
        assert [event.id for event in agent.replaced.all()] == [made["id"]]
        back = await cli(run_dir, "replace", "meter", "--withdraw")
        assert "withdrawn" in back.stdout
        again = await cli(run_dir, "replace", "meter", "--withdraw")
        assert "no replacement stands" in str(again.exception)
    assert [event["withdrawn"] for event in await asyncio.to_thread(told, tmp_path)] == [False, True]


async def test_what_is_wrong_is_told_and_notes_nothing(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir):
        for words, why in (
            (("replace", "nobody", "--final", "1", "--start", "0"), "no such device"),
            (("replace", "plain", "--final", "1", "--start", "0"), "say which, with --point: plain/a, plain/b"),
            (("replace", "plain", "--point", "c", "--final", "1", "--start", "0"), "has none of that name"),
            (("replace", "meter", "--final", "many", "--start", "0"), "final: a number such as"),
            (("replace", "meter", "--final", "1", "--start", "0", "--ago", "9999d"), "ago_ms"),
        ):
            assert why in str((await cli(run_dir, *words)).exception)
        for few in (("replace", "meter"), ("replace", "meter", "--final", "1"), (*REPLACE, "--withdraw")):
            assert (await cli(run_dir, *few)).exit_code == 2
        assert (await cli(run_dir, "replace", "plain", "--point", "b", "--final", "1", "--start", "0")).exit_code == 0
    assert [event["point"] for event in await asyncio.to_thread(told, tmp_path)] == ["b"]


async def test_what_a_power_cut_kept_from_the_chain_is_told_by_the_next_life(tmp_path: Path, run_dir: Path) -> None:
    path = replaced.beside(tmp_path / "buffer.db")
    event = Replacement("ab", "meter", "energy", "9", "1", "kWh", "anna", "why", 1_000, "00" * 16, 5)
    line = {name: getattr(event, name) for name in Replacement.__slots__}
    await asyncio.to_thread(save, path, json.dumps({"version": 1, "replacements": [line]}).encode())
    async with running(tmp_path, run_dir) as agent:
        known = agent.clock.estimate().state.value != "unset"
        assert [one.told for one in agent.replaced.all()] == [known]  # another boot: only by the time of day
    assert [one["id"] for one in await asyncio.to_thread(told, tmp_path)] == ["ab"] * known


@pytest.mark.parametrize("data", [b"", b"[]", b'{"version": 1, "replacements": [{}]}', b'{"version": 2}', b"\xff"])
async def test_a_damaged_file_stops_no_sampling_and_is_not_written_over(
    tmp_path: Path, run_dir: Path, data: bytes
) -> None:
    path = replaced.beside(tmp_path / "buffer.db")
    await asyncio.to_thread(path.write_bytes, data)
    with pytest.raises(FileDamaged):
        await asyncio.to_thread(replaced.load, path)
    async with running(tmp_path, run_dir) as agent:
        await until(lambda: agent.recorder.samples > 2)
        done = await cli(run_dir, *REPLACE)
        assert "it is not what was written" in str(done.exception)
    assert await asyncio.to_thread(path.read_bytes) == data
