"""All of commands put together, as the agent sees it."""

import asyncio
import json
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from buffer import floors
from buffer.ack import Ack
from buffer.command import Wanted
from buffer.errors import StoreError
from buffer.keys import PublicKey
from buffer.orders import newest
from buffer.orders import quiet as kept_quiet
from buffer.thread import StoreThread
from gateway.clock import AgentClock
from gateway.commands import locks, ring, shelf
from gateway.commands.book import Book
from gateway.commands.configure import Configurations
from gateway.commands.desk import Desk
from gateway.commands.execute import Executor
from gateway.commands.hands import Hands
from gateway.commands.judge import Here
from gateway.commands.locks import Lock, Locks
from gateway.commands.revert import Reverter
from gateway.commands.ring import Ring
from gateway.commands.rules import Rules
from gateway.commands.runs import Runs
from gateway.commands.schedules import NOWHERE, Schedules, Site
from gateway.commands.shelf import Shelf
from gateway.commands.silence import Silence
from gateway.keeping.keeper import Keeper
from gateway.keeping.recorder import Recorder
from gateway.polling.bus import BusTask
from gateway.reporting.system import LOCK
from gateway.setup.choice import Choice
from gateway.setup.reload import Reloader

AUTHORITY = "authority"
"""The role of a key that signs keyrings."""
COMMIT_S = 2.0
"""A technician does not wait longer for a slow disk."""


class Office:
    """Takes commands and locks, and tells of them."""

    def __init__(
        self, store: StoreThread, keeper: Keeper, recorder: Recorder, clock: AgentClock, buses: list[BusTask],
        path: Path,
    ) -> None:  # fmt: skip
        self._store = store
        self._keeper = keeper
        self._recorder = recorder
        self._clock = clock
        self._path = path
        self._rules = Rules(buses)
        self._book = Book(store, keeper, recorder, clock)
        self.locks = Locks(locks.beside(path), [bus.driver for bus in buses], clock)
        self._executor = Executor(self._rules, self.locks, recorder, clock)
        self.ring: Ring | None = None
        self._newest_ms = clock.floor_ms

    async def open(self, gateway: str, site: str, authority: PublicKey | None, where: Site = NOWHERE) -> None:
        """Read what is kept; `authority` is the platform's pinned key, whatever its role."""
        stream = await self._store.call(lambda store: store.stream)
        self._here = Here(gateway, site, stream)
        self._platform = authority is not None
        await asyncio.to_thread(self.locks.load)
        if authority is not None and authority.role == AUTHORITY:
            self.ring = Ring(ring.beside(self._path), authority)
            highest = await self._book.ask(partial(floors.floor, name=self.ring.name))
            await asyncio.to_thread(self.ring.load, highest)
            if self.ring.keyring is not None and self.ring.keyring.number > highest:
                lift = partial(floors.lift, name=self.ring.name, number=self.ring.keyring.number)
                await self._book.change(lift)
        silence = Silence(await self._book.ask(kept_quiet), self._clock.boot, self._clock.now())
        hands = Hands()
        self.schedules = Schedules(
            Shelf(shelf.beside(self._path)), self._here, self._clock, self._book, self._rules, self._executor, hands,
            where,
        )  # fmt: skip
        if self.ring is not None:
            await self.schedules.load()
        self.desk = Desk(
            self._here, self._clock, self._book, self._rules, self.locks, self._executor, silence, self.ring, hands,
            self.schedules,
        )  # fmt: skip
        self.reverter = Reverter(
            self._book, self._rules, self._executor, silence, self._clock, hands, self.schedules.runner.value_of
        )

    def configurations(self, reloader: Reloader, choice: Choice) -> Configurations:
        """What takes configurations, by the same rules."""
        runs = Runs(self._book, self._clock, tells=self._platform)
        return Configurations(self._here, self._clock, self._book, self.desk, self.locks, reloader, choice, runs)

    def rearrange(self, buses: list[BusTask]) -> None:
        """Write to these from now on."""
        self._rules.rearrange(buses)
        self.locks.rearrange([bus.driver for bus in buses])
        self.schedules.rearrange()

    def alone(self, buses: Iterable[str]) -> AbstractAsyncContextManager[None]:
        """Nothing is written to `buses` within."""
        return self._executor.alone(buses)

    async def run(self) -> None:
        """Until cancelled. The platform is told anew of the locks that there are: it may have lost what it knew."""
        for lock in self.locks.held():
            self._tell_lock(lock, lock.who, locked=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.desk.run())
            group.create_task(self.reverter.run())
            group.create_task(self.schedules.run())

    def acknowledger(self, message: bytes) -> PublicKey:
        """The acknowledge key of the keyring that a message names; raises `NotAllowed` or `BatchFormatError`."""
        if self.ring is None:
            raise RuntimeError("there is no keyring where the authority signs none")
        return self.ring.acknowledger(message, self._here, max(self._clock.trusted_ms(), self._clock.floor_ms))

    def acknowledged(self, ack: Ack, *, fresh: bool) -> None:
        """An acknowledgement was verified and is about our store; `fresh`: it answers what was sent in this life."""
        newer = ack.time > self._newest_ms
        self._newest_ms = max(self._newest_ms, ack.time)
        self.desk.acknowledged(fresh=fresh, newer=newer)

    async def write(self, point: str, value: Wanted, *, who: str, why: str, dry_run: bool) -> dict[str, Any]:
        """One write on site; its result, also when it is refused. Raises `StoreError`: then nothing was done."""
        told = await self.desk.write(point, value, who=who, why=why, dry_run=dry_run)
        await self._commit()
        found: dict[str, Any] = json.loads(told)
        return found

    async def lock(self, device: str, reason: str, who: str, for_ms: int | None) -> dict[str, Any]:
        """Lock a device, and tell of it at once; raises `NotAllowed` or `OSError`."""
        made = await self.locks.lock(device, reason, who, for_ms)
        self._tell_lock(made, who, locked=True)
        await self._commit()
        return made.json()

    async def unlock(self, device: str, who: str) -> dict[str, Any] | None:
        """End the lock of a device, and tell of it; None when there was none. Raises as `lock`."""
        ended = await self.locks.unlock(device)
        if ended is None:
            return None
        self._tell_lock(ended, who, locked=False)
        await self._commit()
        return ended.json()

    async def last(self) -> list[dict[str, Any]]:
        """The last commands, the newest first; `final` is false for one that is being done."""
        found = await self._book.ask(newest)
        return [json.loads(order.result) | {"final": order.final} for order in found]

    def status(self) -> dict[str, Any]:
        """For `lamppost status`."""
        ring = None if self.ring is None else self.ring.keyring
        return {
            "remote": self.ring is not None,
            "keyring": None if ring is None else ring.number,
            "schedule": self.schedules.edition,
            "open": self.ring is not None and self.desk.answered,
            "refused": dict(self.desk.counts),
            "results": dict(self._book.done),
            "locks": [lock.json() for lock in self.locks.held()],
        }

    async def _commit(self) -> None:
        """What was told is on the disk, unless that takes nothing now: then it is tried on."""
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(COMMIT_S):
                await self._keeper.flush()

    def _tell_lock(self, lock: Lock, who: str, *, locked: bool) -> None:
        told = lock.json() | {"locked": locked, "by": who, "at_ms": self._clock.utc_ms()}
        self._recorder.value(LOCK, json.dumps(told, ensure_ascii=False, separators=(",", ":")))
