"""The last hour of each point in minutes, from the sealed batches of the store: what a sparkline needs and no more.

By the time since boot, which is known when nobody has told the time; what was before this boot is left out.
"""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buffer.reader import Reader
from ext import GOOD, Value
from gateway.control.server import Args
from gateway.keeping.history import History, Selection

if TYPE_CHECKING:
    from gateway.agent import Agent

MINUTE_MS = 60_000
MINUTES = 60
BATCHES_MAX = 360
"""An hour of a batch each ten seconds; the first look reads no more, however many there are."""
SAMPLES_MAX = 100_000
"""... nor many more samples than these, a third of a second of a desk's CPU; the newest come first."""
CHUNK = 16
"""Batches a step: the event loop gets its turn between two."""


class Trends:
    """Means by minute. Each sealed batch is decoded once; one question at a time."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._lock = asyncio.Lock()
        self._seen = 0
        self._minutes: dict[str, dict[int, list[float]]] = {}

    async def trends(self, args: Args) -> dict[str, Any]:
        """For each point with numbers, the mean of each of the last 60 minutes, None for one without a good value."""
        device = args.get("device")
        async with self._lock:
            now = self._agent.clock.now() // MINUTE_MS
            await self._refresh(now)
            first = now - MINUTES + 1
            return {
                "first_ms": self._agent.clock.utc_ms() - self._agent.clock.now() + first * MINUTE_MS,
                "step_ms": MINUTE_MS,
                "points": {
                    name: [_mean(minutes.get(minute)) for minute in range(first, now + 1)]
                    for name, minutes in self._minutes.items()
                    if device is None or name.partition("/")[0] == device
                },
            }

    async def _refresh(self, now: int) -> None:
        """Decode what was sealed since, the newest first, within the bounds."""
        last = await asyncio.to_thread(_last, self._agent.config.buffer.path)
        seen = self._seen if self._seen <= last else 0  # a new store counts from the beginning
        low, high, samples = max(seen, last - BATCHES_MAX), last, 0
        while high > low and samples < SAMPLES_MAX:
            first = max(low, high - CHUNK) + 1
            samples += await asyncio.to_thread(self._take, first, high)
            high = first - 1
        self._seen = last
        for name, minutes in list(self._minutes.items()):
            self._minutes[name] = {minute: sums for minute, sums in minutes.items() if minute > now - MINUTES}

    def _take(self, first: int, last: int) -> int:
        """Add up the samples of these batches; how many there were. Damaged ones are the doctor's affair."""
        count = 0
        with Reader(self._agent.config.buffer.path) as reader:
            for sample in History(reader, Selection()).sealed(first, last):
                count += 1
                number = _number(sample.value)
                if sample.quality == GOOD and number is not None and sample.boot == self._agent.clock.boot:
                    minutes = self._minutes.setdefault(sample.point, {})
                    sums = minutes.setdefault(sample.boot_ms // MINUTE_MS, [0.0, 0.0])
                    sums[0] += number
                    sums[1] += 1
        return count


def _last(path: Path) -> int:
    with Reader(path) as reader:
        return reader.snapshot().last_number


def _number(value: Value) -> float | None:
    """A finite number; None for what makes no line."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = float(value)
    return number if -1e300 < number < 1e300 else None


def _mean(sums: list[float] | None) -> float | None:
    return None if sums is None else float(f"{sums[0] / sums[1]:.6g}")
