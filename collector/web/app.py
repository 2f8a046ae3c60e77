"""The page's requests, and what answers each."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from buffer.errors import BufferFault
from collector.broker import Address
from collector.errors import CollectorError, DatabaseBroken, DatabaseBusy, DatabaseMissing, FileFault
from collector.export.places import collection
from collector.export.reading import Selection
from collector.tables.database import Database, Target
from collector.web import acts, overview
from collector.web.acts import Acts
from collector.web.chart import SPAN_MAX_MS, chart
from collector.web.door import Door
from collector.web.download import FORMS, Download, sent
from collector.web.entrance import Entrance
from collector.web.looks import Looks, Proofs
from collector.web.proxy import Proxy
from collector.web.users import Role, Users

SCRIPTS = ("app", "acts", "base", "point", "views", "words", "uplot")
FILES = {
    **{f"/{name}.js": "text/javascript" for name in SCRIPTS},
    "/app.css": "text/css",
    "/uplot.css": "text/css",
    "/uplot.txt": "text/plain",
    "/icon.svg": "image/svg+xml",
}
LANGUAGES = ("en", "fr")
FRESH_S = 1.0
"""The overview is told again for so long: any number of screens cost the database one look a second."""
DOWNLOADS = 2
NAME_MAX = 256
LATEST_MS = 1 << 52


@dataclass(frozen=True, slots=True)
class Settings:
    """What the page is made of. `silent_ms`: after this a gateway that delivers nothing counts as offline."""

    database: Target
    users: Path
    silent_ms: int
    broker: Address | None = None
    proxy: Proxy | None = None
    secure: bool = False


class Page:
    """All requests of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.door = Door(time.monotonic)
        self._entrance = Entrance(self.door, Users(settings.users), settings.proxy, secure=settings.secure)
        self._looks = Looks(settings.database)
        self._proofs = Proofs(self._looks, _now_ms)
        self._acts = Acts(self._looks, settings.database, settings.broker, self._proofs, _now_ms)
        self._files = {path: _file(path[1:]) for path in FILES} | {"/": _file("index.html")}
        self._shared: tuple[float, list[dict[str, Any]]] = (float("-inf"), [])
        self._sharing = asyncio.Lock()
        self._downloads = 0

    def app(self) -> Starlette:
        """The application."""
        door, known = self._entrance, self._entrance.known
        look = {
            "gateways": self.gateways, "gateway": self.gateway, "chart": self.chart, "alarms": self.alarms,
            "commands": self.commands, "public": self.public,
        }  # fmt: skip
        act = {
            "acknowledge": self._acts.acknowledge, "check": self._acts.check, "relay": self._acts.relay,
            "prove": self._acts.prove,
        }  # fmt: skip
        routes = [
            Route("/", self.index), *(Route(path, self.file) for path in FILES), Route("/healthz", self.healthz),
            Route("/api/session", door.session), Route("/api/login", door.login, methods=["POST"]),
            Route("/api/logout", known(door.logout), methods=["POST"]),
            *(Route(f"/api/{name}", known(answer)) for name, answer in look.items()),
            *(Route(f"/api/{name}", known(answer, Role.OPERATOR), methods=["POST"]) for name, answer in act.items()),
            *(Route(f"/samples.{form}", known(self.samples)) for form in FORMS),
            Route("/places.geojson", known(self.places)),
        ]  # fmt: skip
        handlers = {CollectorError: _failed, BufferFault: _failed, HTTPException: _refused}
        return Starlette(routes=routes, exception_handlers=handlers)

    def close(self) -> None:
        """Close the connections to the database."""
        self._looks.close()

    # What anybody may have ---------------------------------------------------------------------------------------

    async def index(self, request: Request) -> Response:
        """The page: nothing of the city is in it."""
        language = _language(request.headers.get("accept-language", ""))
        text = self._files["/"].replace(b'lang="en"', f'lang="{language}"'.encode(), 1)
        return Response(text, media_type="text/html", headers={"vary": "accept-language"})

    async def file(self, request: Request) -> Response:
        """A file of the page."""
        return Response(self._files[request.url.path], media_type=FILES[request.url.path])

    async def healthz(self, _: Request) -> Response:
        """200 when the database answers."""
        await self._looks.look(_answers)
        return Response("ok\n", media_type="text/plain")

    # What a session may have -------------------------------------------------------------------------------------

    async def gateways(self, _: Request) -> Response:
        """All gateways."""
        async with self._sharing:
            if time.monotonic() - self._shared[0] >= FRESH_S:
                self._shared = time.monotonic(), await self._looks.look(overview.gateways)
        proofs = {name: _proof(told) for name, told in self._proofs.last.items()}
        return JSONResponse(
            {"now_ms": _now_ms(), "silent_ms": self._settings.silent_ms, "gateways": self._shared[1],
             "proofs": proofs, "proving": self._proofs.running, "relays": self._acts.relays}
        )  # fmt: skip

    async def gateway(self, request: Request) -> Response:
        """One gateway with its devices."""
        gateway = _text(request, "gateway")
        found = await self._looks.look(_gateway, gateway)
        if found is None:
            raise HTTPException(404, "no such gateway")
        return JSONResponse({**found, "proof": self._proofs.last.get(gateway), "now_ms": _now_ms()})

    async def chart(self, request: Request) -> Response:
        """A point over time."""
        since, until = _time(request, "from"), _time(request, "to")
        if not 0 < until - since <= SPAN_MAX_MS:
            raise HTTPException(400, "from is before to")
        point = _text(request, "device"), _text(request, "point")
        return JSONResponse(await self._looks.look(chart, _text(request, "gateway"), point, since, until))

    async def alarms(self, _: Request) -> Response:
        """Open and past alarms."""
        return JSONResponse({"alarms": await self._looks.look(overview.alarms)})

    async def commands(self, _: Request) -> Response:
        """Relayed commands and their results."""
        found = await self._looks.look(acts.commands_and_results, None)
        return JSONResponse({"commands": found, "relays": self._acts.relays})

    async def public(self, _: Request) -> Response:
        """The points that are open data."""
        return JSONResponse({"points": await self._looks.look(overview.public_points)})

    async def places(self, _: Request) -> Response:
        """Where devices with open data stand."""
        found = await self._looks.look(collection)
        return JSONResponse(found, media_type="application/geo+json", headers=_attached("places.geojson"))

    async def samples(self, request: Request) -> Response:
        """A file of samples: of public points; operators may ask for all."""
        everything = request.query_params.get("all") == "1"
        if everything and request.state.session.user.role is not Role.OPERATOR:
            raise HTTPException(403, "only operators take what is not public")
        form = request.url.path.rpartition(".")[2]
        points = (_text(request, "point"),) if request.query_params.get("point") else ()
        gateway = _text(request, "gateway") if request.query_params.get("gateway") else None
        selection = Selection(points, gateway, _time(request, "from"), _time(request, "to"), everything=everything)
        if self._downloads >= DOWNLOADS:
            raise HTTPException(503, "others download now; try again", {"retry-after": "10"})
        name = f"samples{'' if everything else '-public'}.{'json' if form == 'senml' else form}"
        return Download(self._counted(sent(self._settings.database, selection, form)), form, name)

    async def _counted(self, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        self._downloads += 1
        try:
            async for piece in pieces:
                yield piece
        finally:
            self._downloads -= 1
            await pieces.aclose()


def _gateway(database: Database, gateway: str) -> dict[str, Any] | None:
    known = overview.gateways(database, gateway)
    if not known:
        return None
    return {
        "gateway": known[0], "devices": overview.devices(database, gateway),
        "gaps": overview.gaps(database, gateway), "alarms": overview.alarms(database, gateway),
    }  # fmt: skip


def _proof(told: dict[str, Any]) -> dict[str, Any]:
    """A proof in short: the worst of its streams."""
    states = [one["state"] for one in told["streams"]]
    worst = next((state for state in ("broken", "incomplete") if state in states), "proved")
    return {"at_ms": told["at_ms"], "state": worst}


def _answers(database: Database) -> None:
    with database.errors():
        database.connection.execute("SELECT 1").fetchall()


async def _failed(_: Request, error: Exception) -> Response:
    gone = isinstance(error, DatabaseBusy | DatabaseBroken | DatabaseMissing | FileFault)
    return JSONResponse({"error": str(error)}, 503 if gone else 409)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _text(request: Request, name: str) -> str:
    found = request.query_params.get(name, "")
    if not 0 < len(found) <= NAME_MAX:
        raise HTTPException(400, f"{name} is missing, or too long")
    return found


def _time(request: Request, name: str) -> int:
    found = request.query_params.get(name, "")
    if not (found.isascii() and found.isdigit() and len(found) < 17 and int(found) <= LATEST_MS):
        raise HTTPException(400, f"{name} is ms since 1970")
    return int(found)


def _attached(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}


def _file(name: str) -> bytes:
    return resources.files("collector.web").joinpath("static", name).read_bytes()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _language(accepted: str) -> str:
    """The first of Accept-Language (RFC 9110, 12.5.4) that is ours; browsers list them by preference."""
    tags = [part.partition(";")[0].strip().partition("-")[0].lower() for part in accepted[:256].split(",")]
    return next((tag for tag in tags if tag in LANGUAGES), LANGUAGES[0])
