"""The way from a device's answer to the broker, and a backlog that drains: python bench/uplink.py [--json] ...

Latency: devices that answer at once, each answer a number of its own; the agent with `commit = "0s"`, `batch = "0s"`; a
subscriber decodes what the broker passes on. From the moment the answer is sent to that at which the subscriber has
it: the device's own network, commit, signature, broker and subscriber included.

Drain: a store with the batches of `--hours` of one site (45.7 samples/s, a batch every 10 s) is sent to a broker on
loopback while a device is polled; a platform in this process answers with signed acknowledgements. Counted until the
last is acknowledged; the newest batch of all is timed from CONNACK.
"""

import argparse
import asyncio
import contextlib
import json
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiomqtt

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.site import ROUND_S, record
from buffer.ack import Ack
from buffer.batch import batch_hash, decode
from buffer.block import Block
from buffer.catalogue import SeriesDefinition
from buffer.cose import Kind
from buffer.header import Clock, ClockState, Priority
from buffer.keys import PublicKey, SigningKey
from buffer.store import Store
from ext import Packer, unpack
from gateway.clock import boot_id
from gateway.control.client import Client
from gateway.control.sockets import status_socket
from gateway.demo.broker import command
from gateway.demo.processes import Children, free_port, wait_for_port
from gateway.errors import GatewayError

GATEWAY, SITE = "gw-bench", "bench"
BATCH_S = 10
ACK_EVERY_S = 0.02
ACK_RUNS = 200
CONFIG = """\
[gateway]
id = "{gateway}"
site = "{site}"
key = "batch.key"
[uplink]
brokers = ["mqtt://127.0.0.1:{broker}"]
authority = "authority.json"
batch = "{batch}"
[buffer]
path = "buffer.db"
size = "4GB"
commit = "{commit}"
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {device}
[devices.d]
bus = "panel"
address = 1
every = "{every}"
[devices.d.points.n]
table = "holding"
register = 0
type = "uint32"
"""


class Device:
    """Answers each request with a number of its own, and remembers when."""

    def __init__(self) -> None:
        self.number = 0
        self.answered: dict[int, int] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Modbus TCP, whatever is read (Modbus Messaging on TCP/IP V1.0b)."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                transaction, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                await reader.readexactly(length - 1)
                self.number += 1
                writer.write(struct.pack(">HHHBBBI", transaction, 0, 7, unit, 3, 4, self.number))
                self.answered[self.number] = time.monotonic_ns()
        writer.close()


class Platform:
    """Takes batches and acknowledges them, in sums."""

    def __init__(self, client: aiomqtt.Client, public: PublicKey, key: SigningKey, device: Device) -> None:
        self._client, self._public, self._key, self._device = client, public, key, device
        self.stream = b""
        self.hashes: dict[int, bytes] = {}
        self.samples = 0
        self.latencies: list[float] = []
        self.arrived: list[tuple[float, int]] = []
        self._ranged: set[int] = set()
        self._low = 0
        self.live_at: float | None = None

    async def listen(self, *, values: bool) -> None:
        """Take messages until cancelled; `values`: look for the device's."""
        async for message in self._client.messages:
            at = time.monotonic_ns()
            assert isinstance(message.payload, bytes)
            batch = decode(message.payload, self._public)
            header = batch.header
            self.stream = header.stream
            if header.number not in self.hashes:
                self.samples += header.samples
            self.hashes[header.number] = batch_hash(message.payload)
            self._ranged.add(header.number)
            self.arrived.append((at / 1e9, header.number))
            if values and header.kind is Kind.BATCH:
                for _, _, value, _ in unpack(batch.blocks):
                    answered = self._device.answered.get(value) if isinstance(value, int) else None
                    if answered is not None:
                        self.latencies.append((at - answered) / 1e6)

    async def answer(self) -> None:
        """Acknowledge what came, again and again, until cancelled."""
        while True:
            await asyncio.sleep(ACK_EVERY_S)
            if not self._ranged:
                continue
            while self._low + 1 in self.hashes:
                self._low += 1
            above = sorted(number for number in self._ranged if number > self._low)[-ACK_RUNS:]
            self._ranged.clear()
            ranges = tuple((number, number, self.hashes[number]) for number in above)
            digest = self.hashes.get(self._low, bytes(32))
            ack = Ack(GATEWAY, self.stream, self._low, digest, ranges, time=time.time_ns() // 1_000_000)
            topic = f"lamppost/v1/{SITE}/{GATEWAY}/ack"
            await self._client.publish(topic, ack.sign(self._key), qos=1)


@asynccontextmanager
async def stage(folder: Path, *, values: bool, **settings: str) -> AsyncIterator[tuple[Platform, Children]]:
    """Broker, device and platform; the agent's configuration is written."""
    children, device = Children(folder), Device()
    (folder / "batch.key").exists() or SigningKey.create(folder / "batch.key")
    key = SigningKey.create(folder / "platform.key")
    (folder / "authority.json").write_text(key.public("platform", SITE, "acknowledge").to_json() + "\n")
    public = SigningKey.load(folder / "batch.key").public(GATEWAY, SITE, "batch")
    broker = free_port()
    server = await asyncio.start_server(device.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = CONFIG.format(gateway=GATEWAY, site=SITE, broker=broker, device=port, **settings)
    (folder / "lamppost.toml").write_text(text)
    try:
        start = command(folder, broker)
        with contextlib.suppress(FileNotFoundError), (folder / "mosquitto.conf").open("a") as conf:
            conf.write("set_tcp_nodelay true\n")  # towards the subscriber, which is none of the agent's doing
        await children.start("broker", start)
        await wait_for_port(broker)
        async with aiomqtt.Client("127.0.0.1", broker, max_inflight_messages=1000) as client:
            await client.subscribe(f"lamppost/v1/{SITE}/{GATEWAY}/batch", qos=0)
            platform = Platform(client, public, key, device)
            tasks = [asyncio.ensure_future(platform.listen(values=values)), asyncio.ensure_future(platform.answer())]
            try:
                yield platform, children
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
    finally:
        await children.stop_all()
        server.close()


async def start_agent(folder: Path, children: Children) -> None:
    """The agent as a process of its own."""
    words = ["-m", "gateway", "run", "--config", str(folder / "lamppost.toml"), "--run-dir", str(folder)]
    await children.start("agent", [sys.executable, *words])


async def latency(folder: Path, seconds: float, every: str) -> dict[str, Any]:
    """Milliseconds from a device's answer to the subscriber."""
    async with stage(folder, values=True, batch="0s", commit="0s", every=every) as (platform, children):
        await start_agent(folder, children)
        while len(platform.latencies) < 10:  # noqa: ASYNC110 - warm
            await asyncio.sleep(0.1)
        platform.latencies.clear()
        await asyncio.sleep(seconds)
        found = platform.latencies[:]
    cuts = quantiles(found, n=100)
    return {
        "scans": len(found), "every": every, "p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2),
        "max_ms": round(max(found), 2),
    }  # fmt: skip


def fill(folder: Path, hours: float) -> tuple[int, int]:
    """A store as an outage of so many hours leaves it; its batches and samples."""
    key = SigningKey.create(folder / "batch.key")
    clock = Clock(boot_id(), time.time_ns() // 1_000_000, ClockState.SYNCHRONIZED)
    store = Store.open(folder / "buffer.db", GATEWAY, key, clock.boot, size_limit=4 * 10**9)
    store.assign([SeriesDefinition("site", f"p{number}", "", "any") for number in range(200)])
    scans = record(1)
    batches = samples = 0
    packer, first, last, blocks = Packer(), 0, 0, []
    for round_ms in range(0, int(hours * 3_600_000), ROUND_S * 1000):
        for scan in scans:
            at = 1 + round_ms + scan.at
            if first and at // (BATCH_S * 1000) != first // (BATCH_S * 1000):
                pending = packer.pending
                blocks.append(Block(Priority.NORMAL, clock, pending, first, last, packer.commit(), fresh=True))
                batches, samples, first = batches + 1, samples + pending, 0
                packer.reset()
                if len(blocks) == 100:
                    store.commit(blocks, seal=True)
                    blocks = []
            first, last = first or at, at
            scan.pack(packer, at)
    store.commit(blocks, seal=True)
    store.close()
    return batches, samples


async def drain(folder: Path, hours: float) -> dict[str, Any]:
    """Samples a second until the last of a backlog is acknowledged, and how soon the newest is there."""
    began = time.monotonic()
    batches, samples = await asyncio.to_thread(fill, folder, hours)
    made_s = time.monotonic() - began
    async with stage(folder, values=False, batch="1s", commit="1s", every="1s") as (platform, children):
        await start_agent(folder, children)
        while not platform.arrived:  # noqa: ASYNC110 - the start of the agent
            await asyncio.sleep(0.01)
        start = platform.arrived[0][0]
        rss = 0
        while not _drained(folder, batches):
            rss = max(rss, resident(children.pid("agent")))
            await asyncio.sleep(0.2)
        end = max(at for at, number in platform.arrived if number <= batches + 1)
        live = min(at for at, number in platform.arrived if number > batches + 1)
        missing = sum(number not in platform.hashes for number in range(1, batches + 2))
        order = [number for _, number in platform.arrived if number <= batches]
        return {
            "hours": hours, "batches": batches, "samples": samples, "seconds": round(end - start, 1),
            "samples_per_s": round(samples / (end - start)), "batches_per_s": round(batches / (end - start)),
            "live_after_s": round(live - start, 2), "missing": missing, "sent_twice": len(order) - len(set(order)),
            "agent_mb": round(rss / 1e6), "store_made_s": round(made_s, 1),
        }  # fmt: skip


def _drained(folder: Path, batches: int) -> bool:
    """Whether nothing of the backlog waits any more; what is live comes and goes."""
    with contextlib.suppress(GatewayError), Client(status_socket(folder)) as client:
        uplink = client.call("status")["uplink"]
        return bool(uplink["acknowledged"] >= batches and uplink["held"] < 20)
    return False


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("latency", "drain"))
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--every", default="100ms")
    parser.add_argument("--hours", type=float, default=72)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = {}
    for name in ("latency", "drain"):
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                work = latency(Path(folder), arguments.seconds, arguments.every) if name == "latency" else drain(
                    Path(folder), arguments.hours
                )  # fmt: skip
                found[name] = asyncio.run(work)
    if arguments.json:
        print(json.dumps({"bench": "uplink"} | found))
        return
    for name, values in found.items():
        print(name)
        for key, value in values.items():
            print(f"  {key:<16} {value}")


if __name__ == "__main__":
    main()
