"""The link between agent and broker: it can be cut, have a hole, or be slow."""

import asyncio
import contextlib

CHUNK = 4096
SLOW_BYTES_S = 20_000.0
SLOW_S = 0.3  # later


class Link:
    """Forwards connections on `port` to a broker on port `target`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._slow = False
        self._target = target
        self._server: asyncio.Server | None = None
        self._holed: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._hole = False

    async def up(self) -> None:
        """Heal all: connections made from now on work. Those that had the hole never hear anything again."""
        self._hole = self._slow = False
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    def down(self) -> None:
        """Reset every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()

    def hole(self) -> None:
        """From now on no byte of any connection arrives, and nobody is told; new ones fare the same."""
        self._hole = True
        self._holed |= self._open

    def slow_down(self) -> None:
        """Everything arrives late and little at a time."""
        self._slow = True

    async def _serve(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target, limit=CHUNK)
        except OSError:
            near.close()
            return
        both = {near, far}
        self._open |= both
        if self._hole:
            self._holed |= both
        try:
            await asyncio.gather(self._pump(near_reader, far), self._pump(far_reader, near))
        finally:
            self._open -= both
            self._holed -= both
            for writer in both:
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                if self._slow:
                    await asyncio.sleep(SLOW_S + len(data) / SLOW_BYTES_S)
                if writer not in self._holed:
                    writer.write(data)
                    await writer.drain()
        if writer not in self._holed:
            writer.close()
