"""The HTTPS server that gateways enrol at: three small paths, behind a door that is bounded (`doors`)."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from buffer.enrolment import MAX_REQUEST
from collector.errors import CollectorError, EnrolmentRefused
from collector.identity import doors
from collector.identity.doors import Limits
from collector.identity.enrolment import Enrolment, revoked_certificates

logger = logging.getLogger(__name__)

BODY_S = 10.0  # a request is a kilobyte


def application(enrolment: Enrolment, limits: Limits) -> Starlette:
    """The paths: `/ca.pem`, `/crl.pem`, and `/enroll`, which takes a signed request and gives an answer in JSON."""
    turn = asyncio.Lock()  # the database is for one thread at a time

    async def ca(_: Request) -> Response:
        return PlainTextResponse(enrolment.ca.pem)

    async def crl(request: Request) -> Response:
        if not limits.admit(_address(request)):
            return _too_many()
        async with turn:
            listed = await asyncio.to_thread(revoked_certificates, enrolment.database, _now_ms())
        return PlainTextResponse(await asyncio.to_thread(enrolment.ca.revocations, listed))

    async def enroll(request: Request) -> Response:
        who = _address(request)
        if not limits.admit(who):
            return _too_many()
        message = await _body(request)
        if message is None:
            return PlainTextResponse("a request has at most 8 KiB, and comes at once\n", 413)
        try:
            async with turn:
                answer = await asyncio.to_thread(enrolment.answer, message, _now_ms())
        except EnrolmentRefused as refused:
            level = logging.ERROR if refused.reason == "misuse" else logging.WARNING
            logger.log(level, "%s: refused (%s): %s", who, refused.reason, refused)
            return PlainTextResponse(f"{refused.reason}\n", 403)  # no more than the reason: the rest helps a guesser
        except CollectorError as error:
            logger.error("%s: %s", who, error)
            return PlainTextResponse("later\n", 503, {"Retry-After": "10"})
        logger.info("%s: %s of site %s was given a certificate", who, answer.gateway, answer.site)
        return Response(answer.to_json(), media_type="application/json")

    return Starlette(routes=[Route("/ca.pem", ca), Route("/crl.pem", crl), Route("/enroll", enroll, methods=["POST"])])


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _too_many() -> Response:
    return PlainTextResponse("too many requests\n", 429, {"Retry-After": "60"})


class _Inside(H11Protocol):
    """One connection's HTTP; it says when it is over."""

    over: Callable[[], None]

    def connection_lost(self, exc: Exception | None) -> None:
        self.over()
        super().connection_lost(exc)


class _Door(asyncio.Protocol):
    """A connection before its handshake: let in before TLS costs anything, or not; ended in time whatever it says."""

    def __init__(self, limits: Limits, context: ssl.SSLContext, inside: _Inside) -> None:
        self._limits, self._context, self._inside = limits, context, inside
        self._early = bytearray()
        self._lost = self._made = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP is no less
        self._transport = transport
        self._inside.over = self._over
        if not self._limits.enter(transport, transport.get_extra_info("peername")[0]):
            transport.abort()
            return
        transport.pause_reading()  # until the handshake reads
        loop = asyncio.get_running_loop()
        self._end = loop.call_later(doors.CONNECTION_S, transport.abort)
        self._shaking = loop.create_task(self._shake(transport))

    async def _shake(self, transport: asyncio.Transport) -> None:
        try:
            secure = await asyncio.get_running_loop().start_tls(
                transport, self, self._context, server_side=True, ssl_handshake_timeout=doors.CONNECTION_S
            )
        except OSError:  # whatever the other side said instead of TLS, or that it went
            secure = None
        if secure is None or self._lost:
            transport.abort()
            self._over()
            return
        secure.set_protocol(self._inside)
        self._made = True
        self._inside.connection_made(secure)
        if self._early:
            self._inside.data_received(bytes(self._early))

    def data_received(self, data: bytes) -> None:
        self._early += data  # what came with the end of the handshake: one read of the socket at most

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._made:  # told just after the handshake, on its way here when the other took over
            self._inside.connection_lost(exc)
        else:
            self._over()

    def _over(self) -> None:
        if self._limits.leave(self._transport):
            self._end.cancel()


async def _body(request: Request) -> bytes | None:
    data = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                data += part
                if len(data) > MAX_REQUEST:
                    return None
    except (TimeoutError, ClientDisconnect):
        return None
    return data


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def server(enrolment: Enrolment, host: str, port: int, cert: Path, key: Path) -> uvicorn.Server:
    """A server that is not started; its TLS is 1.2 or newer."""
    limits = Limits()
    context = _context(cert, key)

    def door(**more: Any) -> _Door:  # noqa: ANN401 - uvicorn's own
        return _Door(limits, context, _Inside(**more))

    config = uvicorn.Config(
        application(enrolment, limits), host=host, port=port, timeout_keep_alive=5, log_level="warning",
        h11_max_incomplete_event_size=8192, http=door, ws="none", lifespan="off", access_log=False,  # type: ignore[arg-type]
        log_config=None, server_header=False, date_header=True, proxy_headers=False,
        headers=[("Connection", "close")],  # a second request behind the first would be nobody's that is honest
    )  # fmt: skip
    return uvicorn.Server(config)


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # it costs the server most
    context.load_cert_chain(cert, key)
    return context
