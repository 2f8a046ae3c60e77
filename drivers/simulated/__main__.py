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
from typing import TYPE_CHECKING

from drivers.simulated import mast, p1
from drivers.simulated.lights import light
from drivers.simulated.log import ServedLog
from drivers.simulated.meters import meter
from drivers.simulated.modbus import SimulatedServer
from drivers.simulated.speaker import Speaker
from drivers.simulated.unit import Unit

if TYPE_CHECKING:
    from drivers.simulated.beacons import Beacons

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
    parser.add_argument(
        "--interval",
        type=float,
        default=1.0,
        help="seconds from one round of the mast, and of the P1 meter, to the next",
    )
    parser.add_argument("--no-mast", action="store_true", help="no weather mast")
    parser.add_argument("--ble", action="store_true", help="Bluetooth sensors, on a D-Bus of their own (dbus-daemon)")
    parser.add_argument("--no-p1", action="store_true", help="no P1 meter")
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
    speakers = _speakers(arguments, log)
    speaking = [asyncio.create_task(speaker.run()) for speaker in speakers.values()]
    paths = {name: speakers[name].path if name in speakers else None for name in ("mast", "p1")}
    beacons = _beacons(arguments, log)
    if beacons is not None:
        paths["ble"] = beacons.address
        speaking.append(asyncio.create_task(beacons.run()))
    sys.stdout.write(json.dumps({"modbus": server.port, **paths}) + "\n")
    sys.stdout.flush()
    await stopped.wait()
    await server.shutdown()  # type: ignore[no-untyped-call]
    for task in speaking:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for speaker in speakers.values():
        speaker.close()
    if beacons is not None:
        beacons.close()
    log.close()


def _speakers(arguments: argparse.Namespace, log: ServedLog) -> dict[str, Speaker]:
    """The devices on serial lines that are wanted, by the name of their path in the line on stdout."""
    speakers = {}
    if not arguments.no_mast:
        speakers["mast"] = Speaker(log, arguments.interval, mast.BAUD, mast.SENTENCES)
    if not arguments.no_p1:
        speakers["p1"] = Speaker(log, arguments.interval, p1.BAUD, (p1.telegram,))
    return speakers


def _beacons(arguments: argparse.Namespace, log: ServedLog) -> "Beacons | None":
    if not arguments.ble:
        return None
    from drivers.simulated.beacons import Beacons  # dbus-fast is for who wants them
    from drivers.simulated.dbus import program

    daemon = program()
    if daemon is None:
        sys.exit("there is no dbus-daemon (apt install dbus)")
    return Beacons(log, arguments.interval, daemon)


def _name(kind: str, index: int) -> str:
    return kind if index == 0 else f"{kind}{index + 1}"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError("must be HOST:PORT")
    return host, int(port)


if __name__ == "__main__":
    main()
