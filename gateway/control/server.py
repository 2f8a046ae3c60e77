"""The daemon's two sockets: lines of JSON in, lines of JSON out; file permissions decide who may ask what."""

import asyncio
import contextlib
import json
import logging
import pwd
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from buffer.errors import BufferFault
from gateway.errors import BadRequest, GatewayError

log = logging.getLogger(__name__)

Args = dict[str, Any]
Verb = Callable[[Args], Awaitable[Any] | AsyncGenerator[Any, None]]
"""Takes the request's arguments; gives one result, or a stream of them."""

REQUEST_MAX = 64 * 1024
"""A request is a verb and a few words."""
CLIENTS_MAX = 32
PEER: ContextVar[int] = ContextVar("peer", default=-1)
"""The user id at the other end of the conversation, as the kernel says (SO_PEERCRED, unix(7))."""


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
            await asyncio.to_thread(self.path.unlink)

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
        PEER.set(_peer(writer))  # this task's own: each conversation is one
        try:
            while line := await _line(reader, writer):
                await self._answer(line, reader, writer)
        except ConnectionError:
            pass  # the client went away
        except Exception:  # a verb's mistake costs the conversation, and not the agent
            log.exception("%s: a request failed", self.path.name)
        finally:
            writer.close()

    async def _answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_id: Any = None
        try:
            request_id, verb, args = self._parse(line)
            result = verb(args)
            if isinstance(result, AsyncGenerator):
                await _while_there(reader, _stream(writer, request_id, result))
            else:
                await _send(writer, {"id": request_id, "ok": True, "result": await result})
        except (GatewayError, BufferFault) as error:
            await _refuse(writer, request_id, error)

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


async def whoever() -> str:
    """The name of who asks; 65534, nobody, where the unit hides who others are (PrivateUsers=yes)."""
    uid = PEER.get()
    try:
        return (await asyncio.to_thread(pwd.getpwuid, uid)).pw_name
    except (KeyError, OverflowError):
        return f"user {uid}"


def _peer(writer: asyncio.StreamWriter) -> int:
    sock = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


async def _line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The next line; nothing when the client is gone, or was told that its line is too long."""
    try:
        return await reader.readline()
    except ValueError:
        await _refuse(writer, None, BadRequest(f"a request has at most {REQUEST_MAX} bytes"))
        return b""


async def _while_there(reader: asyncio.StreamReader, sending: Coroutine[Any, Any, None]) -> None:
    """Do `sending` until its end; a client that goes away, or says anything more, ends the conversation."""
    work, heard = asyncio.ensure_future(sending), asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait([work, heard], return_when=asyncio.FIRST_COMPLETED)
        if heard.done():
            raise ConnectionAbortedError
        await work
    finally:
        work.cancel()
        heard.cancel()
        await asyncio.gather(work, heard, return_exceptions=True)


async def _stream(writer: asyncio.StreamWriter, request_id: object, result: AsyncGenerator[Any, None]) -> None:
    async with contextlib.aclosing(result) as items:
        async for item in items:
            await _send(writer, {"id": request_id, "ok": True, "result": item})
    await _send(writer, {"id": request_id, "end": True})


async def _refuse(writer: asyncio.StreamWriter, request_id: object, error: Exception) -> None:
    detail = {"code": type(error).__name__, "message": str(error), "remedy": getattr(error, "remedy", "")}
    await _send(writer, {"id": request_id, "ok": False, "error": detail})


async def _send(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(json.dumps(answer, separators=(",", ":"), default=str).encode() + b"\n")
    await writer.drain()
