"""The one place that knows pymodbus: a Modbus TCP connection that never gives itself up.

pymodbus accepts answers that are too short, closes the connection after a few silent requests and drops bytes at each
send; here it only keeps the connection, the transaction numbers and the timeout, and whole answers are judged by `pdu`.
"""

import asyncio
import logging
import os
import socket
from contextlib import suppress
from typing import cast

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusIOException
from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from drivers.errors import BadAnswer, BusError, NoAnswer
from drivers.modbus.pdu import FrameStream, Request, Table, payload

NEVER = 1 << 62  # silent requests before pymodbus would close the connection
MAX_CHUNK = 1 << 20  # bytes pymodbus takes at once; asyncio hands over at most 256 KiB
MIN_UNACKNOWLEDGED = 10_000  # ms (RFC 5482); TCP's own 100 s (RFC 9293, 3.8.3) would stop all devices that long
KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))  # s, s, probes

_QUESTIONS: dict[Table, type[ModbusPDU]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE: ReadDiscreteInputsRequest,
    Table.HOLDING: ReadHoldingRegistersRequest,
    Table.INPUT: ReadInputRegistersRequest,
}

# What goes wrong is raised here and logged once by the agent, not once more for each request by pymodbus.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)


class _Answer(ModbusPDU):
    """An answer as it came, not decoded."""

    def __init__(self, dev_id: int, transaction: int, unit: int, pdu: bytes) -> None:
        super().__init__(dev_id=dev_id, transaction_id=transaction)
        self.unit = unit
        self.raw = pdu


class _Framer(FramerSocket):
    """Hands over the frame with the awaited transaction number, undecoded, and swallows all others."""

    def __init__(self) -> None:
        super().__init__(DecodePDU(False))
        self.stream = FrameStream()

    def handleFrame(  # noqa: N802 pymodbus's name
        self, data: bytes, exp_devid: int, exp_tid: int
    ) -> tuple[int, ModbusPDU | None]:
        """All of `data` is used at once; never raises, which would cost the connection."""
        answer = None
        for frame in self.stream.feed(data, exp_tid, exp_devid):
            if frame.transaction == exp_tid and answer is None:
                answer = _Answer(exp_devid, exp_tid, frame.unit, frame.pdu)
        return len(data), answer


class Client:
    """One connection to one host; one request at a time."""

    def __init__(self, host: str, port: int, timeout: int, connect_timeout: int) -> None:
        self._host = host
        self._port = port
        self._timeout = timeout / 1000
        self._connect_timeout = connect_timeout / 1000
        self._client: AsyncModbusTcpClient | None = None
        self._framer = _Framer()

    @property
    def name(self) -> str:
        """The host and port, for people."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    async def open(self) -> None:
        """Connect anew; raises `BusError`."""
        self.close()
        self._framer = _Framer()
        self._client = client = self._make()
        try:
            async with asyncio.timeout(self._connect_timeout):
                await client.ctx.call_create()
        except OSError as error:
            self.close()
            raise BusError(f"no connection to {self.name}: {_reason(error)}") from error
        except UnicodeError as error:
            self.close()
            raise BusError(f"no connection to {self.name}: no such host name") from error
        self._watch_host(client.ctx.transport)

    def close(self) -> None:
        """Drop the connection at once; safe at any time."""
        client, self._client = self._client, None
        if client is not None:
            transport = client.ctx.transport
            client.close()
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()

    async def ask(self, request: Request) -> bytes:
        """The data of the answer; raises `BusError` or a `DeviceError`, which leaves the connection as it was."""
        client = self._client
        if client is None or not client.connected:
            raise BusError(f"not connected to {self.name}")
        question = _QUESTIONS[request.table](address=request.address, count=request.count, dev_id=request.unit)
        answer = await self._execute(client, question)
        return payload(request, answer.unit, answer.raw)

    async def _execute(self, client: AsyncModbusTcpClient, question: ModbusPDU) -> _Answer:
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        dropped = self._framer.stream.dropped
        try:
            answer = await client.execute(False, question)
        except ModbusIOException:
            strange = self._framer.stream.dropped - dropped
            if strange:
                raise BadAnswer(f"{strange} bytes came that are no Modbus TCP frame, and no answer") from None
            raise NoAnswer(f"no answer within {self._timeout:g} s") from None
        except (ConnectionException, OSError) as error:
            raise BusError(f"connection to {self.name} lost: {error}") from error
        if task and task.cancelling() > cancels:
            raise asyncio.CancelledError  # wait_for of Python 3.11 forgets a cancel that meets the answer
        return cast("_Answer", answer)

    def _make(self) -> AsyncModbusTcpClient:
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            timeout=self._timeout,
            retries=0,
            reconnect_delay=0,
            trace_connect=self._connection_changed,
        )
        client.set_max_no_responses(NEVER)
        client.ctx.framer = self._framer
        client.ctx.max_buffer_size = MAX_CHUNK
        return client

    def _connection_changed(self, connected: bool) -> None:
        """A lost connection ends the request under way now, not at its timeout."""
        if self._client is None or connected:
            return
        waiting = self._client.ctx.response_future
        if not waiting.done():
            waiting.set_exception(ConnectionResetError("closed by the other side"))
            waiting.exception()  # seen, even when nobody waits

    def _watch_host(self, transport: asyncio.BaseTransport) -> None:
        """A host that is switched off is noticed by TCP itself, so that silent units need not be counted for it."""
        connection = transport.get_extra_info("socket")
        patience = max(MIN_UNACKNOWLEDGED, int(3000 * self._timeout))
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError) and not error.errno:
        return "no answer"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
