"""kill -9 of the agent and of the collector at random moments, under load: nothing committed is lost or doubled."""

import asyncio
import random
from pathlib import Path

import pytest

from gateway.demo.stage import Stage, balance

KILLS = 20
MOST_S = 2.0


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_twenty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Ten kills each; every answer given more than the commit interval and a second before a kill must be stored."""
    dice = random.Random()
    stage = Stage(tmp_path)
    try:
        await stage.open()
        for _ in range(KILLS // 2):
            await asyncio.sleep(dice.uniform(0, MOST_S))
            await stage.children.kill("collector")
            await asyncio.sleep(dice.uniform(0, MOST_S / 4))
            await stage.start_collector()
            await asyncio.sleep(dice.uniform(0, MOST_S))
            await stage.kill_agent()
            await stage.start_agent()
        await stage.drain()
    finally:
        await stage.close()
    result = await asyncio.to_thread(balance, stage.scene)
    assert result.faults == []
    assert (result.lost, result.duplicated, result.refused) == (0, 0, 0)
    assert result.kills == KILLS // 2
    assert result.verified == result.batches
    assert result.delivered == result.committed > 500
