"""`python -m tests.chaos.devices LOG`: Modbus TCP units of which no point ever says a value twice; SIGTERM ends them.

One line of JSON on stdout says the port. LOG has every value served, `drivers.simulated.log`.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from drivers.simulated.log import ServedLog
from drivers.simulated.modbus import SimulatedServer
from drivers.simulated.quantity import Quantity, count_up
from drivers.simulated.unit import Unit

UNITS = 4
SETS = 2  # points of each type that a unit has
SPARE = 8  # legal registers behind the last: the driver may ask for more than it needs

POINTS = {
    "count": "uint32",
    "energy": "uint64",
    "level": "uint32",  # with one digit behind the point
    "power": "float32",
}


def unit(number: int) -> Unit:
    """The unit `number`: counters that grow with each read, each exact in its type."""
    quantities, address = [], 0
    for index in range(1, SETS + 1):
        for name, kind in POINTS.items():
            start = {"count": 4_000_000_000, "energy": 2**53 + 1}.get(name, 1_000)  # no double has this energy
            digits = 1 if name == "level" else 0
            quantity = Quantity(f"m{number}/{name}{index}", address, kind, count_up(start, index), digits=digits)
            quantities.append(quantity)
            address += quantity.count
    return Unit(number, inputs=tuple(quantities), ranges=((0, address + SPARE),))


def config(port: int, every: str) -> str:
    """The tables of the agent's configuration that read all of it."""
    lines = ["[buses]", f'panel = {{ driver = "modbus", transport = "tcp", host = "127.0.0.1", port = {port} }}']
    for number in range(1, UNITS + 1):
        lines += [f"[devices.m{number}]", f'bus = "panel"\naddress = {number}\nevery = "{every}"']
        for quantity in unit(number).inputs:
            name = quantity.point.partition("/")[2]
            scale = ", scale = 0.1" if quantity.digits else ""
            lines.append(
                f'points.{name} = {{ table = "input", register = {quantity.address}, type = "{quantity.type}"{scale} }}'
            )
    return "\n".join(lines) + "\n"


async def _serve(log: ServedLog) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = SimulatedServer("127.0.0.1", 0, [unit(number) for number in range(1, UNITS + 1)], log)
    await server.serve_forever(background=True)
    sys.stdout.write(json.dumps({"port": server.port}) + "\n")
    sys.stdout.flush()
    await stopped.wait()
    await server.shutdown()  # type: ignore[no-untyped-call]
    log.close()


if __name__ == "__main__":
    asyncio.run(_serve(ServedLog(Path(sys.argv[1]))))
