"""A store restored from a copy, and a second gateway with the same key and store: no command is done there."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

from buffer.command import new_number
from tests.integration.harness import Rig
from tests.integration.plant import Plant
from tests.integration.platform import Platform
from tests.integration.test_commands import BUS, LEVEL, street, told

FILES = ("buffer.db", "keyring.cose")


def _copy(source: Path, target: Path) -> None:
    """What lies on the card of a gateway that is off."""
    for log in target.glob("buffer.db-*"):
        log.unlink()
    for name in FILES:
        shutil.copy(source / name, target / name)


def _refused(rig: Rig) -> dict[str, int]:
    found: dict[str, Any] = rig.status()
    counts: dict[str, int] = found["commands"]["refused"]
    return counts


async def _done(rig: Rig, platform: Platform, stream: bytes, value: int) -> bytes:
    """A command that is done; its message."""
    number = new_number()
    message = platform.command(("lamp/level", value), stream=stream, number=number, life_ms=600_000)
    await platform.publish(message)
    assert (await told(rig, number))["status"] == "verified"
    return message


async def _acknowledged(rig: Rig) -> None:
    """What was sent is with the platform."""
    await asyncio.to_thread(rig.flush)
    before = (await asyncio.to_thread(rig.status))["uplink"]["acknowledged"]
    await rig.until(lambda: rig.status()["uplink"]["acknowledged"] >= before + 2, "more is acknowledged")


async def _refuses(rig: Rig, platform: Platform, *messages: bytes) -> None:
    """All of these are refused, by what knows nothing of them but their stream."""
    await rig.until(lambda: (rig.status()["uplink"] or {}).get("up"), "it listens")
    await platform.publish(*messages)
    refused = await rig.until(lambda: sum(_refused(rig).values()) >= len(messages) and _refused(rig), "all are refused")
    assert refused
    assert refused.keys() <= {"waiting", "stream", "replay"}


async def test_a_restored_store_and_a_clone_do_nothing(tmp_path: Path) -> None:
    async with Plant() as other, street(tmp_path) as (rig, plant, platform, stream):
        aside, clone = tmp_path / "aside", tmp_path / "clone"
        first = await _done(rig, platform, stream, 40)
        await rig.stop_agent()
        for folder in (aside, clone):
            folder.mkdir()
            await asyncio.to_thread(_copy, tmp_path, folder)
        await rig.start_agent(heard=True)
        await platform.ready()
        second = await _done(rig, platform, stream, 41)
        await _acknowledged(rig)
        await rig.kill_agent()

        await asyncio.to_thread(_copy, aside, tmp_path)  # restored
        await rig.start_agent(heard=True)
        await _refuses(rig, platform, first, second, platform.command(("lamp/level", 42), stream=stream))
        await rig.until(lambda: rig.query("SELECT 1 FROM streams WHERE forked_at IS NOT NULL"), "it is an alarm")
        await rig.kill_agent()  # two at once would only throw each other out at the broker

        rig.buffer = clone / "buffer.db"
        await rig.start_agent(BUS.format(port=other.port), batch="500ms", heard=True)
        await _refuses(rig, platform, first, second, platform.command(("lamp/level", 43), stream=stream))
        assert other.writes == []
        assert plant.writes == [(*LEVEL, 40), (*LEVEL, 41)]
