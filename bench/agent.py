"""The whole agent at work: python bench/agent.py [--meters N] [--seconds S] [--json].

N simulated meters (20 points each, every second) behind one Modbus TCP gateway, a real broker, a real collector. Prints
the agent's own CPU, memory (resident, and of it what is no file's), bytes on the wire (TCP payload, all in) and bytes
given to the disk, per sample.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway.demo.scene import Scene
from gateway.demo.stage import Stage, balance

WARM_S = 5.0
CONFIG = """\
[gateway]
id = "gw-demo"
site = "demo"
key = "batch.key"
[uplink]
brokers = ["mqtt://127.0.0.1:{link}"]
authority = "authority.json"
[buffer]
path = "buffer.db"
[buses]
panel = {{ driver = "modbus", transport = "tcp", host = "127.0.0.1", port = {modbus} }}
[devices]
"""


@dataclass(frozen=True, slots=True)
class Meters(Scene):
    """Nothing but meters."""

    count: int = 50

    @property
    def bluetooth(self) -> bool:
        return False

    def configure(self, modbus: int, mast: str, p1: str, link: int, ble: str = "") -> None:
        lines = [CONFIG.format(modbus=modbus, link=link)]
        for index in range(self.count):
            name = "meter" if index == 0 else f"meter{index + 1}"
            line = f'bus = "panel", address = {2 * index + 1}, profile = "eastron-sdm630", every = "1s"'
            lines.append(f"{name} = {{ {line} }}\n")
        self.config.write_text("".join(lines))

    def simulators(self) -> list[str]:
        return [*super(Meters, self).simulators(), "--meters", str(self.count), "--lights", "0", "--no-mast", "--no-p1"]


@dataclass(frozen=True, slots=True)
class Use:
    """What a process has used: CPU seconds, bytes given to the disk, resident bytes, those that no file has."""

    cpu_s: float
    written: int
    resident: int
    own: int

    @classmethod
    def of(cls, pid: int) -> "Use":
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc(5)
        io = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
        status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        resident, own = (1024 * int(status[name].removesuffix("kB")) for name in ("VmRSS", "RssAnon"))
        return cls(cpu, int(io["write_bytes"]), resident, own)


async def measure(folder: Path, meters: int, seconds: float) -> dict[str, float]:
    """Run it, and say what the agent used between the warm-up and the end."""
    stage = Stage(folder)
    stage.scene = Meters(folder, meters)
    try:
        await stage.open()
        await asyncio.sleep(WARM_S)
        pid = stage.children.pid("agent")
        before, up, samples = Use.of(pid), stage.link.bytes_up, committed(stage)
        await asyncio.sleep(seconds)
        after, up, samples = Use.of(pid), stage.link.bytes_up - up, committed(stage) - samples
        await stage.drain()
    finally:
        await stage.close()
    result = await asyncio.to_thread(balance, stage.scene)
    return {
        "samples_per_s": round(samples / seconds, 1),
        "cpu_s_per_1000_samples": round(1000 * (after.cpu_s - before.cpu_s) / samples, 5),
        "core_percent": round(100 * (after.cpu_s - before.cpu_s) / seconds, 2),
        "resident_mb": round(after.resident / 1e6, 1),
        "own_mb": round(after.own / 1e6, 1),
        "wire_bytes_per_sample": round(up / samples, 3),
        "disk_bytes_per_sample": round((after.written - before.written) / samples, 1),
        "lost": result.lost,
        "duplicated": result.duplicated,
    }


def committed(stage: Stage) -> int:
    """Samples committed so far."""
    status = stage.status()
    return 0 if status is None else int(status["buffer"]["committed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), arguments.meters, arguments.seconds))
    if arguments.json:
        print(json.dumps({"bench": "agent", "meters": arguments.meters, "seconds": arguments.seconds} | found))
        return
    print(f"the whole agent, {arguments.meters} meters of 20 points every second, {arguments.seconds:g} s")
    for name, value in found.items():
        print(f"  {name:<24} {value}")


if __name__ == "__main__":
    main()
