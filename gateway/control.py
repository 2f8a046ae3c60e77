"""The daemon's two sockets: lines of JSON in, lines of JSON out; file permissions decide who may ask what."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from buffer.errors import BufferError_
from gateway.errors import BadRequest, GatewayError

log = logging.getLogger(__name__)

Args = dict[str, Any]
Verb = Callable[[Args], Awaitable[Any] | AsyncGenerator[Any, None]]
"""Takes the request's arguments; gives one result, or a stream of them."""

REQUEST_MAX = 64 * 1024
"""A request is a verb and a few words."""
CLIENTS_MAX = 32


class ControlServer:
    """Serves one socket."""

    def __init__(self, path: Path, verbs: Mapping[str, Verb]) -> None:
        self.path = path
        self._verbs = verbs
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. The socket has its folder's group where that folder is setgid, and is closed to all others."""
        await asyncio.to_thread(self._clear)
        self._server = await asyncio.start_unix_server(self._accept, self.path, limit=REQUEST_MAX)
        await asyncio.to_thread(self.path.chmod, 0o660)

    async def stop(self) -> None:
        """Stop listening and end every conversation."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=1)
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _clear(self) -> None:
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= CLIENTS_MAX:
            writer.close()
            return
        task = asyncio.ensure_future(self._talk(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                await self._answer(line, writer)
        except (ConnectionError, ValueError, asyncio.LimitOverrunError):
            pass  # the client went away, or sent a line that is too long
        finally:
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        request_id: Any = None
        try:
            request_id, verb, args = self._parse(line)
            result = verb(args)
            if isinstance(result, AsyncGenerator):
                async with contextlib.aclosing(result) as items:
                    async for item in items:
                        await _send(writer, {"id": request_id, "ok": True, "result": item})
                await _send(writer, {"id": request_id, "end": True})
            else:
                await _send(writer, {"id": request_id, "ok": True, "result": await result})
        except (GatewayError, BufferError_) as error:
            remedy = getattr(error, "remedy", "")
            detail = {"code": type(error).__name__, "message": str(error), "remedy": remedy}
            await _send(writer, {"id": request_id, "ok": False, "error": detail})

    def _parse(self, line: bytes) -> tuple[Any, Verb, Args]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"not a line of JSON: {error}") from error
        if not isinstance(request, dict) or not isinstance(request.get("args", {}), dict):
            raise BadRequest("a request is {id, verb, args}")
        verb = self._verbs.get(str(request.get("verb")))
        if verb is None:
            raise BadRequest(f"no verb {request.get('verb')!r} here; there are: {', '.join(sorted(self._verbs))}")
        return request.get("id"), verb, request.get("args", {})


async def _send(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(json.dumps(answer, separators=(",", ":"), default=str).encode() + b"\n")
    await writer.drain()
