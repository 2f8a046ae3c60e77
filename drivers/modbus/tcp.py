"""A TCP connection, in the clear or in TLS, that TCP itself watches."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from drivers.errors import BusError
from drivers.modbus.conversation import Receiver

MIN_UNACKNOWLEDGED = 10_000  # ms (RFC 5482); TCP's own 100 s (RFC 9293, 3.8.3) would stop all devices that long
KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))  # s, s, probes
MAX_UNSENT = 64 * 1024  # bytes; a host that takes none for so long is noticed by TCP, and until then no more are kept

Context = Callable[[], ssl.SSLContext]


class TcpLink:
    """A connection to `host`; `secure` makes the TLS context at each open, `server_name` is who must answer then."""

    def __init__(
        self, host: str, port: int, timeout: int, connect_timeout: int,
        secure: Context | None = None, server_name: str | None = None,
    ) -> None:  # fmt: skip
        self._host, self._port = host, port
        self._patience = max(MIN_UNACKNOWLEDGED, 3 * timeout)
        self._connect_s = connect_timeout / 1000
        self._secure, self._server_name = secure, server_name or host
        self._transport: asyncio.Transport | None = None
        self._end: _End | None = None

    @property
    def name(self) -> str:
        """The host and port, for people."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    async def open(self, receiver: Receiver) -> None:
        """Connect anew; raises `BusError`."""
        await self.close()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                context = None if self._secure is None else await asyncio.to_thread(self._secure)
                made, self._end = await loop.create_connection(
                    lambda: _End(receiver, self.name), self._host, self._port,
                    ssl=context, server_hostname=self._server_name if context else None,
                )  # fmt: skip
        except OSError as error:
            raise BusError(f"no connection to {self.name}: {_reason(error)}") from error
        except UnicodeError as error:
            raise BusError(f"no connection to {self.name}: no such host name") from error
        self._transport = made
        self._watch_host(made.get_extra_info("socket"))

    async def close(self) -> None:
        """Drop the connection at once."""
        transport, self._transport = self._transport, None
        if transport is not None and self._end is not None:
            self._end.left = True
            transport.abort()

    def send(self, data: bytes) -> None:
        """Send without waiting; raises `BusError`."""
        transport = self._transport
        if transport is None:
            raise BusError(f"not connected to {self.name}")
        if transport.get_write_buffer_size() > MAX_UNSENT:
            raise BusError(f"connection to {self.name} lost: it takes no more")
        transport.write(data)

    def pause(self, seconds: float) -> None:
        """What comes by TCP comes in few pieces."""

    def look(self) -> None:
        """Nothing was held back."""

    def _watch_host(self, connection: socket.socket) -> None:
        """A host that is switched off is noticed by TCP itself, so that silent units need not be counted for it."""
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._patience)


class _End(asyncio.Protocol):
    """Our end of one connection: passes on what asyncio tells."""

    def __init__(self, receiver: Receiver, name: str) -> None:
        self.data_received = receiver.received  # type: ignore[method-assign]  # one call less for each answer
        self._receiver = receiver
        self._name = name
        self.left = False
        """Whether it is our side that hangs up."""

    def connection_lost(self, exc: Exception | None) -> None:
        if self.left:
            return
        why = _reason(exc) if isinstance(exc, OSError) else "closed by the other side"
        self._receiver.lost(BusError(f"connection to {self._name} lost: {why}"))


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError) and not error.errno:
        return "no answer"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
