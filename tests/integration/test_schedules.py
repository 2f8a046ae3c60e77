"""Schedules over a real broker to a real Modbus server, whose own log says which writes arrived."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from buffer.command import Wanted, new_number
from buffer.schedule import Entry, Schedule
from gateway.cli import schedule as verb
from tests.integration.harness import GATEWAY, Rig
from tests.integration.plant import Plant
from tests.integration.platform import LIFE_MS, Platform, now_ms
from tests.integration.test_commands import results, told

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
location = [52.5, 13.4]
points.level = {{ table = "holding", register = 12, writable = {{ min = 0, max = 100 }} }}
[devices.lamp.points.mode]
table = "holding"
register = 13
values = {{ 0 = "off", 1 = "auto", 4 = "party" }}
writable = {{ allowed = ["off", "auto"] }}
"""
LEVEL, MODE = (7, 12), (7, 13)


def signed(platform: Platform, stream: bytes, edition: int, number: int, *entries: tuple[str, str, Wanted]) -> bytes:
    """A schedule of (point, time, value)."""
    now = now_ms()
    made = tuple(Entry((point,), at, value) for point, at, value in entries)
    schedule = Schedule(GATEWAY, stream, number, now, now + LIFE_MS, edition, made, "anna", "winter")
    return schedule.sign(platform.operator)


def minute_of(utc_ms: int) -> str:
    return f"{datetime.fromtimestamp(utc_ms / 1000, UTC):%H:%M}"


def _reads(plant: Plant, value: int) -> bool:
    return plant.values.get(LEVEL) == value


async def shown(rig: Rig) -> dict[str, Any]:
    """What `lamppost schedule --json` prints."""
    words = ["--json", "--run-dir", str(rig.run_dir)]
    done = await asyncio.to_thread(lambda: CliRunner().invoke(verb.command, words))
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def test_a_schedule_runs_without_the_platform_and_through_kills(tmp_path: Path) -> None:
    async with Plant() as plant, Rig(tmp_path) as rig:
        platform = Platform(rig)
        await asyncio.to_thread(platform.pin)
        await rig.start_agent(BUS.format(port=plant.port), batch="500ms", heard=True)
        stream = await platform.ready()
        first, second, third = (new_number() for _ in range(3))
        now = minute_of(now_ms())
        message = signed(
            platform, stream, 5, first, ("lamp/level", now, Decimal(40)), ("lamp/mode", "sunset", "auto"),
            ("lamp/mode", "sunrise", "auto"),
        )  # fmt: skip
        await platform.publish(message)
        assert (await told(rig, first))["status"] == "verified"
        assert sorted(plant.writes) == [(*LEVEL, 40), (*MODE, 1)]
        switches = [one for (one,) in results(rig).values() if one["source"] == "schedule"]
        assert {one["writes"][0]["read_back"] for one in switches} == {40, "auto"}
        found = await shown(rig)
        assert (found["edition"], found["key"], len(found["next"])) == (5, "anna", 10)

        await platform.publish(  # a lower number, a name that is not allowed
            signed(platform, stream, 4, second, ("lamp/level", now, Decimal(41))),
            signed(platform, stream, 6, third, ("lamp/mode", now, "party")),
        )
        assert (await told(rig, second))["reason"].startswith("edition: 4 came")
        assert "party is not one of off, auto" in (await told(rig, third))["reason"]

        await rig.link.cut()  # from here on nobody helps
        await rig.kill_agent()
        plant.values[LEVEL] = plant.values[MODE] = 0
        plant.writes.clear()
        await rig.start_agent(heard=True)
        await rig.until(lambda: len(plant.writes) == 2, "what is in force is written")
        assert sorted(plant.writes) == [(*LEVEL, 40), (*MODE, 1)]
        await rig.link.start()
        await platform.ready()

        for step in range(3):  # killed around the acceptance
            number = new_number()
            await platform.publish(signed(platform, stream, 10 + step, number, ("lamp/level", now, Decimal(50 + step))))
            await asyncio.sleep(0.04 * step)
            await rig.kill_agent()
            await rig.start_agent(heard=True)
            await platform.ready()
            edition = (await shown(rig))["edition"]
            assert edition in {5, *range(10, 11 + step)}
            value = 40 if edition == 5 else 40 + edition
            await rig.until(partial(_reads, plant, value), "it is as the schedule in force says")
        last = new_number()
        await platform.publish(signed(platform, stream, 20, last, ("lamp/level", now, Decimal(99))))
        assert (await told(rig, last))["status"] == "verified"
        assert plant.writes[-1] == (*LEVEL, 99)
        await asyncio.to_thread(rig.flush)
        assert all(len(one) == 1 for one in (await asyncio.to_thread(results, rig)).values())


async def test_a_device_that_refuses_brings_the_last_good_one_back(tmp_path: Path) -> None:
    async with Plant() as plant, Rig(tmp_path) as rig:
        platform = Platform(rig)
        await asyncio.to_thread(platform.pin)
        await rig.start_agent(BUS.format(port=plant.port), batch="500ms", heard=True)
        stream = await platform.ready()
        good, bad = new_number(), new_number()
        now = minute_of(now_ms())
        await platform.publish(signed(platform, stream, 1, good, ("lamp/level", now, Decimal(40))))
        assert (await told(rig, good))["status"] == "verified"
        plant.stuck.add(LEVEL)
        await platform.publish(signed(platform, stream, 2, bad, ("lamp/level", now, Decimal(60))))
        found = await told(rig, bad)
        assert found["status"] == "failed"
        assert found["reason"] == "rolled back to schedule 1: lamp/level: it reads 40 afterwards"
        assert (await shown(rig))["edition"] == 1
