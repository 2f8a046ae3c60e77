"""Serves the page: uvicorn's HTTP on a socket of ours, with an end to everything that takes too long."""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HEAD_MAX = 16 * 1024
"""Request line and headers."""
HANDSHAKE_S = 5.0
READ_S = 10.0
"""A whole request arrives within this, however slowly its bytes drip."""
ANSWER_S = 60.0
"""... and is answered and taken within this; the doctor is the slowest."""
KEEP_S = 15
"""A phone asks again within this, or opens a new connection."""
CONNECTIONS_MAX = 64
PEER_MAX = 24
"""... of one address: a browser opens six."""


class Connection(H11Protocol):
    """One connection; it is cut off when its time is over."""

    peers: ClassVar[Counter[str]] = Counter()
    _deadline: asyncio.TimerHandle | None = None
    _peer = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        self.peers[self._peer] += 1
        if len(self.connections) > CONNECTIONS_MAX or self.peers[self._peer] > PEER_MAX:
            transport.abort()
        else:
            self._arm(READ_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._disarm()
        self.peers[self._peer] -= 1
        if not self.peers[self._peer]:
            del self.peers[self._peer]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes do not win time; a whole request does."""
        if self._deadline is None:
            self._arm(READ_S)
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete and self.conn.their_state is h11.DONE:
            self._arm(ANSWER_S)

    def on_response_complete(self) -> None:
        """The answer is on its way; the next request begins with its first byte."""
        self._disarm()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Nobody asked again; what was not taken by now is not waited for."""
        self.transport.abort()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


@dataclass(frozen=True, slots=True)
class Serving:
    """A server at work."""

    server: asyncio.Server
    state: ServerState

    async def close(self) -> None:
        """Take no more, and end what is there."""
        self.server.close()
        for connection in tuple(self.state.connections):
            connection.transport.abort()
        await asyncio.gather(*self.state.tasks, return_exceptions=True)
        await self.server.wait_closed()


async def start(app: ASGIApp, listening: socket.socket, tls: ssl.SSLContext | None) -> Serving:
    """Serve `app` on a bound socket until it is closed."""
    config = uvicorn.Config(
        app, http=Connection, ws="none", lifespan="off", log_config=None, log_level="error",
        access_log=False, proxy_headers=False, server_header=False, date_header=False,
        h11_max_incomplete_event_size=HEAD_MAX, timeout_keep_alive=KEEP_S,
    )  # fmt: skip
    config.load()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # who knocks without TLS fills no journal
    state = ServerState()
    more: dict[str, Any] = {} if tls is None else {"ssl": tls, "ssl_handshake_timeout": HANDSHAKE_S}
    loop = asyncio.get_running_loop()
    served = await loop.create_server(
        lambda: Connection(config, state, {}), sock=listening, backlog=CONNECTIONS_MAX, **more
    )
    return Serving(served, state)
