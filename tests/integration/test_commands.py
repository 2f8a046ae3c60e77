"""Commands over a real broker to a real Modbus server, whose own log says which writes arrived."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from buffer.command import new_number
from gateway.control.client import Client
from gateway.control.sockets import control_socket
from tests.integration.harness import Rig
from tests.integration.plant import READ, WRITE, Plant, at_once
from tests.integration.platform import Platform, now_ms

BUS = """
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {port}
timeout = "300ms"
[devices.lamp]
bus = "panel"
address = 7
every = "200ms"
points.level = {{ table = "holding", register = 12, writable = {{ min = 0, max = 100 }} }}
points.mode = {{ table = "holding", register = 13, writable = {{ allowed = [0, 1, 4], max_rate = "2/1h" }} }}
[devices.pump]
bus = "panel"
address = 8
every = "200ms"
points.enabled = {{ table = "holding", register = 1 }}
points.speed = {{ table = "holding", register = 2, writable = {{ min = 0, max = 50, requires = "pump/enabled == 1" }} }}
points.reset = {{ table = "holding", register = 40, writable = {{ allowed = [1], kind = "pulse" }} }}
[devices.pump.points.valve]
table = "holding"
register = 3
writable = {{ min = 0, max = 9, revert_after = "2s", safe_value = 0 }}
"""
LEVEL = (7, 12)
CLOCK_MS = 1_000
"""The agent's estimate of the time may be so far from the wall clock of a busy machine."""


@asynccontextmanager
async def street(folder: Path) -> AsyncIterator[tuple[Rig, Plant, Platform, bytes]]:
    """Everything up, the keyring taken, commands taken."""
    async with Plant() as plant, Rig(folder) as rig:
        platform = Platform(rig)
        await asyncio.to_thread(platform.pin)
        await rig.start_agent(BUS.format(port=plant.port), batch="500ms", heard=True)
        yield rig, plant, platform, await platform.ready()


def results(rig: Rig) -> dict[int, list[dict[str, Any]]]:
    """What the collector was told, by number. Blocks."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rig.rows("gateway/command-result"):
        told = json.loads(row.text or "")
        found.setdefault(told["number"], []).append(told)
    return found


async def told(rig: Rig, number: int) -> dict[str, Any]:
    """The one result of a command."""
    (found,) = await rig.until(lambda: results(rig).get(number, []), f"command {number} has a result")
    return found


async def test_a_command_is_done_read_back_and_told_of(tmp_path: Path) -> None:
    async with street(tmp_path) as (rig, plant, platform, stream):
        first, listed, refused, dry = (new_number() for _ in range(4))
        await platform.publish(platform.command(("lamp/level", 40), stream=stream, number=first))
        found = await told(rig, first)
        assert plant.writes == [(*LEVEL, 40)]
        assert (found["status"], found["who"], found["why"], found["key"]) == ("verified", "anna", "a test", "anna")
        assert (found["source"], found["dry_run"], found["reason"]) == ("remote", False, "")
        (write,) = found["writes"]
        assert (write["point"], write["value"], write["read_back"], write["status"]) == (
            "lamp/level",
            40,
            40,
            "verified",
        )
        assert found["accepted_ms"] <= found["finished_ms"] <= now_ms() + CLOCK_MS

        await platform.publish(
            platform.command(("lamp/level", 41), ("pump/speed", 7), ("lamp/level", 42), stream=stream, number=listed),
            platform.command(("lamp/level", 101), stream=stream, number=refused),
            platform.command(("lamp/level", 99), stream=stream, number=dry, dry_run=True),
        )
        found = await told(rig, listed)
        assert [one["status"] for one in found["writes"]] == ["verified", "refused"]  # and the third was not begun
        assert found["status"] == "refused"
        assert "interlock: pump/enabled == 1 does not hold: it is 0" in found["reason"]
        assert (await told(rig, refused))["reason"] == "limits: lamp/level: 101 is above 100"
        found = await told(rig, dry)
        assert (found["status"], found["dry_run"], found["writes"][0]["read_back"]) == ("verified", True, 41)
        assert plant.writes == [(*LEVEL, 40), (*LEVEL, 41)]

        plant.values[8, 1] = 1
        allowed = new_number()
        await platform.publish(platform.command(("pump/speed", 7), stream=stream, number=allowed))
        assert (await told(rig, allowed))["status"] == "verified"
        plant.stuck.add(LEVEL)
        failed = new_number()
        await platform.publish(platform.command(("lamp/level", 1), stream=stream, number=failed))
        found = await told(rig, failed)
        assert (found["status"], found["reason"]) == ("failed", "lamp/level: it reads 41 afterwards")
        assert plant.writes[2:] == [(8, 2, 7), (*LEVEL, 1)]
        plant.stuck.clear()
        plant.writes.clear()
        await _unanswered(rig, plant, platform, stream)


async def _unanswered(rig: Rig, plant: Plant, platform: Platform, stream: bytes) -> None:
    """A write without an answer is repeated only when the old value is there, and a pulse never."""
    plant.answers = lambda function: function != WRITE
    taken, pulse, lost = (new_number() for _ in range(3))
    await platform.publish(platform.command(("lamp/level", 40), stream=stream, number=taken))
    assert (await told(rig, taken))["status"] == "verified"
    await platform.publish(platform.command(("pump/reset", 1), stream=stream, number=pulse))
    assert (await told(rig, pulse))["status"] == "unknown"
    assert plant.writes == [(*LEVEL, 40), (8, 40, 1)]
    plant.stuck.add(LEVEL)
    await platform.publish(platform.command(("lamp/level", 9), stream=stream, number=lost))
    assert (await told(rig, lost))["status"] == "failed"
    assert plant.writes[2:] == [(*LEVEL, 9), (*LEVEL, 9)]


async def test_a_kill_at_any_step_leaves_one_result_and_at_most_one_write(tmp_path: Path) -> None:
    async with street(tmp_path) as (rig, plant, platform, stream):
        plant.values[8, 1] = 1
        for step in ("interlock", "write", "read back"):
            plant.writes.clear()
            await _killed_at(step, rig, plant, platform, stream)


async def _killed_at(step: str, rig: Rig, plant: Plant, platform: Platform, stream: bytes) -> None:
    there = asyncio.Event()
    number = new_number()
    message = platform.command(("pump/speed", 7), stream=stream, number=number)

    async def stall(function: int, unit: int, address: int) -> None:
        wrote = (8, 2, 7) in plant.writes
        if (step == "write" and function == WRITE) or (step == "read back" and function == READ and wrote):
            there.set()
            await asyncio.Event().wait()
        if step == "interlock" and function == READ and unit == 8:
            there.set()
            await asyncio.sleep(0.25)

    plant.before = stall
    await platform.publish(message)
    await rig.until(lambda: any(one["number"] == number for one in _listed(rig)), "the command is accepted")
    async with asyncio.timeout(10):
        await there.wait()
    await rig.kill_agent()
    before = list(plant.writes)
    assert len(before) <= 1
    plant.before = at_once
    await rig.start_agent(heard=True)
    assert (await told(rig, number))["status"] in ({"unknown", "verified"} if step == "interlock" else {"unknown"})
    await platform.ready()
    await platform.publish(message)  # again, by whomever
    await rig.until(lambda: rig.status()["commands"]["refused"].get("replay"), "the replay is counted")
    await asyncio.to_thread(rig.flush)
    last = new_number()
    await platform.publish(platform.command(("lamp/mode", 1), stream=stream, number=last, dry_run=True))
    await told(rig, last)
    assert len((await asyncio.to_thread(results, rig))[number]) == 1
    assert plant.writes == before


def _listed(rig: Rig) -> list[dict[str, Any]]:
    from gateway.control.sockets import status_socket

    with Client(status_socket(rig.run_dir)) as client:
        found: list[dict[str, Any]] = client.call("commands")
        return found


async def test_kills_at_any_moment(tmp_path: Path) -> None:
    """Each command has one result, and was written at most once: by the plant's own log."""
    pick = random.Random(9)
    async with street(tmp_path) as (rig, plant, platform, stream):
        sent: dict[int, int] = {}
        for life in range(3):
            for n in range(8):
                number, value = new_number(), 8 * life + n + 1
                sent[number] = value
                await platform.publish(platform.command(("lamp/level", value), stream=stream, number=number))
                await asyncio.sleep(pick.random() * 0.03)
            await rig.kill_agent()
            await rig.start_agent(heard=True)
            await platform.ready()
        await rig.settle()
        found = await asyncio.to_thread(results, rig)
        written = [value for _, _, value in plant.writes]
        assert len(written) == len(set(written))
        assert all(len(found.get(number, [])) <= 1 for number in sent)
        by_value = {sent[number]: one["status"] for number, (one,) in found.items()}
        assert set(written) <= by_value.keys()  # nothing was written of which nobody is told
        assert {"verified"} <= set(by_value.values()) <= {"verified", "unknown", "refused"}
        assert {value for value, status in by_value.items() if status == "verified"} <= set(written)


def _ask(rig: Rig, verb: str, **args: object) -> dict[str, Any]:
    with Client(control_socket(rig.run_dir), 30) as client:
        found: dict[str, Any] = client.call(verb, **args)
        return found


async def test_what_is_written_goes_back_when_the_platform_is_silent(tmp_path: Path) -> None:
    async with street(tmp_path) as (rig, plant, platform, stream):
        number = new_number()
        await platform.publish(platform.command(("pump/valve", 5), stream=stream, number=number))
        assert (await told(rig, number))["status"] == "verified"
        await rig.link.cut()
        await rig.kill_agent()
        await rig.start_agent(heard=True)
        await rig.until(lambda: plant.writes[1:], "it goes back")
        assert plant.writes == [(8, 3, 5), (8, 3, 0)]
        await rig.link.start()
        found = await rig.until(
            lambda: [one for (one,) in results(rig).values() if one["source"] == "revert"], "it is told of"
        )
        assert [one["status"] for one in found] == ["verified"]
        assert len(plant.writes) == 2


async def test_bad_commands_and_locks(tmp_path: Path) -> None:
    """Mutated, and signed but wrong, and good ones for a locked device: none is done, also after a kill."""
    pick = random.Random(1)
    async with street(tmp_path) as (rig, plant, platform, stream):
        good = platform.command(("lamp/level", 40), stream=stream)
        other = Platform(rig)
        bad = [_mutated(good, pick) for _ in range(150)]
        bad += [platform.command(("lamp/level", n), stream=bytes(16)) for n in range(30)]
        bad += [platform.command(("lamp/level", n), stream=stream, gateway="gw-other") for n in range(30)]
        bad += [other.command(("lamp/level", n), stream=stream) for n in range(30)]
        bad += [
            platform.command(("lamp/level", n), stream=stream, life_ms=1, issued=now_ms() - 9_000) for n in range(30)
        ]
        bad += [platform.command(("lamp/level", n), stream=stream, issued=now_ms() + 120_000) for n in range(30)]
        bad += [platform.command((f"lamp/p{n}", n), stream=stream) for n in range(30)]
        bad += [platform.command(("pump/enabled", 1), stream=stream)]
        for at in range(0, len(bad), 30):
            await platform.publish(*bad[at : at + 30])
        await platform.publish(good, retain=True)
        last = new_number()
        await platform.publish(platform.command(("lamp/level", 77), stream=stream, number=last))
        assert (await told(rig, last))["status"] == "verified"
        assert set(plant.writes) <= {(*LEVEL, 77), (*LEVEL, 40)}  # a retained one that arrives live is not retained
        before = len(plant.writes)
        with_lock = await asyncio.to_thread(_ask, rig, "lock", device="lamp", reason="new lamp")
        assert with_lock["device"] == "lamp"
        await rig.kill_agent()
        await rig.start_agent(heard=True)
        await rig.until(lambda: rig.status()["commands"]["refused"].get("retained"), "the retained one has come")
        await platform.ready()
        number = new_number()
        await platform.publish(platform.command(("lamp/level", 40), stream=stream, number=number))
        found = await told(rig, number)
        assert found["status"] == "refused"
        assert "new lamp" in found["reason"]
        local = await asyncio.to_thread(_ask, rig, "write", point="lamp/level", value="3")
        assert local["status"] == "refused"
        await asyncio.to_thread(_ask, rig, "unlock", device="lamp")
        local = await asyncio.to_thread(_ask, rig, "write", point="lamp/level", value="4")
        assert (local["status"], local["source"]) == ("verified", "local")
        assert plant.writes[before:] == [(*LEVEL, 4)]
        rows = await rig.until(lambda: rig.rows("gateway/lock")[2:], "both are told of")
        assert [json.loads(row.text or "")["locked"] for row in rows] == [False]


def _mutated(message: bytes, pick: random.Random) -> bytes:
    place = pick.randrange(len(message))
    changed = bytes([message[place] ^ 1 << pick.randrange(8)])
    return message[:place] + changed + message[place + 1 :]
