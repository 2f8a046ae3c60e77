"""What a Modbus poll costs the agent: python bench/poll.py [--polls N] [--profile NAME] [--json].

Fifty devices behind a link in memory that answers at once, scheduled by a clock that only polls move; decoded, judged
and packed. Prints CPU microseconds a poll. For a figure that no other process moves, subtract two runs of different
length: valgrind --tool=cachegrind --cache-sim=no python bench/poll.py --polls N
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from drivers.base import points_of
from drivers.modbus.conversation import Receiver
from drivers.modbus.driver import ModbusDriver
from gateway.events import wait_until
from gateway.keeping import series
from gateway.keeping.recorder import Recorder
from gateway.polling.poller import PollingTask
from gateway.setup import installation

DEVICES = 50
POLL_MS = 25
"""What a poll takes by the schedule's clock: fifty devices want more than all of it, so something is always due."""
WARM = 200
PATIENCE_S = 600.0
CONFIG = """\
[gateway]
id = "gw"
site = "bench"
key = "batch.key"
[buses]
panel = { driver = "modbus", transport = "tcp", host = "127.0.0.1" }
[devices]
"""


@dataclass(slots=True)
class Memory:
    """A link whose far end answers reads of registers at once, with bytes that no format likes."""

    noise: bytes
    now: int = 1_000_000
    """Boot ms."""
    name: str = "memory"
    receiver: Receiver | None = None

    async def open(self, receiver: Receiver) -> None:
        self.receiver = receiver

    async def close(self) -> None:
        """Nothing to close."""

    def send(self, data: bytes) -> None:
        assert self.receiver is not None
        self.now += POLL_MS
        size, at = 2 * int.from_bytes(data[10:12], "big"), 500 * data[1]
        answer = bytes((data[6], data[7], size)) + self.noise[at : at + size]
        frame = data[:2] + b"\0\0" + len(answer).to_bytes(2, "big") + answer
        asyncio.get_running_loop().call_soon(self.receiver.received, frame)

    def pause(self, seconds: float) -> None:
        """It never pauses."""

    def look(self) -> None:
        """Nothing is held back."""


def task(profile: str) -> PollingTask:
    """The bus of so many devices of `profile`, with the link in memory."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lamppost.toml"
        device = 'm{0} = {{ bus = "panel", address = {0}, profile = "{1}", every = "1s" }}\n'
        file.write_text(CONFIG + "".join(device.format(n + 1, profile) for n in range(DEVICES)))
        (driver,) = installation.read(file).drivers
    assert isinstance(driver, ModbusDriver)
    memory = Memory(Random(3).randbytes(1 << 17))
    driver._client._talk.link = memory  # type: ignore[attr-defined]  # of MbapClient
    points = {point.point.id: point.point for _, point in points_of(driver.setup)}
    numbers = {name: number for number, name in enumerate(series.definitions([driver]), 1)}

    def now() -> int:
        return memory.now

    recorder = Recorder(now, series.compile_series(points, numbers), points)

    def large(priority: str) -> None:
        recorder.commit()
        recorder.seal(priority)

    recorder.on_large = large
    return PollingTask(driver, recorder, now)


async def measure(profile: str, polls: int) -> float:
    """CPU us of a poll."""
    bus = task(profile)
    running = asyncio.ensure_future(bus.run())

    def answers() -> int:
        return sum(health.answers for health in bus.health.values())

    async def answered(count: int) -> int:
        await wait_until(lambda: answers() >= count, PATIENCE_S, every=0.01)
        return answers()

    warm, began = await answered(WARM), time.process_time()
    done = await answered(warm + polls)
    spent = time.process_time() - began
    running.cancel()
    return 1e6 * spent / (done - warm)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polls", type=int, default=20_000)
    parser.add_argument("--profile", default="eastron-sdm630")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cost = asyncio.run(measure(options.profile, options.polls))
    if options.json:
        print(json.dumps({"bench": "poll", "profile": options.profile, "polls": options.polls, "cpu_us": cost}))
        return
    print(f"{options.polls} polls of {options.profile}: {cost:.1f} us of CPU each")


if __name__ == "__main__":
    main()
