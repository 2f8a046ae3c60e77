"""The demo's machinery: devices, broker, link, collector and agent, each started, cut, killed and started again."""

import asyncio
import contextlib
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.control.client import Client
from gateway.control.sockets import control_socket, status_socket
from gateway.demo.account import Account, Window, account
from gateway.demo.broker import command as broker_command
from gateway.demo.broker import mosquitto
from gateway.demo.link import Link
from gateway.demo.processes import Children, free_port, wait_for_port
from gateway.demo.scene import COMMIT_MS, Scene
from gateway.errors import GatewayError
from gateway.events import wait_until

START_S = 30.0
DRAIN_S = 60.0


@dataclass(slots=True)
class State:
    """What is going on, and what happened that the account must know."""

    link: str = "up"
    agent: str = "up"
    windows: list[Window] = field(default_factory=list)
    outages: int = 0
    ended_ms: int = 0


class Stage:
    """A folder with everything in it. `close` leaves no process behind."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene(folder)
        self.state = State()
        self.children = Children(folder)
        self.run_dir = folder
        self.link = Link()
        self._broker = 0
        self._killed = 0
        self._pages = 0
        self._environment: dict[str, str] = {}

    async def open(self) -> None:
        """Start everything, and wait until every device has been heard."""
        # a socket's path is at most 107 bytes, unix(7), and the folder's may be longer
        self.run_dir = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="lamppost-"))
        await asyncio.to_thread(self.scene.prepare)
        self._broker = self.link.target = free_port()
        await self.start_broker()
        await self.link.start()
        await self._done("register", self.scene.add_gateway())
        await self._done("keyring", self.scene.relay_keyring(self._broker))
        await self.start_collector()
        ready = await self._first_line("devices", await asyncio.to_thread(self.scene.simulators))
        if "ble" in ready:
            self._environment = {"DBUS_SYSTEM_BUS_ADDRESS": ready["ble"]}
        await asyncio.to_thread(self.scene.configure, **ready, link=self.link.port)
        await self.start_agent()

    async def close(self) -> None:
        """End whatever runs, and write down what the account must know."""
        await self.children.stop_all()
        await self.link.cut()
        if self.run_dir != self.scene.folder:
            await asyncio.to_thread(shutil.rmtree, self.run_dir, ignore_errors=True)
        state = {
            "windows": [[window.killed_ms, window.back_ms] for window in self.state.windows],
            "outages": self.state.outages,
            "ended_ms": self.state.ended_ms,
        }
        await asyncio.to_thread(self.scene.history.write_text, json.dumps(state) + "\n")

    async def start_broker(self) -> None:
        """Start the broker, on the same port every time."""
        await self.children.start("broker", await asyncio.to_thread(broker_command, self.scene.folder, self._broker))
        await wait_for_port(self._broker)

    async def start_collector(self) -> None:
        """Start the collector."""
        shared = await asyncio.to_thread(mosquitto) is not None
        await self.children.start("collector", self.scene.collector_run(self._broker, shared=shared))

    async def start_agent(self) -> None:
        """Start the agent, and wait until it has heard every device."""
        process = await self.children.start("agent", self.scene.agent(self.run_dir), self._environment)

        def sampling() -> bool:
            if process.returncode is not None:
                raise GatewayError(f"the agent ended: see {self.scene.folder / 'agent.log'}")
            status = self.status()
            return status is not None and all(
                d["heard_s"] is not None for bus in status["buses"] for d in bus["devices"]
            )

        await wait_until(sampling, START_S)
        if self._killed:
            self.state.windows.append(Window(self._killed, utc_ms()))
            self._killed = 0
        self.state.agent = "up"

    async def start_web(self) -> str:
        """Start the technician's page on a port of this machine; its address, with a login for one use."""
        self._pages += 1
        return str((await self._first_line(f"web{self._pages}", self.scene.web(self.run_dir)))["url"])

    async def kill_agent(self) -> None:
        """kill -9."""
        self.state.agent = "KILLED"
        self._killed = utc_ms()
        await self.children.kill("agent")

    async def dim(self) -> dict[str, Any]:
        """Dim the street light from the platform, once the agent takes commands; what the gateway told of it."""
        await wait_until(self._open, START_S)
        (row,) = await self._done("command", self.scene.dim(self._broker))
        result: dict[str, Any] = row["result"]
        return result

    async def audit(self) -> list[dict[str, Any]]:
        """What was changed, each proved; raises `GatewayError` for what is not."""
        return await self._done("audit", self.scene.audit())

    async def cut(self) -> None:
        """Cut the agent off from the broker."""
        self.state.link, self.state.outages = "CUT", self.state.outages + 1
        await self.link.cut()

    async def restore(self) -> None:
        """Give the agent its link back."""
        await self.link.start()
        self.state.link = "up"

    async def drain(self) -> None:
        """Silence the devices, wait until all that was committed is acknowledged, and stop the agent."""
        await self.children.stop("devices")
        self.state.ended_ms = utc_ms()
        await wait_until(self._drained, DRAIN_S, every=0.5)
        code = await self.children.stop("agent")
        if code:
            raise GatewayError(f"the agent ended with {code}: see {self.scene.folder / 'agent.log'}")
        await wait_until(self._derived, DRAIN_S, every=0.2)

    def _derived(self) -> bool:
        """Whether the collector has made samples of every batch that it has acknowledged."""
        query = "SELECT count(*) FROM waiting WHERE state IN ('ready', 'clock', 'catalogue')"
        with contextlib.closing(sqlite3.connect(f"file:{self.scene.database}?mode=ro", uri=True)) as database:
            return not database.execute(query).fetchone()[0]

    def status(self) -> dict[str, Any] | None:
        """What the agent says of itself; None while it says nothing."""
        with contextlib.suppress(GatewayError), Client(status_socket(self.run_dir)) as client:
            status: dict[str, Any] = client.call("status")
            return status
        return None

    def _open(self) -> bool:
        status = self.status()
        return status is not None and bool(status["commands"]["open"])

    def _drained(self) -> bool:
        """Commit, seal and send whatever there is; whether nothing is left and the buses are known to be silent."""
        with contextlib.suppress(GatewayError), Client(control_socket(self.run_dir)) as client:
            client.call("flush")
        status = self.status()
        if status is None:
            return False
        silent = all(device["state"] == "offline" for bus in status["buses"] for device in bus["devices"])
        buffer = status["buffer"]
        return silent and buffer["held"]["batches"] == 0 and buffer["samples"] == buffer["committed"]

    async def _first_line(self, name: str, command: Sequence[str]) -> dict[str, Any]:
        process = await self.children.start(name, command)
        line = await asyncio.wait_for(process.stdout.readline(), START_S) if process.stdout else b""
        if not line:
            raise GatewayError(f"the demo's {name} did not start: see {self.scene.folder / (name + '.log')}")
        found: dict[str, Any] = json.loads(line)
        return found

    async def _done(self, name: str, command: Sequence[str]) -> list[dict[str, Any]]:
        process = await self.children.start(name, command)
        out, _ = await process.communicate()
        if process.returncode:
            raise GatewayError(f"{name} failed: see {self.scene.folder / (name + '.log')}")
        return [json.loads(line) for line in out.splitlines()]


def balance(scene: Scene) -> Account:
    """The account of a stage that is closed, made from its folder alone."""
    history = json.loads(scene.history.read_text())
    result = account(
        scene.device_log,
        scene.store,
        scene.database,
        scene.public_key,
        commit_ms=COMMIT_MS,
        windows=[Window(*pair) for pair in history["windows"]],
        ended_ms=history["ended_ms"],
    )
    result.outages = history["outages"]
    return result


def utc_ms() -> int:
    """The wall clock of this machine, ms since the epoch."""
    return time.time_ns() // 1_000_000
