"""Everything that is broken, as real processes in one folder; who ends by itself is started again as systemd would."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from buffer.keys import SigningKey
from collector.tables.database import Target
from gateway.control.client import Client
from gateway.control.sockets import control_socket, status_socket
from gateway.demo.processes import Children
from gateway.errors import GatewayError
from tests.chaos import devices
from tests.chaos.link import Link
from tests.chaos.stored import Stored, open_stored
from tests.mosquitto import PATH, Mosquitto

GATEWAY, SITE = "gw-chaos", "site-chaos"
COMMIT_MS, EVERY = 500, "250ms"
COLLECTORS = ("collector-1", "collector-2")
WAIT_S = 60.0  # a loaded machine
DRAIN_S = 180.0  # back-off of agent and collectors, and a backlog behind the newest
LOOK_S = 0.1
RESTART_S = 2.0  # RestartSec of systemd/lamppost-collector.service

CONFIG = f"""\
[gateway]
id = "{GATEWAY}"
site = "{SITE}"
key = "batch.key"
[uplink]
brokers = ["mqtt://127.0.0.1:{{link}}"]
authority = "platform.json"
batch = "1s"
keepalive = "5s"
[buffer]
path = "buffer.db"
commit = "{COMMIT_MS}ms"
"""


class Plant:
    """`async with Plant(folder, "postgresql") as plant:` all parts run; none is left behind."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.children = Children(folder)
        self.stored: Stored = open_stored(database, folder)
        self.wanted: set[str] = set()
        """Who has to run now."""
        self.restarts = 0
        self.faults: list[str] = []
        self._run_dir = folder
        self._supervisor: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.wanted.clear()
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
        await self.children.stop_all()
        self.link.down()
        await asyncio.to_thread(self.broker.kill)
        await asyncio.to_thread(self.stored.close)
        if self._run_dir != self.folder:
            await asyncio.to_thread(shutil.rmtree, self._run_dir, ignore_errors=True)

    @property
    def database(self) -> Target:
        """The collectors' file or URL."""
        return self.stored.target

    async def _open(self) -> None:
        program = shutil.which("mosquitto", path=PATH)
        if program is None:
            raise RuntimeError("mosquitto is not installed (see debian-packages.txt)")
        self.broker = Mosquitto(self.folder, program, ["max_queued_messages 0"])
        self.link = Link(self.broker.port)
        self._run_dir = Path(tempfile.mkdtemp(prefix="lamppost-"))  # a socket's path is at most 107 bytes, unix(7)
        batch = SigningKey.create(self.folder / "batch.key").public(GATEWAY, SITE, "batch")
        platform = SigningKey.create(self.folder / "platform.key").public("platform", SITE, "acknowledge")
        (self.folder / "gateway.json").write_text(batch.to_json() + "\n")
        (self.folder / "platform.json").write_text(platform.to_json() + "\n")
        await asyncio.to_thread(self.broker.start)
        await asyncio.to_thread(self.stored.start)
        await self.link.up()
        await self.collector("gateways", "add", str(self.folder / "gateway.json"))
        served = await self.children.start(
            "devices", [sys.executable, "-m", "tests.chaos.devices", str(self.folder / "served.ndjson")]
        )
        assert served.stdout is not None
        port = json.loads(await served.stdout.readline())["port"]
        head = CONFIG.format(link=self.link.port)
        (self.folder / "lamppost.toml").write_text(head + devices.config(port, EVERY))
        for name in (*COLLECTORS, "agent"):
            await self.start(name)
        self._supervisor = asyncio.create_task(self._supervise())
        await self.until(lambda: (self.stored.newest() or 0) > 0, "the first sample is stored", WAIT_S)

    # processes -------------------------------------------------------------------------------------------------------

    async def start(self, name: str) -> None:
        """Start the agent or a collector, and return at once; from then on it has to run."""
        config = str(self.folder / "lamppost.toml")
        if name == "agent":
            words = ["-m", "gateway", "run", "--config", config, "--run-dir", str(self._run_dir)]
        else:
            words = ["-m", "collector", "run", "--database", str(self.database)]
            words += ["--key", str(self.folder / "platform.key"), "--broker", self.broker.url]
        await self.children.start(name, [sys.executable, *words])
        self.wanted.add(name)

    async def kill(self, name: str) -> None:
        """kill -9."""
        self.wanted.discard(name)
        await self.children.kill(name)

    async def stop(self, name: str) -> None:
        """SIGTERM; to end with another code than 0, or not within ten seconds, is a fault."""
        self.wanted.discard(name)
        code = await self.children.stop(name)
        if code:
            self.faults.append(f"{name} ended with code {code} when it was asked to")

    def signal(self, name: str, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT; nothing happens to who has ended."""
        if self.children.running(name):
            os.kill(self.children.pid(name), number)

    async def collector(self, *words: str) -> tuple[int, str]:
        """A verb of the collector that ends; its exit code and output."""
        verb = f"collector-{words[0]}"
        done = await self.children.start(
            verb, [sys.executable, "-m", "collector", *words, "--database", str(self.database)]
        )
        out, _ = await done.communicate()
        return done.returncode or 0, out.decode()

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for name in sorted(self.wanted):
                if not self.children.running(name):
                    if name == "agent":
                        self.faults.append("the agent ended by itself")
                    self.restarts += 1
                    await asyncio.sleep(RESTART_S)
                    if name in self.wanted and not self.children.running(name):
                        await self.start(name)

    # waiting ---------------------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool], what: str, seconds: float) -> bool:
        """Ask in a thread until it is true; a fault, and False, when it is not in time."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await asyncio.to_thread(condition):
            if asyncio.get_running_loop().time() > deadline:
                self.faults.append(f"not within {seconds:.0f} s: {what}")
                return False
            await asyncio.sleep(LOOK_S)
        return True

    def answers(self) -> bool:
        """Whether the agent says how it is. Blocks."""
        return self._status() is not None

    async def drain(self) -> None:
        """Silence the devices; wait until all is acknowledged and decoded; end the processes, the database excepted.

        The agent goes on to note that no device answers: what it commits of that at its end is held.
        """
        await self.children.stop("devices")
        await self.until(self._drained, "all is acknowledged", DRAIN_S)
        await self.until(lambda: self.stored.waiting() == 0, "all that is acknowledged is decoded", WAIT_S)
        for name in ("agent", *COLLECTORS):
            await self.stop(name)

    def _drained(self) -> bool:
        with contextlib.suppress(GatewayError), Client(control_socket(self._run_dir)) as client:
            client.call("flush")
        status = self._status()
        if status is None:
            return False
        buffer = status["buffer"]
        return bool(buffer["held"]["batches"] == 0 and buffer["samples"] == buffer["committed"])

    def _status(self) -> dict[str, Any] | None:
        with contextlib.suppress(GatewayError), Client(status_socket(self._run_dir)) as client:
            found: dict[str, Any] = client.call("status")
            return found
        return None
