"""A link that can be cut: a small TCP proxy between the agent and the broker."""

import asyncio
import contextlib

CHUNK = 65536


class Link:
    """Forwards connections on `port` to a broker on port `target`; while it is cut, nobody connects."""

    def __init__(self) -> None:
        self.target = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.bytes_up = 0

    async def start(self) -> None:
        """Listen; on the same port as before after a cut."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Drop every connection without a word and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
        except OSError:
            near.close()
            return
        self._open |= {near, far}
        try:
            await asyncio.gather(self._pump(near_reader, far, up=True), self._pump(far_reader, near, up=False))
        finally:
            self._open -= {near, far}
            for writer in (near, far):
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                if up:
                    self.bytes_up += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()
