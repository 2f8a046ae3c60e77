"""A Modbus TCP server of the tests' own: registers, and a log of every write that arrived.

MBAP and PDU as in the Modbus Application Protocol V1.1b3 and Messaging on TCP/IP V1.0b.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

READ, WRITE, WRITE_MANY = 3, 6, 16
HEAD = struct.Struct(">HHHB")

Before = Callable[[int, int, int], Awaitable[None]]
"""Called with (function, unit, address) before a request is obeyed."""


async def at_once(function: int, unit: int, address: int) -> None:
    """Nothing holds it up."""


@dataclass
class Plant:
    """`async with Plant() as plant:`; `values` are (unit, address) -> register, those not there are 0."""

    values: dict[tuple[int, int], int] = field(default_factory=dict)
    writes: list[tuple[int, int, int]] = field(default_factory=list)
    """(unit, address, value) of every write that arrived, in order, whether it was answered or not."""
    stuck: set[tuple[int, int]] = field(default_factory=set)
    """Registers that do not take what is written."""
    before: Before = at_once
    answers: Callable[[int], bool] = lambda _function: True
    """Whether a request of this function is answered, once it is done."""
    port: int = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._open: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    @property
    def connected(self) -> set["asyncio.Task[None]"]:
        """A task for each connection that is open now."""
        return set(self._open)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while True:
                transaction, _, length, unit = HEAD.unpack(await reader.readexactly(HEAD.size))
                pdu = await reader.readexactly(length - 1)
                answer = await self._obey(unit, pdu)
                if self.answers(pdu[0]):
                    writer.write(HEAD.pack(transaction, 0, len(answer) + 1, unit) + answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _obey(self, unit: int, pdu: bytes) -> bytes:
        function, address, count = struct.unpack(">BHH", pdu[:5])
        await self.before(function, unit, address)
        if function == READ:
            cells = [self.values.get((unit, address + n), 0) for n in range(count)]
            return struct.pack(f">BB{count}H", function, 2 * count, *cells)
        if function == WRITE:
            self._set(unit, address, count)
            return pdu
        if function == WRITE_MANY:
            for n, value in enumerate(struct.unpack(f">{count}H", pdu[6:])):
                self._set(unit, address + n, value)
            return pdu[:5]
        return struct.pack(">BB", function | 0x80, 1)

    def _set(self, unit: int, address: int, value: int) -> None:
        self.writes.append((unit, address, value))
        if (unit, address) not in self.stuck:
            self.values[unit, address] = value
