"""Looks for silent devices where they may be by mistake, between the turns of their bus."""

import asyncio
from typing import Any

from gateway.polling.health import State
from gateway.polling.poller import PollingTask

SEARCH_S = 5.0
"""The polls of the others are late meanwhile, by one timeout each."""
SETTLE_S = 3.0
"""A device that has just failed is silent, or well again, after two more polls."""
SETTLE_STEP_S = 0.1
DEVICES_MAX = 2
"""Where more are silent, and others are not, it is not their addresses."""


async def settled(task: PollingTask) -> None:
    """Wait, for `SETTLE_S` at most, until each device is either well or gone."""
    for _ in range(round(SETTLE_S / SETTLE_STEP_S)):
        if all(health.state is not State.SUSPECT for health in task.health.values()):
            return
        await asyncio.sleep(SETTLE_STEP_S)


async def others(task: PollingTask) -> list[dict[str, Any]]:
    """`{"device", "kind", "value"}` for each silent device of which something answers elsewhere; within `SEARCH_S`."""
    silent = [name for name, health in task.health.items() if health.state is State.OFFLINE and health.in_a_row]
    alone = len(silent) == len(task.health)
    if not task.up or (not alone and (len(silent) > DEVICES_MAX or _cut_off(task, silent))):
        return []
    found: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(SEARCH_S):
            for name in silent[:DEVICES_MAX]:
                await _look(task, name, alone=alone, found=found)
    except TimeoutError:
        pass  # what is known by then
    return found


def _cut_off(task: PollingTask, silent: list[str]) -> bool:
    """Whether they are the last ones of the cable: it is open before them."""
    places = {setup.device.id: setup.device.order for setup in task.driver.setup.devices}
    row = sorted((order, name) for name, order in places.items() if order is not None)
    return len(silent) > 1 and {name for _, name in row[-len(silent) :]} == set(silent)


async def _look(task: PollingTask, device: str, *, alone: bool, found: list[dict[str, Any]]) -> None:
    for place in task.asking.elsewhere(device, alone=alone):
        if await task.look(place):
            found.append({"device": device, "kind": place.kind, "value": place.value})
            return
