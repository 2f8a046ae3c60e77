"""A serial port that never blocks the event loop."""

import asyncio
import os
from collections.abc import Callable

import serial

from drivers.errors import BusError

READ_SIZE = 4096  # the kernel's buffer for a tty: one call empties it

# A tty that is hung up is readable and gives nothing, for ever; one that is up can do so once, after a framing error.
EMPTY_READS = 3


class Port:
    """One serial port, 8N1, owned by this process alone while it is open."""

    def __init__(self, path: str, baud: int) -> None:
        self._path = path
        self._baud = baud
        self._serial: serial.Serial | None = None

    async def open(self) -> None:
        """Open it, in a thread since the kernel may take its time; raises `BusError`."""
        opening = asyncio.get_running_loop().run_in_executor(None, self._open)
        try:
            self._serial = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_discard)
            raise

    async def close(self) -> None:
        """Close it; safe at any time."""
        port, self._serial = self._serial, None
        if port is not None:
            await asyncio.to_thread(port.close)

    async def listen(self, receive: Callable[[bytes], None]) -> None:
        """Give `receive` what arrives until cancelled; raises `BusError` when the port is closed or gone."""
        if self._serial is None:
            raise BusError(f"{self._path} is not open")
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        descriptor = self._serial.fileno()
        loop.add_reader(descriptor, _Reader(self._path, descriptor, receive, gone))
        try:
            await gone
        finally:
            loop.remove_reader(descriptor)

    def _open(self) -> serial.Serial:
        try:
            return serial.Serial(self._path, self._baud, timeout=0, exclusive=True)
        except (OSError, ValueError) as error:
            raise BusError(f"cannot open {self._path}: {_reason(error)}") from error


class _Reader:
    """Reads once each time the descriptor is readable; ends `gone` with what went wrong."""

    def __init__(
        self, path: str, descriptor: int, receive: Callable[[bytes], None], gone: asyncio.Future[None]
    ) -> None:
        self._path = path
        self._descriptor = descriptor
        self._receive = receive
        self._gone = gone
        self._empty = 0

    def __call__(self) -> None:
        if self._gone.done():
            return
        try:
            data = os.read(self._descriptor, READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._gone.set_exception(BusError(f"{self._path} is gone: {_reason(error)}"))
            return
        self._empty = 0 if data else self._empty + 1
        if self._empty == EMPTY_READS:
            self._gone.set_exception(BusError(f"{self._path} is gone: hung up"))
        elif data:
            self._give(data)

    def _give(self, data: bytes) -> None:
        try:
            self._receive(data)
        except Exception as error:  # noqa: BLE001 - a fault of ours must end `listen`, not vanish in the event loop
            self._gone.set_exception(error)


def _reason(error: OSError | ValueError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else str(error)


def _discard(opening: asyncio.Future[serial.Serial]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
