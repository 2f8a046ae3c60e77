"""The HTTPS server that gateways enrol at: three small paths, bounded in size, rate and time."""

import asyncio
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from buffer.enrolment import MAX_REQUEST
from collector.enrolment import Enrolment, revoked_certificates
from collector.errors import CollectorError, EnrolmentRefused

logger = logging.getLogger(__name__)

MAX_EACH = 8  # of these from one address: boxes behind it that enrol at the same moment
CONNECTION_S = 30.0  # for all that a connection is for: a request and its answer take seconds over the worst link
MAX_CLIENTS = 64  # connections at once; each costs a thread's turn of some milliseconds
BODY_S = 10.0  # a request is a kilobyte
PER_MINUTE = 20  # requests of one address; a site behind one address enrols a box every three seconds
ALL_PER_SECOND = 50  # two signatures are verified and one is made for each: a quarter of a small core
MAX_ADDRESSES = 10_000  # that are remembered; the oldest are forgotten


@dataclass(slots=True)
class _Bucket:
    """`rate` tokens a second, at most `most` saved up."""

    rate: float
    most: float
    left: float
    at: float

    def take(self, now: float) -> bool:
        self.left = min(self.most, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class Limits:
    """Who may ask now; times are those of a monotonic clock in seconds."""

    clock: Callable[[], float] = time.monotonic
    _all: _Bucket = field(default_factory=lambda: _Bucket(ALL_PER_SECOND, ALL_PER_SECOND, ALL_PER_SECOND, 0.0))
    _each: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def admit(self, address: str) -> bool:
        """Whether one more request of this address is heard."""
        now = self.clock()
        bucket = self._each.pop(address, None) or _Bucket(PER_MINUTE / 60, PER_MINUTE, PER_MINUTE, now)
        self._each[address] = bucket
        if len(self._each) > MAX_ADDRESSES:
            self._each.popitem(last=False)
        return bucket.take(now) and self._all.take(now)


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


class _Brief(H11Protocol):
    """A connection that ends in time, whatever comes over it: uvicorn itself waits for ever for a first request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._end = self.loop.call_later(CONNECTION_S, transport.abort)
        others = [one.client for one in self.connections if isinstance(one, _Brief)]
        if sum(one is not None and self.client is not None and one[0] == self.client[0] for one in others) > MAX_EACH:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        super().connection_lost(exc)


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
    config = uvicorn.Config(
        application(enrolment, Limits()), host=host, port=port, ssl_certfile=str(cert), ssl_keyfile=str(key),
        ssl_version=ssl.PROTOCOL_TLS_SERVER, limit_concurrency=MAX_CLIENTS, timeout_keep_alive=5,
        h11_max_incomplete_event_size=8192, http=_Brief, ws="none", lifespan="off", access_log=False,
        log_config=None, server_header=False, date_header=True, proxy_headers=False,
    )  # fmt: skip
    return uvicorn.Server(config)
