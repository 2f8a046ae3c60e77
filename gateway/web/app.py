"""The page's requests, and what answers each."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.errors import FileDamaged, GatewayError, NotAllowed, NotRunning
from gateway.web import secret
from gateway.web.asked import DOCTOR_S, Asked
from gateway.web.door import Door, Session
from gateway.web.secret import Password

FILES = {
    "/app.css": ("app.css", "text/css"),
    "/app.js": ("app.js", "text/javascript"),
    "/words.js": ("words.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
LANGUAGES = ("en", "fr")
SAID_HEADER = "x-lamppost-token"
RECORD_FORM = "application/cose"
"""RFC 9052, 11.3."""

Answer = Callable[[Request], Awaitable[Response]]


class Page:
    """All requests of one process. `secure`: over TLS, so that the cookie never goes without it."""

    def __init__(self, asked: Asked, door: Door, *, folder: Path | None = None, secure: bool = False) -> None:
        self._asked = asked
        self._door = door
        self._folder = folder
        self._password = Password(folder)
        self._hashing = asyncio.Semaphore(1)
        self._secure = secure
        self._cookie = "__Host-lamppost" if secure else "lamppost"
        self._files = {name: _file(name) for name in ("index.html", *(name for name, _ in FILES.values()))}

    def app(self) -> Starlette:
        """The application."""
        get = {
            "/": self.index,
            **dict.fromkeys(FILES, self.file),
            "/healthz": self.healthz,
            "/metrics": self.metrics,
            "/api/session": self.session,
            "/api/now": self._known(self.now),
            "/api/trends": self._known(self.trends),
            "/api/events": self._known(self.events),
            "/api/walk": self._known(self.walk),
            "/record.cose": self._known(self.record),
        }
        post = {
            "/api/login": self.login,
            "/api/logout": self._known(self.logout),
            "/api/doctor": self._known(self.doctor),
            "/api/tick": self._known(self.tick),
            "/api/sign": self._known(self.sign),
        }
        routes = [Route(path, answer, methods=["GET"]) for path, answer in get.items()]
        routes += [Route(path, answer, methods=["POST"]) for path, answer in post.items()]
        return Starlette(routes=routes, exception_handlers={GatewayError: _failed, HTTPException: _refused})

    # What anybody may have ---------------------------------------------------------------------------------------

    async def index(self, request: Request) -> Response:
        """The page: nothing of the gateway is in it."""
        language = _language(request.headers.get("accept-language", ""))
        text = self._files["index.html"].replace(b'lang="en"', f'lang="{language}"'.encode(), 1)
        return Response(text, media_type="text/html", headers={"vary": "accept-language"})

    async def file(self, request: Request) -> Response:
        """A file of the page."""
        name, form = FILES[request.url.path]
        return Response(self._files[name], media_type=form)

    async def healthz(self, _: Request) -> Response:
        """200 when the agent answers and every part of it makes progress."""
        status = await self._asked.status()
        well = not status["stuck"]
        return Response("ok\n" if well else "stuck\n", 200 if well else 503, media_type="text/plain")

    async def metrics(self, request: Request) -> Response:
        """For Prometheus, with the token that `lamppost web token` made."""
        from gateway.reporting import metrics

        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not await asyncio.to_thread(secret.token_fits, self._folder, token.strip()):
            raise HTTPException(401, "the token of `lamppost web token`", {"www-authenticate": "Bearer"})
        try:
            status = await self._asked.status()
        except NotRunning:
            status = None
        return Response(metrics.render(status), media_type=metrics.CONTENT_TYPE)

    # Coming and going --------------------------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        """A session for the one-time code or the password."""
        said, address = await _body(request), request.client.host if request.client else ""
        code, password = said.get("code"), said.get("password")
        if isinstance(code, str):  # 128 bits: nobody guesses it, and nobody else's tries keep it out
            proved = self._door.redeem(code)
        else:
            proved = await self._knows(password, address)
        if not proved:
            raise HTTPException(401, "wrong")
        cookie, session = self._door.enter()
        answer = JSONResponse({"token": session.token})
        answer.set_cookie(self._cookie, cookie, path="/", secure=self._secure, httponly=True, samesite="strict")
        return answer

    async def _knows(self, password: object, address: str) -> bool:
        if wait := self._door.wait(address):
            raise HTTPException(429, "too many tries", {"retry-after": str(math.ceil(wait))})
        if not isinstance(password, str) or not password:
            return False
        async with self._hashing:  # each takes 32 MB
            fits = await asyncio.to_thread(self._password.fits, password)
        if fits:
            self._door.well(address)
        return fits

    async def session(self, request: Request) -> Response:
        """The token of the session that the cookie names; none: how one may log in."""
        session = self._session(request)
        has_password = await asyncio.to_thread(lambda: self._password.is_set)
        return JSONResponse({"token": None if session is None else session.token, "password": has_password})

    async def logout(self, request: Request) -> Response:
        """End the session."""
        self._door.leave(request.cookies.get(self._cookie, ""))
        answer = JSONResponse({})
        answer.delete_cookie(self._cookie, path="/", secure=self._secure, httponly=True, samesite="strict")
        return answer

    # What a session may have -------------------------------------------------------------------------------------

    async def now(self, _: Request) -> Response:
        """The agent's status."""
        return JSONResponse(await self._asked.status())

    async def trends(self, request: Request) -> Response:
        """The last hour of the points, of one device where it is named."""
        device = request.query_params.get("device", "")[:64] or None
        return JSONResponse(await self._asked.call("trends", device=device))

    async def events(self, _: Request) -> Response:
        """What the agent logged lately, and the last commands."""
        events, commands = await asyncio.gather(self._asked.call("events"), self._asked.call("commands"))
        return JSONResponse({"events": events, "commands": commands})

    async def doctor(self, _: Request) -> Response:
        """What the doctor finds now."""
        return JSONResponse(await self._asked.call("doctor", DOCTOR_S))

    async def walk(self, _: Request) -> Response:
        """The commissioning so far."""
        return JSONResponse(await self._asked.call("walk"))

    async def tick(self, request: Request) -> Response:
        """A verdict on a point."""
        said = await _body(request)
        chosen = {name: said.get(name, "") for name in ("point", "verdict", "note")}
        return JSONResponse(await self._asked.call("tick", **chosen))

    async def sign(self, request: Request) -> Response:
        """A signed record of the walk."""
        said = await _body(request)
        return JSONResponse(await self._asked.call("sign", who=said.get("who", ""), note=said.get("note", "")))

    async def record(self, _: Request) -> Response:
        """The last record, for `lamppost verify`."""
        found = await self._asked.call("record")
        name = f"commissioning-{found['hash'][:8]}.cose"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(bytes.fromhex(found["message"]), media_type=RECORD_FORM, headers=headers)

    def _known(self, answer: Answer) -> Answer:
        """`answer` for a session; to change something it must also say its token."""

        async def checked(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                raise HTTPException(401, "log in first")
            if request.method == "POST" and request.headers.get(SAID_HEADER) != session.token:
                raise HTTPException(403, "not the token of this session")
            return await answer(request)

        return checked

    def _session(self, request: Request) -> Session | None:
        return self._door.find(request.cookies.get(self._cookie, ""))


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; other sites' forms cannot send this type."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "JSON")
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "not JSON") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "not an object")
    return found


async def _failed(_: Request, error: Exception) -> Response:
    """What the agent, or its absence, says."""
    gone = isinstance(error, NotRunning | NotAllowed | FileDamaged)
    told = {"error": str(error), "remedy": getattr(error, "remedy", "")}
    return JSONResponse(told, 503 if gone else 409)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    return JSONResponse({"error": error.detail, "remedy": ""}, error.status_code, error.headers)


def _file(name: str) -> bytes:
    return resources.files("gateway.web").joinpath("static", name).read_bytes()


def _language(accepted: str) -> str:
    """The language of ours that comes first in Accept-Language (RFC 9110, 12.5.4); English for none."""
    wanted = []
    for part in accepted[:256].split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            wanted.append((float(weight or 1), tag.partition("-")[0].lower()))
        except ValueError:
            continue
    ours = [(weight, tag) for weight, tag in wanted if tag in LANGUAGES and weight > 0]
    return max(ours, key=lambda one: one[0])[1] if ours else LANGUAGES[0]
