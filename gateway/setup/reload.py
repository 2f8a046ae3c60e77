"""Another configuration for an agent that runs: buses that did not change run on, the others are stopped and begun."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buffer.catalogue import SeriesDefinition
from buffer.errors import StoreError
from config import Config
from drivers.base import Driver
from ext.quality import BAD, quality_class
from gateway.doctor.prints import prints
from gateway.errors import GatewayError
from gateway.keeping import series
from gateway.polling.bus import BusTask
from gateway.polling.health import State
from gateway.polling.poller import bus_task
from gateway.reporting import system
from gateway.setup.installation import Installation

if TYPE_CHECKING:
    from gateway.agent import Agent

log = logging.getLogger(__name__)

DISK_S = 10.0
"""The disk has so long to number new points; without it nothing is changed."""
WRITES_S = 30.0
"""Writes under way on a bus that changes have so long to end."""
RESTART = "sudo systemctl restart lamppost"


@dataclass(frozen=True, slots=True)
class Difference:
    """Buses by their ids."""

    kept: tuple[str, ...]
    stopped: tuple[str, ...]
    begun: tuple[str, ...]

    def __str__(self) -> str:
        told = {"stopped": self.stopped, "begun": self.begun}
        words = [f"{what}: {', '.join(buses)}" for what, buses in told.items() if buses]
        return f"{len(self.kept)} buses run on" + "".join(f"; {one}" for one in words)


def difference(running: Config, wanted: Config) -> Difference:
    """What there is to do."""
    kept = tuple(bus for bus in wanted.buses if _as_before(running, wanted, bus))
    return Difference(
        kept,
        tuple(bus for bus in running.buses if bus not in kept),
        tuple(bus for bus in wanted.buses if bus not in kept),
    )


def _as_before(running: Config, wanted: Config, bus: str) -> bool:
    if running.buses.get(bus) != wanted.buses[bus]:
        return False
    before, after = ({name: d for name, d in c.devices.items() if d.bus == bus} for c in (running, wanted))
    return before == after


def unchangeable(running: Config, wanted: Config) -> list[str]:
    """The keys that differ and that only a new start of the agent takes."""
    found = []
    for name in ("gateway", "uplink", "buffer"):
        before, after = getattr(running, name), getattr(wanted, name)
        if before is None or after is None:
            found += [name] * (before is not after)
            continue
        keys = (key for key in type(before).model_fields if getattr(before, key) != getattr(after, key))
        found += [f"{name}.{key}" for key in keys if f"{name}.{key}" != "uplink.batch"]
    return found


class Reloader:
    """Exchanges what one agent runs."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent

    @property
    def running(self) -> Config:
        """What runs now."""
        return self._agent.config

    def check(self, wanted: Config) -> Difference:
        """What `apply` would do; raises `GatewayError` when it cannot be done now."""
        agent = self._agent
        if keys := unchangeable(agent.config, wanted):
            raise GatewayError(f"{', '.join(keys)}: the agent takes a change of it by a restart", RESTART)
        found = difference(agent.config, wanted)
        for task in agent.buses:
            if task.lent and task.bus.id in found.stopped:
                raise GatewayError(f"bus {task.bus.id} is lent ({task.lent})", "lamppost status")
        return found

    async def apply(self, wanted: Installation) -> Difference:
        """Run `wanted` from now on; raises `GatewayError` or `StoreError`: then nothing was changed."""
        agent = self._agent
        found = self.check(wanted.config)
        by_bus = {task.bus.id: task.driver for task in agent.buses if task.bus.id in found.kept}
        drivers = tuple(by_bus.get(driver.setup.bus.id, driver) for driver in wanted.drivers)
        definitions = series.definitions(drivers) | system.definitions()
        numbers = await self._numbers(list(definitions.values()))
        fresh = await asyncio.to_thread(prints, wanted.config)
        gone = [task for task in agent.buses if task.bus.id in found.stopped]
        try:
            async with asyncio.timeout(WRITES_S) as patience, agent.office.alone(found.stopped):
                patience.reschedule(None)
                await agent.running.stop(gone)
                self._exchange(wanted.config, drivers, definitions, dict(zip(definitions, numbers, strict=True)))
        except TimeoutError as error:
            raise GatewayError("writes are under way on what is to be changed", "lamppost commands") from error
        agent.prints, agent.wrong = fresh, wanted.wrong
        log.info("configuration %s runs: %s", wanted.config.fingerprint[:12], found)
        return found

    def answering(self) -> tuple[int, int]:
        """How many points have a value that their device lately gave, and how many there are."""
        agent = self._agent
        points = [(task.health[d], p) for task in agent.buses for d, names in task.points.items() for p in names]
        there = 0
        for health, point in points:
            last = agent.recorder.last(point)
            heard = health.heard_at is not None and health.state is not State.OFFLINE
            there += heard and last is not None and last[1] is not None and quality_class(last[2]) != BAD
        return there, len(points)

    async def _numbers(self, definitions: list[SeriesDefinition]) -> list[int]:
        try:
            async with asyncio.timeout(DISK_S):
                return await self._agent.store.call(lambda store: store.number(definitions))
        except TimeoutError as error:
            raise GatewayError("the disk does not answer; nothing was changed", "lamppost status") from error
        except StoreError as error:
            raise GatewayError(f"the disk does not take it, nothing was changed: {error}", "lamppost status") from error

    def _exchange(
        self, config: Config, drivers: Sequence[Driver], definitions: dict[str, SeriesDefinition],
        numbers: dict[str, int],
    ) -> None:  # fmt: skip
        """All at once: nothing is recorded between the end of the old batches and the names of the new series."""
        agent, recorder = self._agent, self._agent.recorder
        tasks = {task.driver: task for task in agent.buses}
        staying = {p.point.id for d in drivers if d in tasks for v in d.setup.devices for p in v.points}
        recorder.finish(agent.points.keys() - staying)
        agent.keeper.rename(list(definitions.values()))
        points = {p.point.id: p.point for d in drivers for v in d.setup.devices for p in v.points}
        recorded = points | system.points()
        staying |= system.points().keys()
        begun = series.compile_series({name: p for name, p in recorded.items() if name not in staying}, numbers)
        recorder.rearrange({name: begun.get(name) or recorder.series(name) for name in recorded}, recorded)
        agent.quirks.rearrange(drivers)
        for driver in drivers:
            if driver not in tasks:
                driver.remember(agent.quirks)
        agent.config, agent.drivers, agent.points = config, tuple(drivers), points
        buses = [_task(tasks, driver, agent, n) for n, driver in enumerate(drivers)]
        agent.office.rearrange(buses)
        agent.replaced.rearrange(points)
        if config.uplink is not None:
            agent.keeper.batch_ms = config.uplink.batch
        agent.running.rearrange(buses)


def _task(tasks: dict[Driver, BusTask], driver: Driver, agent: "Agent", number: int) -> BusTask:
    known = tasks.get(driver)
    return bus_task(driver, agent.recorder, agent.clock.now, number) if known is None else known
