"""What drivers share whose bus is a serial port of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar, cast

from drivers.base import BusSetup, Driver, Options
from drivers.port import Port, SerialBus

# A device sends a line or frame in one go: what follows silence within one is another. Longer than the latency timer of
# USB adapters (16 ms) and than what a loaded machine adds.
MAX_SILENCE_S = 1.0


class PortDriver(Driver):
    """A driver that owns a serial port; the base beside the one that says whether it asks or listens."""

    BusOptions: ClassVar[type[Options]] = SerialBus

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._port = Port(cast("SerialBus", setup.options), self.tap)

    async def open(self) -> None:
        """Open the port; raises `BusError`."""
        await self._port.open()

    async def close(self) -> None:
        """Close the port."""
        await self._port.close()


def in_one_go(take: Callable[[bytes], None], forget: Callable[[], None]) -> Callable[[bytes], None]:
    """Gives what arrives to `take`; calls `forget` before what comes after silence: the begun piece has no end."""
    loop = asyncio.get_running_loop()
    last = loop.time()

    def receive(data: bytes) -> None:
        nonlocal last
        now = loop.time()
        if now - last > MAX_SILENCE_S:
            forget()
        last = now
        take(data)

    return receive


class Turns:
    """Questions one after the other: an answer that came too late is not taken for that to the next question."""

    def __init__(self, timeout_ms: float) -> None:
        self._timeout_ms = timeout_ms
        self._late = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Ask within; after one that did not end well, the line is left alone first for as long as an answer takes."""
        if self._late:
            await asyncio.sleep(self._timeout_ms / 1000)
        self._late = True
        yield
        self._late = False
