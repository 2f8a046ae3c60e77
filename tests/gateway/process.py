"""The agent as a process, with simulated Modbus devices, and whatever the test says is its broker."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from buffer.keys import PublicKey, SigningKey
from buffer.reader import Reader
from ext import GOOD
from gateway.control.client import Client
from gateway.control.sockets import control_socket, status_socket
from gateway.demo.account import _device_log, _kept, exact_text
from gateway.demo.processes import Children
from gateway.errors import GatewayError

GATEWAY, SITE = "gw-lone", "site-lone"
WAIT_S = 30.0  # a loaded machine; an idle one starts the agent in one
STOP_S = 5.0
"""SIGTERM to exit takes at most this long."""
ANSWER_MS = 500
"""What an answer may take from the device to the agent's memory."""

CONFIG = """\
[gateway]
id = "{gateway}"
site = "{site}"
key = "batch.key"
[buffer]
path = "{buffer}"
commit = "{commit}"
keep_free = "{keep_free}"
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {port}
[devices]
light = {{ bus = "panel", address = 2, profile = "street-light", every = "200ms" }}
meter = {{ bus = "panel", address = 1, profile = "eastron-sdm630", every = "200ms" }}
{more}
"""


class Lone:
    """`async with Lone(folder, run_dir) as lone:` starts devices, `start(uplink)` the agent. None is left behind."""

    def __init__(self, folder: Path, run_dir: Path, *, disk: Path | None = None, keep_free: str = "0B") -> None:
        self.folder = folder
        self.run_dir = run_dir
        self.config = folder / "lamppost.toml"
        self.buffer = (disk or folder) / "buffer.db"
        self._keep_free = keep_free
        self.children = Children(folder)
        self.device_log = folder / "devices.ndjson"
        self.platform: SigningKey
        self._port = 0

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._make_keys)
        words = ["--no-mast", "--no-p1", "--log", str(self.device_log)]
        devices = await self.children.start("devices", [sys.executable, "-m", "drivers.simulated", *words])
        assert devices.stdout is not None
        self._port = json.loads(await asyncio.wait_for(devices.stdout.readline(), WAIT_S))["modbus"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.children.stop_all()

    @property
    def public(self) -> PublicKey:
        """The gateway's public key."""
        return SigningKey.load(self.folder / "batch.key").public(GATEWAY, SITE, "batch")

    async def start(self, uplink: str, *, commit: str = "200ms", batch: str = "500ms") -> None:
        """Start the agent with these lines of [uplink] (nothing: no uplink); wait until it has heard both devices."""
        more = f'[uplink]\nauthority = "authority.json"\nbatch = "{batch}"\n{uplink}' if uplink else ""
        text = CONFIG.format(
            gateway=GATEWAY, site=SITE, buffer=self.buffer, commit=commit, keep_free=self._keep_free, port=self._port,
            more=more,
        )  # fmt: skip
        await asyncio.to_thread(self.config.write_text, text)
        words = ["-m", "gateway", "run", "--config", str(self.config), "--run-dir", str(self.run_dir)]
        await self.children.start("agent", [sys.executable, *words])
        await self.until(
            lambda status: all(device["heard_s"] is not None for bus in status["buses"] for device in bus["devices"])
        )

    async def stop(self) -> tuple[int, float, int]:
        """SIGTERM: the exit code, the seconds it took, and when it was sent (utc_ms)."""
        began, when = time.monotonic(), time.time_ns() // 1_000_000
        code = await self.children.stop("agent")
        return code, time.monotonic() - began, when

    def status(self) -> dict[str, Any]:
        """What the agent says of itself. Blocks."""
        with Client(status_socket(self.run_dir)) as client:
            found: dict[str, Any] = client.call("status")
            return found

    def flush(self) -> None:
        """Have the agent commit and seal what it has. Blocks."""
        with Client(control_socket(self.run_dir)) as client:
            client.call("flush")

    async def until(self, condition: Callable[[dict[str, Any]], object], seconds: float = WAIT_S) -> dict[str, Any]:
        """Ask for the status until `condition` holds; the status."""
        deadline = time.monotonic() + seconds
        while True:
            status = await asyncio.to_thread(self._status)
            if status is not None and condition(status):
                return status
            assert self.children.running("agent"), await asyncio.to_thread(self.log)
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {status}\n{await asyncio.to_thread(self.log)}")
            await asyncio.sleep(0.05)

    def log(self) -> str:
        """What the agent logged. Blocks."""
        return (self.folder / "agent.log").read_text()

    def uncommitted(self, until_ms: int) -> list[tuple[str, str]]:
        """What the devices answered until then (utc_ms) and the store does not have. Blocks."""
        kept = Counter((point, text) for point, _, text, quality in _kept(self.buffer, self.public, {}) if not quality)
        points = {point for point, _ in kept}
        said = Counter(
            (point, exact_text(value))
            for point, utc_ms, value in _device_log(self.device_log)
            if point in points and utc_ms <= until_ms - ANSWER_MS
        )
        assert said
        assert GOOD == 0
        return list((said - kept).elements())

    def unsealed(self) -> int:
        """Samples in the store that no batch has. Blocks."""
        with Reader(self.buffer) as reader:
            return sum(part.samples for part in reader.snapshot().unsealed)

    def _status(self) -> dict[str, Any] | None:
        try:
            return self.status()
        except GatewayError:
            return None

    def _make_keys(self) -> None:
        SigningKey.create(self.folder / "batch.key")
        self.platform = SigningKey.create(self.folder / "platform.key")
        text = self.platform.public("platform", SITE, "acknowledge").to_json()
        (self.folder / "authority.json").write_text(text + "\n")
