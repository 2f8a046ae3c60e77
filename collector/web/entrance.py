"""Logging in and out, and what a request may have: nothing without a session, and no act without its token."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from collector.web.door import Door, Session
from collector.web.proxy import Proxy
from collector.web.users import NAME, Role, User, Users

TOKEN_HEADER = "x-lamppost-token"  # noqa: S105 - the name of it
HASHING = 2
"""Passwords tried at once: 32 MB each."""

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]


class Entrance:
    """`secure`: the page is reached over TLS, so that the cookie never goes without it."""

    def __init__(self, door: Door, users: Users, proxy: Proxy | None, *, secure: bool) -> None:
        self._door, self._users, self._proxy, self._secure = door, users, proxy, secure
        self._cookie = "__Host-lamppost-collector" if secure else "lamppost-collector"
        self._hashing = asyncio.Semaphore(HASHING)

    async def login(self, request: Request) -> Response:
        """A session, for a password or for whom the proxy vouches for."""
        said = await body(request)
        name, password = said.get("name"), said.get("password")
        vouched = None if self._proxy is None else self._proxy.vouches(request)
        if vouched is not None:
            name = vouched
        elif not await self._proved(request, name, password):
            raise HTTPException(401, "wrong")
        user = await self._user(str(name))
        if user is None:
            raise HTTPException(403, "nobody here knows this name")
        cookie, session = self._door.enter(str(name), user, vouched=vouched is not None)
        answer = JSONResponse(_told(session))
        answer.set_cookie(self._cookie, cookie, path="/", secure=self._secure, httponly=True, samesite="strict")
        return answer

    async def logout(self, request: Request) -> Response:
        """End the session."""
        self._door.leave(request.cookies.get(self._cookie, ""))
        answer = JSONResponse({})
        answer.delete_cookie(self._cookie, path="/", secure=self._secure, httponly=True, samesite="strict")
        return answer

    async def session(self, request: Request) -> Response:
        """Who the session is of, and its token; without one, whether a proxy vouches for somebody."""
        session = await self.find(request)
        if session is not None:
            return JSONResponse(_told(session))
        vouched = None if self._proxy is None else self._proxy.vouches(request)
        return JSONResponse({"name": None, "role": None, "token": None, "vouched": vouched is not None})

    def known(self, answer: Answer, role: Role = Role.VIEWER) -> Answer:
        """`answer` for a session of this role or a higher one; to change something it must say its token."""

        async def checked(request: Request) -> Response:
            session = await self.find(request)
            if session is None:
                raise HTTPException(401, "log in first")
            if request.method == "POST" and request.headers.get(TOKEN_HEADER) != session.token:
                raise HTTPException(403, "not the token of this session")
            if role is Role.OPERATOR and session.user.role is not Role.OPERATOR:
                raise HTTPException(403, "only operators may do this")
            request.state.session = session
            return await answer(request)

        return checked

    async def find(self, request: Request) -> Session | None:
        """The session of a request; it ends when its user, or what the proxy says, is not as it was."""
        cookie = request.cookies.get(self._cookie, "")
        session = self._door.find(cookie)
        if session is None:
            return None
        vouched = self._proxy.vouches(request) if session.vouched and self._proxy is not None else None
        if await self._user(session.name) != session.user or (session.vouched and vouched != session.name):
            self._door.leave(cookie)
            return None
        return session

    async def _proved(self, request: Request, name: object, password: object) -> bool:
        if not isinstance(name, str) or not isinstance(password, str) or not password or not NAME.fullmatch(name):
            return False
        address = request.client.host if request.client is not None else ""
        if wait := self._door.knock(address, name):
            raise HTTPException(429, "too many tries", {"retry-after": str(math.ceil(wait))})
        async with self._hashing:
            fits = await asyncio.to_thread(self._users.fits, name, password)
        if fits:
            self._door.right(address, name)
        return fits

    async def _user(self, name: str) -> User | None:
        known = await asyncio.to_thread(self._users.all)
        return known.get(name)


async def body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; the forms of other sites cannot send this type."""
    _of_type(request, "application/json")
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "not JSON") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "not an object")
    return found


async def message(request: Request) -> bytes:
    """The signed message that was sent."""
    _of_type(request, "application/cose")
    return await request.body()


def _of_type(request: Request, wanted: str) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != wanted:
        raise HTTPException(415, wanted)


def _told(session: Session) -> dict[str, Any]:
    return {"name": session.name, "role": session.user.role, "token": session.token, "vouched": session.vouched}
