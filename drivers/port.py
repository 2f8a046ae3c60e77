"""A serial port that never blocks the event loop: one owner, who listens, or asks and waits for an answer."""

import asyncio
import errno
import fcntl
import os
import select
import termios
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeVar

import serial
from pydantic import BeforeValidator, Field
from serial.rs485 import RS485Settings

from config.units import SECOND, duration_between
from drivers.base import Options
from drivers.errors import BusError, NoAnswer
from drivers.tap import Tap
from drivers.uart import LineCounts, line_counts

T = TypeVar("T")

READ_SIZE = 4096  # the kernel's buffer for a tty: one call empties it
MAX_BAUD = 4_000_000  # the fastest rate that Linux names (B4000000)
MAX_PATH = 4095  # PATH_MAX of Linux, without its NUL

# A tty that is hung up is readable and gives nothing, for ever; one that is up can do so once, after a framing error.
EMPTY_READS = 3

_MEANINGS = {  # where the kernel's own words lead nobody anywhere
    errno.EWOULDBLOCK: "another program has it open",  # flock(2)
    errno.EBUSY: "another program has it open",  # tty_ioctl(4), TIOCEXCL
    errno.ENOTTY: "is no serial port",
    errno.EACCES: "permission denied; who runs this must be in the group of the port, mostly dialout",
}

_descriptors: dict[str, int] = {}
"""The descriptors of the ports that this process has open, by path."""

_PARITIES = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}


Delay = Annotated[int, BeforeValidator(duration_between(0, SECOND))]


class Rs485(Options):
    """How the port's driver switches an RS-485 transceiver by its RTS line (TIOCSRS485), where it can."""

    rts_on_send: Annotated[bool, Field(strict=True)] = True
    rts_after_send: Annotated[bool, Field(strict=True)] = False
    delay_before: Delay = 0
    delay_after: Delay = 0
    hear_own: Annotated[bool, Field(strict=True)] = False
    """The receiver stays on while sending."""


class SerialBus(Options):
    """`[buses.x]` of a driver on a serial port: which port, and how its bytes are sent.

    Name a port by its link in /dev/serial/by-id: it is found again there after it was plugged in elsewhere.
    """

    port: str = Field(min_length=1, max_length=MAX_PATH, pattern="^[^\x00]+$")
    baud: int = Field(default=9600, gt=0, le=MAX_BAUD)
    data_bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    rs485: Rs485 | None = None

    @property
    def byte_ms(self) -> float:
        """How long one byte is on the line, in ms."""
        bits = 1 + self.data_bits + (self.parity != "none") + self.stop_bits
        return bits * 1000 / self.baud


class Port:
    """One serial port, owned by this process alone while it is open. One task uses it, one call at a time."""

    def __init__(self, options: SerialBus, tap: Tap | None = None) -> None:
        self._options = options
        self._tap = tap or Tap()
        self._path = options.port
        self._serial: serial.Serial | None = None
        self._attached: tuple[int, _Reader] | None = None
        self._resuming: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Open it, in a thread since the kernel may take its time; raises `BusError`."""
        opening = asyncio.get_running_loop().run_in_executor(None, self._open)
        try:
            self._serial = await asyncio.shield(opening)
            _descriptors[self._path] = self._serial.fileno()
        except asyncio.CancelledError:
            opening.add_done_callback(_discard)
            raise

    async def close(self) -> None:
        """Close it; safe at any time. What was not sent yet is thrown away: a stopped line must not hold us."""
        port, self._serial = self._serial, None
        if self._resuming is not None:
            self._resuming.cancel()
            self._resuming = None
        if self._attached is not None:
            asyncio.get_running_loop().remove_reader(self._attached[0])
            self._attached = None
        if port is not None:
            _descriptors.pop(self._path, None)
            await asyncio.to_thread(_close, port)

    async def listen(self, receive: Callable[[bytes], None]) -> None:
        """Give `receive` what arrives until cancelled; raises `BusError` when the port is closed or gone."""
        await self._receive(receive, self._forever)

    async def ask(
        self, request: bytes, receive: Callable[[bytes], T | None], timeout_ms: float, *, then_baud: int | None = None
    ) -> T:
        """Send `request`, then give `receive` what arrives until it returns something, which is the answer.

        Bytes that came before the request belong to nobody and are thrown away. `timeout_ms` counts from the last byte
        sent, and is a bound on the whole answer, which comes at the rate `then_baud` where that is given. Raises
        `NoAnswer`, `BusError`, and what `receive` raises.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def take(data: bytes) -> None:
            found = None if answer.done() else receive(data)
            if found is not None:
                answer.set_result(found)

        async def work() -> T:
            await self.send(request)
            if then_baud is not None:
                await self.set_baud(then_baud)
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    return await answer
            except TimeoutError:
                raise NoAnswer(f"no answer within {timeout_ms:g} ms") from None

        await self.forget()
        return await self._receive(take, work)

    def attach(self, receive: Callable[[bytes], None], lost: Callable[[BusError], None]) -> None:
        """Give `receive` what arrives from now until the port is closed; `lost` is told once, when the port goes.

        In place of `listen` and `ask`; a question then costs two system calls. Raises `BusError`.
        """
        loop, descriptor = asyncio.get_running_loop(), self._open_port().fileno()
        gone: asyncio.Future[None] = loop.create_future()

        def went(_: object) -> None:
            loop.remove_reader(descriptor)
            error = gone.exception()
            lost(error if isinstance(error, BusError) else BusError(f"{self._path}: {error!r}"))

        gone.add_done_callback(went)
        self._attached = descriptor, _Reader(self._path, descriptor, self._tap, receive, gone)
        loop.add_reader(*self._attached)

    def pause(self, seconds: float) -> None:
        """Let what arrives gather for so long, and take it then: each look at a slow line costs more than it finds."""
        if self._attached is None or self._resuming is not None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._attached[0])
        self._resuming = loop.call_later(seconds, self._resume)

    def look(self) -> None:
        """End a pause now."""
        if self._resuming is not None:
            self._resuming.cancel()
            self._resume()

    def _resume(self) -> None:
        self._resuming = None
        if self._attached is None:
            return
        descriptor, reader = self._attached
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        if waiting.poll(0):  # a tty that has nothing reads as one that is hung up
            reader()
        if self._attached is not None and self._resuming is None and not reader.ended:
            asyncio.get_running_loop().add_reader(descriptor, reader)

    def send_now(self, data: bytes) -> None:
        """Hand all of it to the kernel without waiting, in place of what came before; raises `BusError`.

        A port that does not take a whole frame has stopped: nobody sends faster than the line for long.
        """
        port = self._open_port()
        try:
            termios.tcflush(port.fileno(), termios.TCIFLUSH)
            sent = os.write(port.fileno(), data)
        except BlockingIOError:
            sent = 0
        except (OSError, termios.error) as error:
            raise self._gone(error) from error
        if sent != len(data):
            raise BusError(f"{self._path} takes no bytes")

    async def send(self, data: bytes) -> None:
        """Send all of it and wait until its last bit is on the line, by the baud rate; raises `BusError`."""
        loop, port, rest = asyncio.get_running_loop(), self._open_port(), memoryview(data)
        if self._tap.listeners:
            self._tap.tell(True, data)
        started = loop.time()
        while rest:
            try:
                rest = rest[os.write(port.fileno(), rest) :]
            except BlockingIOError:
                await self._writable(port.fileno())
            except OSError as error:
                raise self._gone(error) from error
        await asyncio.sleep(max(0.0, started + len(data) * self.byte_ms / 1000 - loop.time()))

    async def forget(self) -> None:
        """Throw away what has arrived and was not asked for; raises `BusError`."""
        port = self._open_port()
        try:
            termios.tcflush(port.fileno(), termios.TCIFLUSH)
        except (OSError, termios.error) as error:
            raise self._gone(error) from error

    async def set_baud(self, baud: int) -> None:
        """Go on at another rate (the baud switch of IEC 62056-21); raises `BusError`."""
        port = self._open_port()
        if baud == port.baudrate:
            return
        try:
            await asyncio.to_thread(setattr, port, "baudrate", baud)
        except (OSError, ValueError, termios.error) as error:
            raise self._gone(error) from error

    @property
    def byte_ms(self) -> float:
        """How long one byte is on the line at the rate in use, in ms."""
        baud = self._options.baud if self._serial is None else self._serial.baudrate
        return self._options.byte_ms * self._options.baud / baud

    async def _receive(self, receive: Callable[[bytes], None], work: Callable[[], Awaitable[T]]) -> T:
        """Do `work` while `receive` gets what arrives; raises `BusError` when the port goes meanwhile."""
        loop, descriptor = asyncio.get_running_loop(), self._open_port().fileno()
        gone: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, _Reader(self._path, descriptor, self._tap, receive, gone))
        working = asyncio.ensure_future(work())
        try:
            await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                gone.result()
            return await working
        finally:
            loop.remove_reader(descriptor)
            working.cancel()
            if gone.done():
                gone.exception()  # told already, or too late to matter
            await asyncio.wait((working,))

    async def _forever(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def _writable(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(descriptor, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_writer(descriptor)

    def _open_port(self) -> serial.Serial:
        if self._serial is None:
            raise BusError(f"{self._path} is not open")
        return self._serial

    def _open(self) -> serial.Serial:
        options = self._options
        try:
            port = serial.Serial(
                options.port,
                options.baud,
                bytesize=options.data_bits,
                parity=_PARITIES[options.parity],
                stopbits=options.stop_bits,
                timeout=0,
                exclusive=True,
            )
            fcntl.ioctl(port.fileno(), termios.TIOCEXCL)  # most other programs know nothing of locks
        except (OSError, ValueError, termios.error) as error:
            raise BusError(f"cannot open {self._path}: {_reason(error)}") from error
        if options.rs485 is not None:
            self._switch(port, options.rs485)
        return port

    def _switch(self, port: serial.Serial, wanted: Rs485) -> None:
        try:
            port.rs485_mode = RS485Settings(
                rts_level_for_tx=wanted.rts_on_send,
                rts_level_for_rx=wanted.rts_after_send,
                loopback=wanted.hear_own,
                delay_before_tx=(wanted.delay_before + 0.5) / 1000,
                delay_before_rx=(wanted.delay_after + 0.5) / 1000,
            )
        except (OSError, ValueError) as error:
            port.close()
            raise BusError(
                f"{self._path} has no RS-485 mode; most USB adapters switch by themselves: leave rs485 out"
            ) from error

    def _gone(self, error: Exception) -> BusError:
        return BusError(f"{self._path} is gone: {_reason(error)}")


def counts(path: str) -> LineCounts | None:
    """What the hardware of a port that this process has open counted; None where it is not open, or counts nothing."""
    descriptor = _descriptors.get(path)
    return None if descriptor is None else line_counts(descriptor)


class _Reader:
    """Reads once each time the descriptor is readable; ends `gone` with what went wrong."""

    def __init__(
        self, path: str, descriptor: int, tap: Tap, receive: Callable[[bytes], None], gone: asyncio.Future[None]
    ) -> None:
        self._path = path
        self._tap = tap
        self._descriptor = descriptor
        self._receive = receive
        self._gone = gone
        self._empty = 0

    @property
    def ended(self) -> bool:
        """Whether the port is gone."""
        return self._gone.done()

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
        if self._tap.listeners:
            self._tap.tell(False, data)
        try:
            self._receive(data)
        except Exception as error:  # noqa: BLE001 - a fault of ours must end the call, not vanish in the event loop
            self._gone.set_exception(error)


def _reason(error: Exception) -> str:
    number = _number(error) or _number(error.__context__)  # pyserial hides that of termios
    return _MEANINGS.get(number) or os.strerror(number).lower() if number else str(error)


def _number(error: BaseException | None) -> int:
    number = error.errno if isinstance(error, OSError) else error.args[0] if error and error.args else None
    return number if isinstance(number, int) else 0


def _close(port: serial.Serial) -> None:
    try:
        termios.tcflush(port.fileno(), termios.TCOFLUSH)
        fcntl.ioctl(port.fileno(), termios.TIOCNXCL)
    except (OSError, termios.error):  # unplugged: there is nothing to throw away
        pass
    finally:
        port.close()


def _discard(opening: asyncio.Future[serial.Serial]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
