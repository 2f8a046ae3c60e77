"""Runs the demo: starts everything, cuts the link, kills the agent, and makes the account."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.client import Client
from gateway.demo.account import Account, Window, account
from gateway.demo.broker import command as broker_command
from gateway.demo.broker import mosquitto
from gateway.demo.link import Link
from gateway.demo.processes import Children, free_port, wait_for_port
from gateway.demo.scene import COMMIT_MS, Scene
from gateway.errors import GatewayError
from gateway.events import wait_until

START_S = 30.0
DRAIN_S = 30.0
KILLED_S = 2.0
"""How long the agent lies dead: shorter than systemd's RestartSec and a boot, long enough to be seen."""
REFRESH_S = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen. Seconds."""

    seconds: float = 60.0
    outage: float = 0.0
    kill: bool = False


@dataclass(slots=True)
class State:
    """What is going on, for the picture."""

    link: str = "up"
    agent: str = "up"
    windows: list[Window] = field(default_factory=list)
    outages: int = 0
    ended_ms: int = 0


class Demo:
    """One run in a folder; `event` is told what happens, `refresh` is called twice a second."""

    def __init__(self, folder: Path, plan: Plan, event: Callable[[str], None], refresh: Callable[[State], None]) -> None:
        self.scene = Scene(folder)
        self.plan = plan
        self.state = State()
        self._event = event
        self._refresh = refresh
        self._children = Children(folder)
        self._link: Link | None = None

    async def run(self) -> Account:
        """The whole play; nothing it started is left behind."""
        began = time.monotonic()
        try:
            await self._start()
            await self._play()
            await self._end()
        finally:
            await self._children.stop_all()
            if self._link is not None:
                await self._link.cut()
        self._save()
        result = await asyncio.to_thread(balance, self.scene)
        result.seconds = round(time.monotonic() - began, 1)
        return result

    async def _start(self) -> None:
        await asyncio.to_thread(self.scene.prepare)
        broker = free_port()
        await self._children.start("broker", broker_command(self.scene.folder, broker))
        await wait_for_port(broker)
        self._link = Link(broker)
        await self._link.start()
        await self._done("register", self.scene.add_gateway())
        await self._children.start("collector", self.scene.collector_run(broker, shared=mosquitto() is not None))
        ready = await self._first_line("devices", self.scene.simulators())
        self.scene.configure(ready["modbus"], ready["mast"], self._link.port)
        await self._start_agent()
        self._event("devices, agent, broker and collector are running")

    async def _play(self) -> None:
        """The outage begins at a quarter of the time, the kill comes in the middle of what is left after it."""
        acts: list[tuple[float, Callable[[], object]]] = []
        cut_at, up_at = self.plan.seconds / 4, self.plan.seconds / 4 + self.plan.outage
        if self.plan.outage:
            acts += [(cut_at, self._cut), (up_at, self._restore)]
        if self.plan.kill:
            acts.append(((up_at if self.plan.outage else cut_at) + (self.plan.seconds - up_at) / 3, self._kill))
        async with asyncio.TaskGroup() as group:
            for at, act in acts:
                group.create_task(self._later(at, act))
            await self._watch(self.plan.seconds)

    async def _later(self, at: float, act: Callable[[], object]) -> None:
        await asyncio.sleep(at)
        await act()  # type: ignore[misc]

    async def _watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._refresh(self.state)
            for name in ("broker", "collector", "devices"):
                if not self._children.running(name):
                    raise GatewayError(f"the demo's {name} ended: see {self.scene.folder / (name + '.log')}")
            await asyncio.sleep(REFRESH_S)

    async def _cut(self) -> None:
        assert self._link is not None
        self.state.link, self.state.outages = "CUT", self.state.outages + 1
        self._event(f"the link is cut for {self.plan.outage:g} s")
        await self._link.cut()

    async def _restore(self) -> None:
        assert self._link is not None
        await self._link.start()
        self.state.link = "up"
        self._event("the link is back")

    async def _kill(self) -> None:
        killed = _utc_ms()
        await self._children.kill("agent")
        self.state.agent = "KILLED"
        self._event("kill -9 of the agent")
        await asyncio.sleep(KILLED_S)
        await self._start_agent()
        self.state.windows.append(Window(killed, _utc_ms()))
        self.state.agent = "up"
        self._event("the agent is back")

    async def _start_agent(self) -> None:
        """Start the agent and wait until every bus of it is open."""
        process = await self._children.start("agent", self.scene.agent())

        def sampling() -> bool:
            if process.returncode is not None:
                raise GatewayError(f"the agent ended: see {self.scene.folder / 'agent.log'}")
            status = self._status()
            return status is not None and all(d["heard_s"] is not None for bus in status["buses"] for d in bus["devices"])

        await wait_until(sampling, START_S)

    async def _end(self) -> None:
        """Silence the devices, let everything arrive, and stop."""
        self._event("the devices fall silent; what is on its way arrives")
        await self._children.stop("devices")
        self.state.ended_ms = _utc_ms()
        await wait_until(self._drained, DRAIN_S, every=0.5)
        self._refresh(self.state)
        code = await self._children.stop("agent")
        if code:
            raise GatewayError(f"the agent ended with {code}: see {self.scene.folder / 'agent.log'}")

    def _status(self) -> dict[str, Any] | None:
        """What the agent says of itself; None while it says nothing."""
        with contextlib.suppress(GatewayError), Client(self.scene.folder / "status.sock") as client:
            status: dict[str, Any] = client.call("status")
            return status
        return None

    def _drained(self) -> bool:
        """Commit, seal and send whatever there is; whether nothing is left and the buses are known to be silent."""
        with contextlib.suppress(GatewayError), Client(self.scene.folder / "control.sock") as client:
            client.call("flush")
        status = self._status()
        if status is None:
            return False
        silent = all(device["state"] == "offline" for bus in status["buses"] for device in bus["devices"])
        buffer = status["buffer"]
        return silent and buffer["held"]["batches"] == 0 and buffer["samples"] == buffer["committed"]

    async def _first_line(self, name: str, command: list[str]) -> dict[str, Any]:
        process = await self._children.start(name, command)
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
        if not line:
            raise GatewayError(f"the demo's {name} did not start: see {self.scene.folder / (name + '.log')}")
        found: dict[str, Any] = json.loads(line)
        return found

    async def _done(self, name: str, command: list[str]) -> None:
        process = await self._children.start(name, command)
        await process.communicate()
        if process.returncode:
            raise GatewayError(f"{name} failed: see {self.scene.folder / (name + '.log')}")

    def _save(self) -> None:
        state = {
            "windows": [[w.killed_ms, w.back_ms] for w in self.state.windows],
            "outages": self.state.outages,
            "ended_ms": self.state.ended_ms,
        }
        self.scene.windows.write_text(json.dumps(state) + "\n")


def balance(scene: Scene) -> Account:
    """The account of a demo that has ended, made from its folder alone."""
    state = json.loads(scene.windows.read_text())
    result = account(
        scene.device_log,
        scene.store,
        scene.database,
        scene.public_key,
        commit_ms=COMMIT_MS,
        windows=[Window(*pair) for pair in state["windows"]],
        ended_ms=state["ended_ms"],
    )
    result.outages = state["outages"]
    return result


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
