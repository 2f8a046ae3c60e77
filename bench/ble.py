"""What an advertisement costs, beside bleak alone, and whether one is lost: `python -m bench.ble --seconds 60`.

A simulated BlueZ in a process of its own advertises Ruuvi tags on a private bus; the counter in each payload (data
format 5, bytes 16 and 17) shows what was lost. Each side is measured in a process of its own, in turn.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config import load
from drivers.base import Read
from drivers.ble import BleDriver
from drivers.setup import prepare
from drivers.simulated.bluez import SimulatedBluez
from drivers.simulated.dbus import PrivateBus, program
from ext import GOOD
from gateway.keeping.recorder import Recorder
from gateway.keeping.series import compile_series

COMPANY = 0x0499
# The valid vector of https://docs.ruuvi.com/communication/bluetooth-advertisements/data-format-5-rawv2
PAYLOAD = bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")
COUNTER = slice(16, 18)
SLICE_SECONDS = 0.005
COMMIT_SECONDS = 1.0
WARM_SECONDS = 4.0  # imports, the first advertisement of each tag, and caches
SETTLE_SECONDS = 20.0  # after the last advertisement, for what is under way
KB = 1024
SIDES = ("bleak", "driver", "agent")
"""bleak with a callback that counts; the driver up to where report rules begin; and all that the agent does then."""


@dataclass(frozen=True, slots=True)
class Result:
    """One side: advertisements sent, heard and lost, CPU per advertisement, and how much memory grew by."""

    side: str
    sent: int
    heard: int
    lost: int
    cpu_us: float
    seconds: float
    grown_kb: int


@dataclass(slots=True)
class _Mark:
    """Where the measured part began."""

    cpu: float = 0.0
    heard: int = 0
    kb: int = 0


def addresses(count: int) -> list[str]:
    """Of the tags."""
    return [f"C4:11:22:33:{number // 256:02X}:{number % 256:02X}" for number in range(count)]


async def send(rate: int, seconds: float, devices: int) -> int:
    """Advertise at `rate` in all, spread over the tags, from when somebody listens; how many were sent."""
    bluez, tags = SimulatedBluez(), addresses(devices)
    await bluez.start()
    bluez.add_adapter()
    # dbus-fast gives a connection up whose socket is full; a blocking one waits for the daemon, as bluetoothd does
    socket = bluez.bus._sock
    assert socket is not None
    socket.setblocking(True)
    await bluez.until_scanning()
    await asyncio.sleep(1)
    loop = asyncio.get_running_loop()
    sent, began = 0, loop.time()
    while loop.time() - began < seconds:
        for _ in range(int((loop.time() - began) * rate) - sent):
            data = PAYLOAD[:16] + (sent // devices & 0xFFFF).to_bytes(2, "big") + PAYLOAD[18:]
            bluez.advertise(tags[sent % devices], {COMPANY: data})
            sent += 1
        await asyncio.sleep(SLICE_SECONDS)
    await bluez.until_scanning(on=False)
    await asyncio.sleep(1)  # the scanner says goodbye
    await bluez.stop()
    return sent


class Counting:
    """Follows the counter of each tag."""

    def __init__(self) -> None:
        self.heard = self.lost = 0
        self.at = 0.0
        self._next: dict[str, int] = {}

    def take(self, tag: str, data: bytes) -> None:
        """One payload."""
        count = int.from_bytes(data[COUNTER], "big")
        self.lost += (count - self._next.get(tag, 0)) & 0xFFFF
        self._next[tag] = count + 1 & 0xFFFF
        self.heard += 1


class Kept(Recorder):
    """The agent's recorder, which counts what comes before the report rules, and goes `through` with it or not."""

    counting: Counting
    through = True

    def full(self, priority: str) -> None:
        """A batch is over: it goes nowhere."""
        self.commit()
        self.seal(priority)

    def scan(self, read: Read, payload: bytes, quality: int = GOOD) -> None:
        """Count, and do what the agent does."""
        self.counting.take(read.device, payload)
        if self.through:
            super().scan(read, payload, quality)


async def bare(counting: Counting, seconds: float) -> None:
    """bleak alone, with a callback that does nothing but count."""
    from bleak import BleakScanner
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

    def heard(device: BLEDevice, told: AdvertisementData) -> None:
        counting.take(device.address, told.manufacturer_data[COMPANY])

    async with BleakScanner(heard, bluez={"adapter": "hci0", "filters": {"DuplicateData": True}}):
        await _until_quiet(counting, seconds)


async def ours(counting: Counting, seconds: float, devices: int, folder: Path, *, through: bool) -> None:
    """The driver, and `through` the agent's recorder: eleven points judged, packed and committed."""
    driver = prepare(_config(devices, folder), lambda _: BleDriver)[0]
    assert isinstance(driver, BleDriver)
    points = {p.point.id: p.point for d in driver.setup.devices for p in d.points}
    series = compile_series(points, {name: number for number, name in enumerate(points, 1)})
    recorder = Kept(lambda: time.monotonic_ns() // 1_000_000, series, points)
    recorder.counting, recorder.through = counting, through
    recorder.on_large = recorder.full
    await driver.open()
    task = asyncio.ensure_future(driver.listen(recorder))
    await _until_quiet(counting, seconds, recorder)
    task.cancel()
    await asyncio.wait([task])
    await driver.close()


async def _until_quiet(counting: Counting, seconds: float, recorder: Recorder | None = None) -> None:
    """Until nothing more has come for two seconds."""
    heard, quiet, ends = 0, 0, time.monotonic() + seconds + SETTLE_SECONDS
    while quiet < 2 and time.monotonic() < ends:
        await asyncio.sleep(COMMIT_SECONDS)
        if recorder is not None:
            recorder.commit()
        quiet = quiet + 1 if heard and counting.heard == heard else 0
        heard = counting.heard


def _config(devices: int, folder: Path) -> Any:  # noqa: ANN401 - config.Config
    tags = "\n".join(
        f'tag{number} = {{ bus = "air", address = "{address}", profile = "ruuvi-df5" }}'
        for number, address in enumerate(addresses(devices))
    )
    file = folder / "lamppost.toml"
    file.write_text(
        f'[gateway]\nid = "gw-1"\nsite = "bench"\n[buses]\nair = {{ driver = "ble" }}\n[devices]\n{tags}\n', "utf-8"
    )
    assert BleDriver.profiles is not None
    return load(file, profiles=[BleDriver.profiles])


def measure(side: str, rate: int, seconds: float, devices: int) -> Result:
    """One side, in this process; the tags are in another."""
    daemon = program()
    if daemon is None:
        sys.exit("bench.ble needs dbus-daemon (apt install dbus)")
    counting = Counting()
    with tempfile.TemporaryDirectory(prefix="lamppost-") as name:
        bus = PrivateBus(daemon, Path(name))
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = bus.address
        words = ["--send", "--rate", str(rate), "--seconds", str(seconds), "--devices", str(devices)]
        tags = subprocess.Popen([sys.executable, "-m", "bench.ble", *words], stdout=subprocess.PIPE, text=True)
        _until_there(bus, tags)
        mark = _Mark()

        async def run() -> None:
            if side == "bleak":
                await bare(counting, seconds)
            else:
                await ours(counting, seconds, devices, Path(name), through=side == "agent")

        async def watched() -> None:
            task = asyncio.ensure_future(run())
            await asyncio.sleep(WARM_SECONDS)
            mark.cpu, mark.heard, mark.kb = time.process_time(), counting.heard, _memory()
            await task

        asyncio.run(watched())
        cpu, heard, grown = time.process_time() - mark.cpu, counting.heard - mark.heard, _memory() - mark.kb
        sent = int(tags.communicate()[0])
        bus.kill()
    missing = counting.lost + max(0, sent - counting.heard - counting.lost)
    return Result(side, sent, counting.heard, missing, round(1e6 * cpu / heard, 2), seconds, grown)


def _until_there(bus: PrivateBus, tags: "subprocess.Popen[str]") -> None:
    """The simulated BlueZ takes a moment to appear."""
    from dbus_fast import BusType
    from dbus_fast.aio.message_bus import MessageBus

    async def owned() -> None:
        found = await MessageBus(bus_type=BusType.SYSTEM, bus_address=bus.address).connect()
        intro = await found.introspect("org.freedesktop.DBus", "/org/freedesktop/DBus")
        daemon = found.get_proxy_object("org.freedesktop.DBus", "/org/freedesktop/DBus", intro)
        names = daemon.get_interface("org.freedesktop.DBus")
        while not await names.call_name_has_owner("org.bluez"):  # type: ignore[attr-defined]
            if tags.poll() is not None:
                sys.exit("the simulated BlueZ ended")
            await asyncio.sleep(0.1)
        found.disconnect()

    asyncio.run(owned())


def _memory() -> int:
    """Resident kB."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() // KB


def main() -> None:
    """All sides in turn, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=5000, help="advertisements a second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1, help="the ratio is that of each side's best round")
    parser.add_argument("--side", choices=SIDES, help="measure one, in this process")
    parser.add_argument("--send", action="store_true", help="be the tags")
    given = parser.parse_args()
    if given.send:
        print(asyncio.run(send(given.rate, given.seconds, given.devices)))
        return
    if given.side:
        print(json.dumps(asdict(measure(given.side, given.rate, given.seconds, given.devices))))
        return
    words = ["--rate", str(given.rate), "--seconds", str(given.seconds), "--devices", str(given.devices)]
    best = dict.fromkeys(SIDES, float("inf"))
    for side in SIDES * given.rounds:
        command = [sys.executable, "-m", "bench.ble", "--side", side, *words]
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        best[side] = min(best[side], json.loads(line)["cpu_us"])
        print(line.strip(), flush=True)
    print(json.dumps({f"{side}/bleak": round(best[side] / best["bleak"], 3) for side in SIDES[1:]}))


if __name__ == "__main__":
    main()
