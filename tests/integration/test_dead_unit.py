"""Five units behind one Modbus TCP gateway, one of them dead: the real driver in real time over a real socket."""

import asyncio
from contextlib import suppress
from pathlib import Path

from config import load
from drivers.base import Driver
from drivers.modbus import ModbusDriver
from drivers.setup import prepare
from gateway.clock import System
from gateway.polling.health import DEAD_SHARE, State
from tests.gateway.scene import Scene
from tests.gateway.support import HEAD, until

PERIOD, TIMEOUT = 200, 100
ENOUGH = 20
LIVING, DEAD = (1, 2, 3, 4), 5


async def gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers one register for the living and nothing for unit 5 (MBAP header: Messaging on TCP/IP V1.0b, 3.1.3)."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readexactly(7)
            pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
            if head[6] in LIVING:
                writer.write(head[:4] + bytes((0, 5, head[6], pdu[0], 2, 0, head[6])))
    writer.close()


def drivers(folder: Path, port: int) -> list[Driver]:
    """All units on one bus. Blocks."""
    units = [
        f'[devices.u{n}]\nbus = "b"\naddress = {n}\nevery = "{PERIOD}ms"\n'
        'points.p = { table = "input", register = 0, type = "uint16" }\n'
        for n in (*LIVING, DEAD)
    ]
    bus = f'driver = "modbus"\ntransport = "tcp"\nhost = "127.0.0.1"\nport = {port}\ntimeout = "{TIMEOUT}ms"\n'
    file = folder / "lamppost.toml"
    file.write_text(HEAD + f"[buses.b]\n{bus}" + "".join(units))
    return prepare(load(file), lambda _: ModbusDriver)


async def test_the_living_keep_their_period(tmp_path: Path) -> None:
    async with await asyncio.start_server(gateway, "127.0.0.1", 0) as server:
        scene = Scene(System(), await asyncio.to_thread(drivers, tmp_path, server.sockets[0].getsockname()[1]))
        async with scene.running():
            health = scene.bus.health
            await until(lambda: all(health[f"u{n}"].answers >= ENOUGH for n in LIVING))
            assert health[f"u{DEAD}"].state is State.OFFLINE
            assert health[f"u{DEAD}"].failures <= 3 + ENOUGH * PERIOD / (TIMEOUT * DEAD_SHARE)
            for slot in scene.turns.schedule.slots:
                found = slot.pace.achieved()
                assert (found is None) == (slot.read.device == f"u{DEAD}")
                assert found is None or abs(found.median - PERIOD) <= PERIOD / 10
