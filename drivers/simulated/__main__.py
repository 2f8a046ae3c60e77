"""`python -m drivers.simulated --listen 127.0.0.1:0 --log FILE`: simulated devices in a process of their own.

One line of JSON on stdout says where they are; SIGTERM or SIGINT stops them.
"""

import argparse
import asyncio
import json
import signal
import sys
from contextlib import suppress
from pathlib import Path

from drivers.simulated.lights import light
from drivers.simulated.log import ServedLog
from drivers.simulated.mast import Mast
from drivers.simulated.meters import meter
from drivers.simulated.modbus import SimulatedServer
from drivers.simulated.unit import Unit

MAX_UNITS = 247  # addresses of one line: Modbus over Serial Line V1.02, 2.2


def main() -> None:
    """Run the simulated devices that the command line asks for."""
    asyncio.run(_serve(_arguments()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m drivers.simulated", description=__doc__)
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 0), metavar="HOST:PORT", help="Modbus TCP")
    parser.add_argument("--log", type=Path, required=True, help="every value served, one line of JSON each")
    parser.add_argument("--meters", type=int, default=1, help="energy meters: units 1, 3, 5 ...")
    parser.add_argument("--lights", type=int, default=1, help="street lights: units 2, 4, 6 ...")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds from one round of the mast to the next")
    parser.add_argument("--no-mast", action="store_true", help="no weather mast")
    arguments = parser.parse_args()
    if not 0 <= max(2 * arguments.meters - 1, 2 * arguments.lights) <= MAX_UNITS:
        parser.error(f"the last unit is {MAX_UNITS}")
    return arguments


def units(meters: int, lights: int) -> list[Unit]:
    """The units: `meter`, `meter2`, `meter3` ... as 1, 3, 5 ... and `light`, `light2` ... as 2, 4 ..."""
    return [
        *(meter(_name("meter", i), 2 * i + 1) for i in range(meters)),
        *(light(_name("light", i), 2 * i + 2) for i in range(lights)),
    ]


async def _serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    log = ServedLog(arguments.log)
    host, port = arguments.listen
    server = SimulatedServer(host, port, units(arguments.meters, arguments.lights), log)
    await server.serve_forever(background=True)
    mast = None if arguments.no_mast else Mast(log, arguments.interval)
    speaking = asyncio.create_task(mast.run()) if mast else None
    sys.stdout.write(json.dumps({"modbus": server.port, "mast": mast.path if mast else None}) + "\n")
    sys.stdout.flush()
    await stopped.wait()
    await server.shutdown()  # type: ignore[no-untyped-call]
    if mast and speaking:
        speaking.cancel()
        with suppress(asyncio.CancelledError):
            await speaking
        mast.close()
    log.close()


def _name(kind: str, index: int) -> str:
    return kind if index == 0 else f"{kind}{index + 1}"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError("must be HOST:PORT")
    return host, int(port)


if __name__ == "__main__":
    main()
