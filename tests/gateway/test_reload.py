"""Another configuration while the agent runs: what did not change is not disturbed, and every batch can be read."""

import asyncio
from pathlib import Path

import pytest

from buffer.batch import decode
from buffer.catalogue import decode as read_catalogue
from buffer.cose import Kind
from buffer.reader import Reader
from ext import unpack
from gateway.agent import Agent
from gateway.errors import GatewayError
from gateway.setup.installation import Installation
from gateway.setup.reload import Reloader, difference, unchangeable
from tests.gateway.support import PUBLIC, Asked, bus, device, living, make, make_agent, until

WINDOW = "p report = { on = 'window', window = '1s' }"
STAYS = bus("stay") + device("one", "p", "q priority = 'critical'", bus="stay", every="100ms")
STAYS += device("sum", WINDOW, bus="stay", every="100ms")
CHANGES = [
    bus() + device("two", "p", every="100ms"),
    bus() + device("two", "p", "r", every="100ms"),
    bus() + device("two", WINDOW, every="100ms") + device("three", "s priority = 'bulk'", every="100ms"),
    "",
    bus() + device("two", "p unit = 'Cel'", every="100ms") + bus("new") + device("four", "p", bus="new", every="200ms"),
    bus() + device("two", "p", every="100ms"),
]


def fresh(folder: Path, text: str) -> Installation:
    return make(folder, text, Asked)[0]


async def test_buses_come_and_go_and_every_batch_can_be_read(tmp_path: Path, run_dir: Path) -> None:
    agent, (stays, _) = await asyncio.to_thread(make_agent, tmp_path, run_dir, STAYS + CHANGES[0], Asked)
    with living(agent) as task:
        await until(lambda: stays.opened == 1 and agent.keeper.counts.commits > 1)
        reloader = Reloader(agent)
        for text in CHANGES[1:] * 3 + CHANGES[:1]:
            before = len(stays.asked)
            await reloader.apply(await asyncio.to_thread(fresh, tmp_path, STAYS + text))
            commits = agent.keeper.counts.commits
            await until(lambda before=before, commits=commits: (  # type: ignore[misc]
                len(stays.asked) > before + 1 and agent.keeper.counts.commits > commits
            ))  # fmt: skip
            wanted = {"stay"} | set(agent.config.buses)
            assert {one.bus.id for one in agent.buses} == wanted
            names = {point for one in agent.config.devices.values() for point in one.points}
            assert names
            assert set(agent.points) == {p.id for d in agent.config.devices.values() for p in d.points.values()}
        assert (stays.opened, stays.closed) == (1, 0), "a bus that did not change runs on"
        agent.stopping.set()
        await task
    seen = await asyncio.to_thread(_series, agent)
    assert {"one/p", "one/q", "sum/p.mean", "two/p", "two/r", "two/p.count", "three/s", "four/p"} <= seen


def _series(agent: Agent) -> set[str]:
    """The points of which there are samples, each by the catalogue that its batch names; none is of another."""
    found = set()
    with Reader(agent.config.buffer.path) as reader:
        messages = {stored.hash: stored.message for stored in reader.batches()}
    batches = [(digest, decode(message, PUBLIC)) for digest, message in messages.items()]
    catalogues = {
        digest: {one.number: f"{one.device}/{one.point}" for one in read_catalogue(batch.blocks)}
        for digest, batch in batches
        if batch.header.kind is Kind.CATALOGUE
    }
    assert len(catalogues) >= len(CHANGES)
    for _, batch in batches:
        if batch.header.kind is Kind.BATCH and batch.header.samples:
            assert batch.header.catalogue is not None
            names = catalogues[batch.header.catalogue]
            found |= {names[number] for number, _, _, _ in unpack(batch.blocks)}
    return found


async def test_a_disk_that_does_not_answer_changes_nothing(tmp_path: Path, run_dir: Path) -> None:
    agent, (stays, _) = await asyncio.to_thread(make_agent, tmp_path, run_dir, STAYS + CHANGES[0], Asked)
    with living(agent) as task:
        await until(lambda: stays.opened == 1)
        before, buses = agent.config, list(agent.buses)
        await agent.store.call(lambda store: store.close())
        wanted = await asyncio.to_thread(fresh, tmp_path, STAYS + CHANGES[1])
        with pytest.raises(GatewayError, match="nothing was changed"):
            await Reloader(agent).apply(wanted)
        assert (agent.config, agent.buses) == (before, buses)
        agent.stopping.set()
        await task


def test_what_there_is_to_do(tmp_path: Path) -> None:
    first = fresh(tmp_path, STAYS + CHANGES[0]).config
    found = difference(first, fresh(tmp_path, STAYS + CHANGES[4]).config)
    assert (found.kept, found.stopped, found.begun) == (("stay",), ("b",), ("b", "new"))
    other = fresh(tmp_path, (STAYS + CHANGES[0]).replace('every = "100ms"', 'every = "110ms"', 1)).config
    assert difference(first, other).stopped == ("stay",)
    moved = first.model_copy(update={"buffer": first.buffer.model_copy(update={"size": 10**7})})
    assert unchangeable(first, moved) == ["buffer.size"]
    assert unchangeable(first, first) == []
