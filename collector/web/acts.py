"""What operators may do: acknowledge an alarm, relay a command that was signed elsewhere, ask for proof."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from collector.alarms.book import Book
from collector.broker import Address
from collector.orders import commands, relay
from collector.query import Row, rows
from collector.tables.database import Database, Target
from collector.web import overview
from collector.web.entrance import body, message
from collector.web.looks import Looks, Proofs

logger = logging.getLogger(__name__)

NOTE_MAX = 400
COMMANDS_MAX = 100
SETTLED_MS = 86_400_000
"""A result is looked for from a day before its command on: clocks differ."""


class Acts:
    """`target`: where acts are written; `broker`: where commands go, None when this page relays none."""

    def __init__(
        self, looks: Looks, target: Target, broker: Address | None, proofs: Proofs, now_ms: Callable[[], int]
    ) -> None:
        self._looks, self._target, self._broker, self._proofs, self._now_ms = looks, target, broker, proofs, now_ms
        self._one = asyncio.Lock()
        self._proving: asyncio.Task[bool] | None = None

    @property
    def relays(self) -> bool:
        """Whether commands can be relayed."""
        return self._broker is not None

    async def acknowledge(self, request: Request) -> Response:
        """Say that somebody knows of an alarm."""
        said = await body(request)
        number, note = said.get("id"), said.get("note", "")
        if type(number) is not int or not 0 < number < 1 << 62 or not isinstance(note, str) or len(note) > NOTE_MAX:
            raise HTTPException(400, "an alarm's id, and a note")
        who = request.state.session.name
        now = self._now_ms()
        found = await self._write(lambda db: Book(db, tell=False).acknowledge(number, who, note or None, now))
        logger.info("%s acknowledged alarm %d", who, number)
        return JSONResponse({"id": number, "acknowledged_by": found["acknowledged_by"]})

    async def check(self, request: Request) -> Response:
        """What a signed command says and who signed it, before anything is done."""
        data = await message(request)
        signed = await self._looks.look(commands.check, data, self._now_ms())
        return JSONResponse({**_exact(signed.row), "sentence": commands.sentence(signed.command)})

    async def relay(self, request: Request) -> Response:
        """Record a signed command and hand it to the broker."""
        address, who = self._broker, request.state.session.name
        if address is None:
            raise HTTPException(409, "this page was given no broker: lamppost-collector command relay")
        data = await message(request)

        def act(database: Database) -> dict[str, Any]:
            return relay.command(database, address, commands.check(database, data, self._now_ms()))

        row = await self._write(act)
        logger.info("%s relayed command %s to %s, signed by %s", who, row["number"], row["gateway"], row["name"])
        return JSONResponse({**_exact(row), "listening": row["listening"]})

    async def prove(self, request: Request) -> Response:
        """Begin to prove what is stored of a gateway; the overview tells the result."""
        said = await body(request)
        gateway = said.get("gateway")
        if not isinstance(gateway, str) or not await self._looks.look(overview.gateways, gateway):
            raise HTTPException(404, "no such gateway")
        if self._proving is not None and not self._proving.done():
            raise HTTPException(409, f"{self._proofs.running or 'another gateway'} is being proved")
        self._proving = asyncio.create_task(asyncio.to_thread(self._proofs.prove, gateway))
        self._proving.add_done_callback(_ended)
        return JSONResponse({})

    async def _write(self, act: Callable[[Database], Row]) -> Row:
        def write() -> Row:
            with closing(Database.open(self._target)) as database:
                return act(database)

        async with self._one:
            return await asyncio.to_thread(write)


def commands_and_results(database: Database, gateway: str | None) -> list[Row]:
    """The newest relayed commands, the newest first, each with its result where one has come."""
    named = {"gateway": gateway, "number": None, "limit": COMMANDS_MAX}
    found = list(rows(database, commands.STATUS, named))
    if not found:
        return []
    since = min(row["issued_ms"] for row in found) - SETTLED_MS
    told: dict[tuple[str, int], Row] = {}
    for result in commands.results(database, gateway=gateway, since_ms=since):
        told.setdefault((result["gateway"], result["number"]), result)
    return [{**_exact(row), "result": _result(told.get((row["gateway"], row["number"])))} for row in found]


def _result(row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    said = row["result"].get("writes")
    writes = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    return {name: row[name] for name in ("status", "reason", "source", "finished_ms", "ts_ms")} | {"writes": writes}


def _exact(row: Row) -> Row:
    """A command for a browser: its number has 63 bits, more than a number of JavaScript holds."""
    return {name: value for name, value in row.items() if name != "message"} | {"number": str(row["number"])}


def _ended(task: "asyncio.Task[bool]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("a proof ended early: %s", error)
