"""What stands before every page: whom a request is for, where it comes from, how large it is, and what its answer says.

Host: a name that an attacker's DNS points here (rebinding) is not ours. Origin: another site's page changes nothing.
"""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_MAX = 8192
"""A login, or a verdict with its note."""
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}


class Guard:
    """Lets through to `app` what comes for one of `origins` (scheme://host[:port]), and from none but these."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.lower() for origin in origins)
        self._hosts = frozenset(origin.partition("://")[2] for origin in self._origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return

        async def armed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refusal(scope)
        if refused is not None:
            await refused(scope, receive, armed)
            return
        await self._app(scope, _bounded(receive), armed)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return _said(421, "this is not the host that you asked for")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return _said(405, "no such method here")
        if scope["method"] == "POST" and not self._ours(headers):
            return _said(403, "from another site")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and int(length[:10]) <= BODY_MAX):
            return _said(413, "too large")
        return None

    def _ours(self, headers: Headers) -> bool:
        """Whether a page of ours sends it: browsers say where from with every POST (Fetch standard, 3.2)."""
        origin = headers.get("origin", "").lower()
        return origin in self._origins and headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _bounded(receive: Receive) -> Receive:
    """`receive`, which raises once more than `BODY_MAX` came: a body in chunks does not say how long it is."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_MAX:
            raise HTTPException(413, "too large")
        return message

    return bounded


def _said(status: int, text: str) -> PlainTextResponse:
    return PlainTextResponse(text + "\n", status, headers={"connection": "close"})
