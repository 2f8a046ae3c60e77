"""What the lamp of a running agent says, once a second."""

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.polling.health import State
from gateway.reporting.led import Led, Pattern

if TYPE_CHECKING:
    from gateway.agent import Agent

log = logging.getLogger(__name__)

EVERY_S = 1.0
ANSWERED_MS = 300_000
"""A platform that has acknowledged nothing for so long, while batches wait, is as good as no link."""


def pattern(agent: "Agent") -> Pattern:
    """How the agent does, in one of three words."""
    if agent.stuck() or agent.keeper.disk.error or any(not bus.up and not bus.lent for bus in agent.buses):
        return Pattern.FAULT
    if any(health.state is State.OFFLINE for bus in agent.buses for health in bus.health.values()):
        return Pattern.FAULT
    return Pattern.DELIVERING if agent.uplink is None or _delivering(agent) else Pattern.NO_LINK


def _delivering(agent: "Agent") -> bool:
    uplink = agent.uplink
    if uplink is None or not uplink.state.up:
        return False
    last = max(uplink.state.since, uplink.state.last_ack_at or 0)
    return uplink.session.held == 0 or agent.clock.now() - last < ANSWERED_MS


async def shine(agent: "Agent", led: Led) -> None:
    """Until cancelled; without the lamp, after one line in the log, for ever in the dark."""
    try:
        await asyncio.to_thread(led.start)
    except (OSError, ValueError) as error:
        log.warning("led: %s; see docs/operations.md, The lamp", error)
        await asyncio.Event().wait()
    try:
        while True:
            led.show(pattern(agent))
            await asyncio.sleep(EVERY_S)
    finally:
        await asyncio.to_thread(led.stop)
