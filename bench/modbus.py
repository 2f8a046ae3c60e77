"""What asking Modbus devices costs: our client and pymodbus's in the same run, against one server in another process.

    python bench/modbus.py [--requests N] [--json]

TCP: requests of 20 registers over 50 connections at once, per CPU-second of the asking process. RTU: CPU time of a poll
of 20 registers through a pty whose far end answers at the pace of a line. What counts is the ratio: the figures go with
the machine and with what else it does.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import selectors
import socket
import time
import tty
from collections.abc import Awaitable, Callable

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from drivers.modbus.bus import RtuBus, TcpBus
from drivers.modbus.pdu import Request, Table
from drivers.modbus.rtu import encode
from drivers.modbus.transport import client

CONNECTIONS = 50
COUNT = 20
BAUD = 19200
PIECE = 8  # bytes: as many as a UART or an adapter with low latency passes on at once
REQUEST = Request(1, Table.HOLDING, 0, COUNT)
ANSWER = bytes((3, 2 * COUNT)) + bytes(range(2 * COUNT))

Work = Callable[[int], Awaitable[None]]


def say(line: int, frame: bytes) -> None:
    """In pieces, each when its last bit would be on the line."""
    for at in range(0, len(frame), PIECE):
        time.sleep(PIECE * 11 / BAUD)
        os.write(line, frame[at : at + PIECE])


def serve(listener: socket.socket, line: int) -> None:
    """Answer whole requests, of Modbus TCP on connections and of RTU on the descriptor `line`, until ended."""
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    waiting.register(line, selectors.EVENT_READ)
    framed = encode(1, ANSWER)
    head = b"\0\0" + (1 + len(ANSWER)).to_bytes(2, "big") + b"\1" + ANSWER
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                made, _ = listener.accept()
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                waiting.register(made, selectors.EVENT_READ)
            elif key.fileobj == line:
                if len(os.read(line, 4096)) >= 8:
                    say(line, framed)
            elif isinstance(key.fileobj, socket.socket):
                asked = key.fileobj.recv(4096)
                if asked:
                    key.fileobj.send(asked[:2] + head)
                else:
                    waiting.unregister(key.fileobj)
                    key.fileobj.close()


async def ours_tcp(port: int, requests: int) -> float:
    """CPU s of so many requests."""
    made = [client(TcpBus(transport="tcp", host="127.0.0.1", port=port)) for _ in range(CONNECTIONS)]
    for one in made:
        await one.open()

    async def ask(place: int) -> None:
        for _ in range(requests // CONNECTIONS):
            await made[place].ask(REQUEST)

    return await _spent(ask, CONNECTIONS)


async def pymodbus_tcp(port: int, requests: int) -> float:
    """CPU s of so many requests."""
    made = [AsyncModbusTcpClient("127.0.0.1", port=port, retries=0) for _ in range(CONNECTIONS)]
    for one in made:
        await one.connect()

    async def ask(place: int) -> None:
        for _ in range(requests // CONNECTIONS):
            answer = await made[place].read_holding_registers(0, count=COUNT, device_id=1)
            assert len(answer.registers) == COUNT

    return await _spent(ask, CONNECTIONS)


async def ours_rtu(path: str, requests: int) -> float:
    """CPU s of so many polls."""
    made = client(RtuBus(transport="rtu", port=path, baud=BAUD))
    await made.open()

    async def ask(_: int) -> None:
        for _ in range(requests):
            await made.ask(REQUEST)

    spent = await _spent(ask, 1)
    await made.close()
    return spent


async def pymodbus_rtu(path: str, requests: int) -> float:
    """CPU s of so many polls."""
    made = AsyncModbusSerialClient(path, baudrate=BAUD, retries=0)
    await made.connect()

    async def ask(_: int) -> None:
        for _ in range(requests):
            answer = await made.read_holding_registers(0, count=COUNT, device_id=1)
            assert len(answer.registers) == COUNT

    spent = await _spent(ask, 1)
    made.close()
    return spent


async def _spent(work: Work, workers: int) -> float:
    began = time.process_time()
    await asyncio.gather(*(work(place) for place in range(workers)))
    return time.process_time() - began


def measure(requests: int) -> dict[str, float]:
    """Requests per CPU-second over TCP, and CPU ms of a poll over RTU, of both."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2 * CONNECTIONS)
    line, slave = os.openpty()
    tty.setraw(line)
    port, path, polls = listener.getsockname()[1], os.ttyname(slave), requests // 200
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener, line), daemon=True)
    server.start()
    try:
        return {
            "tcp_ours_per_cpu_s": requests / asyncio.run(ours_tcp(port, requests)),
            "tcp_pymodbus_per_cpu_s": requests / asyncio.run(pymodbus_tcp(port, requests)),
            "rtu_ours_cpu_ms": 1000 * asyncio.run(ours_rtu(path, polls)) / polls,
            "rtu_pymodbus_cpu_ms": 1000 * asyncio.run(pymodbus_rtu(path, polls)) / polls,
        }
    finally:
        server.terminate()
        server.join()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="over TCP; a two-hundredth of it over RTU")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.requests)
    if options.json:
        print(json.dumps(found))
        return
    tcp = found["tcp_ours_per_cpu_s"], found["tcp_pymodbus_per_cpu_s"]
    rtu = found["rtu_ours_cpu_ms"], found["rtu_pymodbus_cpu_ms"]
    print(f"Modbus TCP: {tcp[0]:,.0f} requests per CPU-second, pymodbus {tcp[1]:,.0f}: x {tcp[0] / tcp[1]:.1f}")
    print(f"Modbus RTU: {rtu[0]:.3f} ms CPU a poll, pymodbus {rtu[1]:.3f}: {rtu[1] / rtu[0]:.1f} times as much")


if __name__ == "__main__":
    main()
