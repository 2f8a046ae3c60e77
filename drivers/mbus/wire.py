"""What carries the bytes: a serial port, or a level converter behind TCP."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from drivers.errors import BusError, NoAnswer
from drivers.tap import Tap

T = TypeVar("T")

CONNECT_SECONDS = 5.0  # a converter on a slow link; a longer wait would hold up the way back from an outage
BITS_PER_BYTE = 11  # start, 8 data, even parity, stop (EN 13757-2)


class Wire(Protocol):
    """Sends a request and gives what comes back, as `drivers.port.Port` does."""

    async def open(self) -> None:
        """Open it; raises `BusError`."""

    async def close(self) -> None:
        """Close it; safe at any time."""

    async def ask(self, request: bytes, receive: Callable[[bytes], T | None], timeout_ms: float) -> T:
        """Send `request`, give `receive` what arrives until it returns something. Raises `NoAnswer`, `BusError`."""


class Tcp(asyncio.Protocol):
    """A level converter that passes bytes to and from a TCP connection."""

    def __init__(self, host: str, port: int, tap: Tap | None = None) -> None:
        self._host, self._port = host, port
        self._tap = tap or Tap()
        self._transport: asyncio.Transport | None = None
        self._receive: Callable[[bytes], None] | None = None
        self._gone: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Connect; raises `BusError`."""
        loop = asyncio.get_running_loop()
        self._gone = loop.create_future()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._transport, _ = await loop.create_connection(lambda: self, self._host, self._port)
        except (OSError, TimeoutError) as error:
            raise BusError(f"no level converter at {self._host}:{self._port}: {error or 'no answer'}") from error

    async def close(self) -> None:
        """Disconnect."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    async def ask(self, request: bytes, receive: Callable[[bytes], T | None], timeout_ms: float) -> T:
        """As `Wire` has it; bytes that come when nobody asks are thrown away."""
        transport, gone = self._transport, self._gone
        if transport is None or gone is None or gone.done():
            raise BusError(f"{self._host}:{self._port} is not connected")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._receive = _into(answer, receive)
        try:
            if self._tap.listeners:
                self._tap.tell(True, request)
            transport.write(request)
            await asyncio.wait((answer, gone), timeout=timeout_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._receive = None
        if answer.done():
            return answer.result()
        if gone.done():
            raise BusError(f"{self._host}:{self._port} hung up")
        raise NoAnswer(f"no answer within {timeout_ms:g} ms")

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._tap.listeners:
            self._tap.tell(False, data)
        if self._receive is not None:
            self._receive(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Called by asyncio."""
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)


def _into(answer: "asyncio.Future[T]", receive: Callable[[bytes], T | None]) -> Callable[[bytes], None]:
    def take(data: bytes) -> None:
        if answer.done():
            return
        try:
            found = receive(data)
        except Exception as error:  # noqa: BLE001 - a fault of ours must end the call, not vanish in the event loop
            answer.set_exception(error)
            return
        if found is not None:
            answer.set_result(found)

    return take
