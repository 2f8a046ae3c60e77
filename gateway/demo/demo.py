"""The demo's plot: everything starts, the link is cut, the agent is killed, and the account is made."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from buffer.reader import Reader
from ext import GOOD
from gateway.demo.account import Account
from gateway.demo.scene import COMMIT_MS, LEVEL, LIGHT
from gateway.demo.stage import Stage, State, balance
from gateway.errors import GatewayError
from gateway.keeping.formats import CsvWriter
from gateway.keeping.history import History, Selection

KILLED_S = 2.0
"""How long the agent lies dead: shorter than a boot, long enough to be seen."""
REFRESH_S = 0.5
EXPORTED = 3
"""Lines of the export that are shown."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen. Seconds."""

    seconds: float = 60.0
    outage: float = 0.0
    kill: bool = False
    web: bool = False


class Demo:
    """One run in a folder; `event` is told what happens, `refresh` is called twice a second."""

    def __init__(
        self, folder: Path, plan: Plan, event: Callable[[str], None], refresh: Callable[[State], None]
    ) -> None:
        self.stage = Stage(folder)
        self.plan = plan
        self._event = event
        self._refresh = refresh

    async def run(self) -> Account:
        """The whole play; nothing it started is left behind."""
        began = time.monotonic()
        try:
            await self.stage.open()
            self._event("devices, agent, broker and collector are running; look in from another terminal:")
            self._event(f"  lamppost status --run-dir {self.stage.run_dir}")
            if self.plan.web:
                self._event("the technician's page, good for one login:")
                self._event(f"  {await self.stage.start_web()}")  # on a line of its own: nothing breaks it
            if not self.stage.scene.bluetooth:
                self._event("no Bluetooth sensors: there is no dbus-daemon here (apt install dbus)")
            self._event(f"the buffer commits every {COMMIT_MS / 1000:g} s: a power cut loses no more than that")
            await self._dim()
            await self._play()
            self._event("the devices fall silent; what is on its way arrives")
            await self.stage.drain()
            for row in await self.stage.audit():
                self._event(
                    f"audit: {row['who']}, by the key of {row['key']}: {row['status']}; proved by batch {row['batch']}"
                )
        finally:
            await self.stage.close()
        for line in await asyncio.to_thread(exported, self.stage.scene.store, EXPORTED):
            self._event(line)
        self._refresh(self.stage.state)
        result = await asyncio.to_thread(balance, self.stage.scene)
        result.seconds = round(time.monotonic() - began, 1)
        return result

    async def _dim(self) -> None:
        self._event(f"the platform sends a signed command: {LIGHT} = {LEVEL}")
        result = await self.stage.dim()
        (write,) = result["result"]["writes"]
        self._event(f"{result['status']}: the light says {write['read_back']} after {write['ms']} ms")

    async def _play(self) -> None:
        """The outage begins at a quarter of the time; the kill comes in the first third of what is left after it."""
        plan = self.plan
        cut_at = plan.seconds / 4
        up_at = cut_at + plan.outage
        acts = []
        if plan.outage:
            acts.append(asyncio.create_task(self._later(cut_at, self._outage)))
        if plan.kill:
            acts.append(asyncio.create_task(self._later(up_at + (plan.seconds - up_at) / 3, self._kill)))
        try:
            await self._watch(plan.seconds)
            await asyncio.gather(*acts)
        finally:
            for act in acts:
                act.cancel()

    async def _later(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(seconds)
        await act()

    async def _outage(self) -> None:
        self._event(f"the link is cut for {self.plan.outage:g} s")
        await self.stage.cut()
        await asyncio.sleep(self.plan.outage)
        await self.stage.restore()
        self._event("the link is back")

    async def _kill(self) -> None:
        self._event("kill -9 of the agent")
        await self.stage.kill_agent()
        await asyncio.sleep(KILLED_S)
        await self.stage.start_agent()
        self._event("the agent is back")

    async def _watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._refresh(self.stage.state)
            agent = ("agent",) if self.stage.state.agent == "up" else ()
            for name in ("broker", "collector", "devices", *agent):
                if not self.stage.children.running(name):
                    raise GatewayError(f"the demo's {name} ended: see {name}.log in {self.stage.scene.folder}")
            await asyncio.sleep(REFRESH_S)


def exported(store: Path, count: int) -> list[str]:
    """What `lamppost export` says of the newest good samples. Blocks."""
    out = StringIO(newline="")
    with Reader(store) as reader:
        writer = CsvWriter(out, reader.gateway)
        good = (sample for sample in History(reader, Selection()).samples() if sample.quality == GOOD)
        for sample in deque(good, count):
            writer.write(sample)
    return ["the buffer's own record, by lamppost export:", *(f"  {line}" for line in out.getvalue().splitlines())]
