"""The verb `lease`: a bus of the running agent in other hands for a while."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from drivers.errors import BusError
from gateway.control.server import Args
from gateway.errors import BadRequest, GatewayError
from gateway.polling.bus import BusTask
from gateway.polling.places import places

LEASE_MAX_S = 4 * 3600.0
"""Somebody who works longer asks again: a forgotten lease must not cost a night of values."""
WHO_MAX = 80  # characters


class Leases:
    """Lends the buses of one agent."""

    def __init__(self, buses: Sequence[BusTask]) -> None:
        self._buses = buses

    def lease(self, args: Args) -> AsyncGenerator[dict[str, Any], None]:
        """Free the port of `bus` (or that of a device), or of the bus at `place`, for `seconds`: said when it is shut.

        The lease ends by itself, or with the conversation. Of a place that no bus is at, `{"bus": null}` is said.
        """
        seconds, who, place = args.get("seconds"), args.get("for", ""), args.get("place")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LEASE_MAX_S:
            raise BadRequest(f"seconds: more than 0, and at most {LEASE_MAX_S:.0f}")
        if not isinstance(who, str) or len(who) > WHO_MAX:
            raise BadRequest(f"for: at most {WHO_MAX} characters")
        if isinstance(place, str):
            task = next((task for task in self._buses if place in places(task.bus.options)), None)
            return _nothing() if task is None else self._lend(task, seconds, who or "maintenance")
        name = args.get("bus")
        task = next((task for task in self._buses if task.bus.id == name), None)
        task = task or next((task for task in self._buses if isinstance(name, str) and name in task.health), None)
        if task is None:
            names = ", ".join(task.bus.id for task in self._buses)
            raise BadRequest(f"bus: there is none of this name; there are: {names}")
        return self._lend(task, seconds, who or "maintenance")

    async def _lend(self, task: BusTask, seconds: float, who: str) -> AsyncGenerator[dict[str, Any], None]:
        try:
            await task.lend(who)
        except BusError as error:
            raise GatewayError(str(error), "lamppost status") from error
        try:
            yield {"bus": task.bus.id, "seconds": seconds}
            await asyncio.sleep(seconds)
        finally:
            task.take_back()


async def _nothing() -> AsyncGenerator[dict[str, Any], None]:
    yield {"bus": None}
