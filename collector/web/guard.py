"""What stands before every request: for whom, from where, how large, how slow; and what every answer says.

The rules are those of the gateway's page (docs/decisions/0015-web.md); neither package may import the other.
"""

import asyncio
import contextlib
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.orders.commands import MAX_MESSAGE_BYTES

BODY_MAX = MAX_MESSAGE_BYTES
"""A signed command is the largest thing that anybody sends."""
BODY_S, TAKE_S = 10.0, 30.0
"""A body arrives within the first; whoever takes nothing of an answer for the second is gone."""
ALWAYS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
HSTS = "max-age=31536000"


class Guard:
    """Lets through to `app` what is for one of `origins` (scheme://host[:port]) and changes things from there only."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = {origin.lower() for origin in origins}
        self._hosts = {origin.partition("://")[2]: origin.partition("://")[0] for origin in sorted(self._origins)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        secure = self._hosts.get(headers.get("host", "").lower()) == "https"

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    answer.setdefault(name, value)
                if secure:
                    answer["strict-transport-security"] = HSTS
            async with asyncio.timeout(TAKE_S):
                await send(message)

        refusal = self._refusal(scope["method"], headers)
        if refusal is None:
            with contextlib.suppress(
                TimeoutError, ClientDisconnect
            ):  # nobody takes the answer: the connection ends with it
                await self._app(scope, _bounded(receive), told)
        else:
            status, text = refusal
            await PlainTextResponse(f"{text}\n", status, headers={"connection": "close"})(scope, receive, told)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host, length = headers.getlist("host"), headers.get("content-length", "0")
        if len(host) != 1 or host[0].lower() not in self._hosts:  # a name that somebody else's DNS points here
            return 421, "this is not the host that was asked for"
        if method not in ("GET", "HEAD", "POST"):
            return 405, "no such method"
        if method == "POST" and not self._ours(headers):
            return 403, "from another site"
        if not (length.isascii() and length.isdigit()) or len(length) > 9 or int(length) > BODY_MAX:
            return 413, "too large"
        return None

    def _ours(self, headers: Headers) -> bool:
        """Browsers say with each POST where it comes from (Fetch standard, 3.2)."""
        site = headers.get("sec-fetch-site", "same-origin")
        return headers.get("origin", "").lower() in self._origins and site == "same-origin"


def _bounded(receive: Receive) -> Receive:
    """`receive` with an end to how much and how long: bodies in chunks do not say how large they are."""
    left = BODY_MAX
    ends = asyncio.get_running_loop().time() + BODY_S
    done = False

    async def bounded() -> Message:
        nonlocal left, done
        if done:
            return await receive()  # whether the other side went away
        try:
            async with asyncio.timeout_at(ends):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "too slow") from None
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, "too large")
        done = not message.get("more_body", False)
        return message

    return bounded
