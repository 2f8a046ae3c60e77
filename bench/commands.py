"""How long a command takes: python bench/commands.py [--commands N] [--json].

The whole agent as a process, a real broker and collector; a Modbus TCP server, and a serial line (9600 baud, 8N2) with
30 devices that are polled all the time. Counted is from the operator's PUBLISH to the arrival of the signed batch that
tells the result, at another client of the broker: verified signature, value read back.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import struct
import sys
import tempfile
import time
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

sys.path.insert(0, str(Path(__file__).parents[1]))

from buffer.batch import decode
from buffer.command import new_number
from buffer.cose import Kind
from buffer.keys import PublicKey
from drivers.modbus.rtu import encode
from ext import unpack
from tests.integration.harness import GATEWAY, SITE, Rig
from tests.integration.plant import READ, WRITE, Plant
from tests.integration.platform import Platform

BAUD, DEVICES, REGISTERS = 9600, 30, 10
CHARACTER_S = 11 / BAUD  # start, 8 data, 2 stop bits
OWN_S = 0.010
"""What a device takes before it answers: its own time."""
PAUSE_S = (0.2, 0.5)
"""Between two commands: they do not wait for each other."""

TCP = """
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {port}
"""
RTU = """
[buses.panel]
driver = "modbus"
transport = "rtu"
port = "{port}"
baud = 9600
stop_bits = 2
"""


def devices(every: str) -> str:
    """Thirty alike: one register may be written, ten are read."""
    lines = []
    for unit in range(1, DEVICES + 1):
        lines.append(f'[devices.lamp{unit}]\nbus = "panel"\naddress = {unit}\nevery = "{every}"')
        for n in range(REGISTERS):
            rule = ", writable = { min = 0, max = 60000 }" if n == 0 else ""
            lines.append(f'points.r{n} = {{ table = "holding", register = {n}{rule} }}')
    return "\n".join(lines) + "\n"


class Line:
    """The far end of a pty: devices that answer no faster than the line carries it."""

    def __init__(self) -> None:
        self.end, slave = os.openpty()
        tty.setraw(self.end)
        os.set_blocking(self.end, False)
        self.path = os.ttyname(slave)
        self.values: dict[tuple[int, int], int] = {}
        self.asked = 0
        self._heard = b""
        self._answers: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_reader(self.end, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.end)
        os.close(self.end)

    def _read(self) -> None:
        self._heard += os.read(self.end, 4096)
        if len(self._heard) >= 8:  # unit, function, address, count or value, CRC: both requests are as long
            request, self._heard = self._heard[:8], self._heard[8:]
            task = asyncio.ensure_future(self._answer(request))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    async def _answer(self, request: bytes) -> None:
        unit, function, address, count = struct.unpack(">BBHH", request[:6])
        self.asked += 1
        if function == WRITE:
            self.values[unit, address] = count
            answer = request
        else:
            assert function == READ
            cells = [self.values.get((unit, address + n), 0) for n in range(count)]
            answer = encode(unit, struct.pack(f">BB{count}H", READ, 2 * count, *cells))
        await asyncio.sleep((len(request) + len(answer)) * CHARACTER_S + OWN_S)
        os.write(self.end, answer)


@asynccontextmanager
async def gateway(folder: Path, config: str) -> AsyncIterator[tuple[Rig, Platform, bytes]]:
    """Everything up, and commands taken."""
    async with Rig(folder) as rig:
        platform = Platform(rig)
        await asyncio.to_thread(platform.pin)
        await rig.start_agent(config, batch="10s", commit="5s", heard=True)
        yield rig, platform, await platform.ready()


async def latencies(rig: Rig, platform: Platform, stream: bytes, commands: int) -> tuple[list[float], list[float]]:
    """Seconds of each command: to the batch at another client, and as the gateway counts from taken to told."""
    pick, there, inside = random.Random(1), [], []
    public = PublicKey.from_json(await asyncio.to_thread(rig.public_key.read_text))
    broker = ("127.0.0.1", rig.broker.port)
    async with aiomqtt.Client(*broker) as operator, aiomqtt.Client(*broker) as listener:
        await listener.subscribe(f"lamppost/v1/{SITE}/{GATEWAY}/batch", qos=0)
        messages = aiter(listener.messages)
        for n in range(commands):
            await asyncio.sleep(pick.uniform(*PAUSE_S))
            number, point = new_number(), f"lamp{pick.randrange(DEVICES) + 1}/r0"
            message = platform.command((point, n + 1), stream=stream, number=number)
            began = time.perf_counter()
            await operator.publish(f"lamppost/v1/{SITE}/{GATEWAY}/command", message, qos=1)
            told = None
            while told is None:
                told = _result(bytes((await anext(messages)).payload), public, number)
            there.append(time.perf_counter() - began)
            assert told["status"] == "verified", told
            inside.append((told["finished_ms"] - told["accepted_ms"]) / 1000)
    return there, inside


def _result(message: bytes, public: PublicKey, number: int) -> dict[str, Any] | None:
    batch = decode(message, public)
    if batch.header.kind is not Kind.BATCH:
        return None
    for _, _, value, _ in unpack(batch.blocks):
        if isinstance(value, str) and str(number) in value:
            found: dict[str, Any] = json.loads(value)
            return found
    return None


async def measure(commands: int) -> dict[str, dict[str, float]]:
    """By kind of bus: ms."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        async with Plant() as plant, gateway(Path(folder), TCP.format(port=plant.port) + devices("1s")) as parts:
            found["tcp"] = _figures(*await latencies(*parts, commands))
    with tempfile.TemporaryDirectory() as folder:
        line = Line()
        try:
            async with gateway(Path(folder), RTU.format(port=line.path) + devices("2s")) as parts:
                asked, began = line.asked, time.perf_counter()
                found["rtu"] = _figures(*await latencies(*parts, commands))
                found["rtu"]["requests_per_s"] = round((line.asked - asked) / (time.perf_counter() - began), 1)
        finally:
            line.close()
    return found


def _figures(there: list[float], inside: list[float]) -> dict[str, float]:
    def at(values: list[float], part: int) -> float:
        return round(1000 * statistics.quantiles(values, n=100)[part - 1], 1)

    return {
        "p50_ms": at(there, 50), "p95_ms": at(there, 95), "worst_ms": round(1000 * max(there), 1),
        "gateway_p50_ms": at(inside, 50), "gateway_p95_ms": at(inside, 95),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.commands))
    if arguments.json:
        print(json.dumps({"bench": "commands", "commands": arguments.commands} | found))
        return
    print(f"a command to its verified result, {arguments.commands} of each, ms (device's own time on the line: 2 x 10)")
    for bus, figures in found.items():
        print(f"  {bus}: " + ", ".join(f"{name.removesuffix('_ms')} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
