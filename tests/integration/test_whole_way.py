"""The whole way of the demo without its broker for a while, and with another broker: nothing is lost."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.demo import broker as demo_broker
from gateway.demo import stage as demo_stage
from gateway.demo.stage import Stage, balance

AWAY_S = 20.0


@pytest.mark.slow
@pytest.mark.usefixtures("has_mosquitto")
async def test_a_broker_that_is_away_for_twenty_seconds_costs_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    try:
        await stage.open()
        await stage.children.kill("broker")
        await asyncio.sleep(AWAY_S)
        status = await asyncio.to_thread(stage.status)
        assert status is not None
        assert not status["uplink"]["up"]
        assert status["uplink"]["error"]
        assert status["buffer"]["held"]["batches"] > 3
        assert status["buffer"]["error"] == ""
        await stage.start_broker()
        await stage.drain()
    finally:
        await stage.close()
    result = await asyncio.to_thread(balance, stage.scene)
    assert result.faults == []
    assert (result.lost, result.duplicated, result.refused) == (0, 0, 0)
    assert result.delivered == result.committed > 500


@pytest.fixture
def has_mosquitto(program: Callable[[str, str], str]) -> None:
    """Skips where there is no mosquitto."""
    program("mosquitto", "mosquitto")


@pytest.mark.slow
async def test_a_whole_way_balances_where_there_is_no_mosquitto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("amqtt")
    monkeypatch.setattr(demo_broker, "mosquitto", lambda: None)
    monkeypatch.setattr(demo_stage, "mosquitto", lambda: None)
    stage = Stage(tmp_path)
    try:
        await stage.open()
        await asyncio.sleep(3)
        await stage.cut()
        await asyncio.sleep(1)
        await stage.restore()
        await asyncio.sleep(3)
        await stage.drain()
    finally:
        await stage.close()
    result = await asyncio.to_thread(balance, stage.scene)
    assert result.faults == []
    assert result.balanced
    assert result.delivered == result.committed > 100
