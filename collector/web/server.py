"""uvicorn's HTTP/1.1, with an end to request heads that drip."""

import asyncio
import socket
import ssl
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from collector.errors import SetupFault

HEAD_MAX = 16 * 1024
HEAD_S = 10.0
"""Request line and headers arrive within this, from the first byte (or the connection) on."""
KEEP_S = 15
CONNECTIONS_MAX = 256
STOP_S = 3


class Connection(H11Protocol):
    """One connection."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Bytes win no time, a whole head does; bodies have a time of their own (`guard`)."""
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._rest()

    def on_response_complete(self) -> None:
        """Keep it open for another request, as uvicorn does."""
        self._rest()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._rest()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEAD_S, self.transport.abort)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def server(app: ASGIApp, context: ssl.SSLContext | None = None) -> uvicorn.Server:
    """A server for `app`, over TLS with a context; `serve(sockets=[...])` runs it until it is told to end."""
    config = uvicorn.Config(
        app, http=Connection, ws="none", lifespan="off", access_log=False, log_config=None, proxy_headers=False,
        server_header=False, date_header=False, h11_max_incomplete_event_size=HEAD_MAX, backlog=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_S, limit_concurrency=CONNECTIONS_MAX, timeout_graceful_shutdown=STOP_S,
    )  # fmt: skip
    config.load()
    config.ssl = context
    return uvicorn.Server(config)


def tls(cert: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and later with a certificate; raises SetupFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise SetupFault(f"{cert}, {key}: {error}") from error
    return context


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there; raises SetupFault."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SetupFault(f"cannot listen on {host} port {port}: {error.strerror}") from error
