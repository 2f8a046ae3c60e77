"""The verb `examine`: what the running daemon knows that `status` does not show, and what it can see."""

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers import port
from drivers.uart import LineCounts
from gateway.control.server import Args
from gateway.control.status import status
from gateway.doctor.plan import device_file, plan
from gateway.doctor.prints import changed, prints
from gateway.doctor.probe import examine
from gateway.doctor.search import others, settled
from gateway.doctor.words import swapped
from gateway.errors import BadRequest
from gateway.polling.bus import BusTask
from gateway.polling.poller import PollingTask

if TYPE_CHECKING:
    from gateway.agent import Agent

WATCH_S = 1.0
"""How long the lines are watched, where nobody says otherwise."""
WATCH_MAX_S = 10.0


class Inside:
    """Examines one agent; one at a time, since it costs the network something."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._lock = asyncio.Lock()

    async def examine(self, args: Args) -> dict[str, Any]:
        """Everything that the doctor judges (docs/cli-json.md).

        Takes `watch_s`, or as long as the network and the search for silent devices need.
        """
        agent, watch_s = self._agent, args.get("watch_s", WATCH_S)
        if isinstance(watch_s, bool) or not isinstance(watch_s, int | float) or not 0 <= watch_s <= WATCH_MAX_S:
            raise BadRequest(f"watch_s: a number from 0 to {WATCH_MAX_S:g}")
        async with self._lock:
            await asyncio.gather(*(settled(bus) for bus in agent.buses if isinstance(bus, PollingTask)))
            before = {bus.bus.id: _counts(bus) for bus in agent.buses}
            down = agent.uplink is not None and not agent.uplink.state.up
            looked, now, found, _ = await asyncio.gather(
                asyncio.to_thread(examine, plan(agent.config, ports=False, brokers=down)),
                asyncio.to_thread(prints, agent.config),
                asyncio.gather(*(_others(bus) for bus in agent.buses)),
                asyncio.sleep(watch_s),
            )
            elsewhere = {bus.bus.id: one for bus, one in zip(agent.buses, found, strict=True)}
            return {
                "pid": os.getpid(),
                "status": await status(agent),
                "changed": changed(agent.prints, now),
                "buses": {
                    bus.bus.id: self._bus(bus, before[bus.bus.id]) | {"others": elsewhere[bus.bus.id]}
                    for bus in agent.buses
                },
                "uplink": self._uplink(),
                **looked,
            }

    async def doctor(self, _: Args) -> dict[str, Any]:
        """What the doctor finds, as `lamppost doctor --json` has it."""
        from gateway.doctor.doctor import facts_inside, judge
        from gateway.doctor.finding import Level, told, worst

        seen = await self.examine({})
        facts = await asyncio.to_thread(facts_inside, Path(self._agent.config.where("")), seen)
        findings = told(judge(facts))
        level = worst(findings)
        return {"ok": level is Level.OK, "worst": level.value, "findings": [one.json() for one in findings]}

    def _bus(self, task: BusTask, before: LineCounts | None) -> dict[str, Any]:
        now, signs = _counts(task), task.driver.signs()
        return {
            "port": device_file(task.bus) or None,
            "baud": task.bus.options.get("baud"),
            "uart": None if now is None else asdict(now),
            "uart_now": None if now is None or before is None else asdict(now.since(before)),
            "echo": signs.echo,
            "swapped": [asdict(one) for one in swapped(task.driver, self._agent.recorder.last)],
            "devices": {
                setup.device.id: {
                    "order": setup.device.order,
                    "address": setup.device.options.get("address"),
                    "recent": list(task.health[setup.device.id].recent),
                    "followed": signs.followed.get(setup.device.id, 0.0),
                }
                for setup in task.driver.setup.devices
            },
        }

    def _uplink(self) -> dict[str, Any] | None:
        uplink = self._agent.uplink
        if uplink is None:
            return None
        since = uplink.session.unanswered_since()
        waits = None if since is None else (self._agent.clock.now() - since) / 1000
        return {"refusal": uplink.state.refusal, "unanswered_s": waits}


async def _others(task: BusTask) -> list[dict[str, Any]]:
    return await others(task) if isinstance(task, PollingTask) else []


def _counts(task: BusTask) -> LineCounts | None:
    path = device_file(task.bus)
    return port.counts(path) if path else None
