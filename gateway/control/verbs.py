"""What the daemon answers on its sockets: reading on `status.sock`, changing on `control.sock`."""

import asyncio
import fnmatch
import json
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from buffer.command import Wanted
from buffer.delivery import Held
from buffer.store import Store
from config import ConfigErrors
from ext import Value
from ext.quality import describe
from gateway.control.commissioning import Walk
from gateway.control.frames import Frames
from gateway.control.fresh import Fresh
from gateway.control.leases import Leases
from gateway.control.replaced import MAX_AGO_MS
from gateway.control.server import Args, Verb, whoever
from gateway.control.status import status, value_json
from gateway.control.trends import Trends
from gateway.doctor.inside import Inside
from gateway.errors import BadRequest, GatewayError
from gateway.keeping.queued import held_json
from gateway.keeping.stored import ANSWER_S
from gateway.reporting.system import DECOMMISSIONED
from gateway.setup.effective import files, rows

if TYPE_CHECKING:
    from gateway.agent import Agent

TAIL_QUEUE = 10_000
"""Samples that may wait for a slow reader; what does not fit is counted and told."""
QUEUE_MAX = 1_000
SQLITE_MAX = 2**63 - 1
"""The greatest integer that SQLite takes."""
PROBLEMS_MAX = 20
PATTERNS_MAX = 64
TEXT_MAX = 200
"""Characters of a point, a value or a reason."""
LOCK_MAX_MS = 365 * 86_400_000
NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


class Verbs:
    """The verbs of one agent."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        inside, walk = Inside(agent), Walk(agent)
        self.view: dict[str, Verb] = {
            "status": self.status,
            "tail": self.tail,
            "queue": self.queue,
            "examine": inside.examine,
            "doctor": inside.doctor,
            "frames": self.frames,
            "commands": self.commands,
            "configuration": self.configuration,
            "schedule": self.schedule,
            "replacements": self.replacements,
            "events": self.events,
            "trends": Trends(agent).trends,
            "walk": walk.walk,
            "tick": walk.tick,
            "sign": walk.sign,
            "record": walk.record,
        }
        self.operate: dict[str, Verb] = {
            "flush": self.flush,
            "reload": self.reload,
            "forget": self.forget,
            "lease": self.lease,
            "read": self.read,
            "write": self.write,
            "lock": self.lock,
            "unlock": self.unlock,
            "replace": self.replace,
            "withdraw": self.withdraw,
            "decommission": self.decommission,
        }

    async def status(self, _: Args) -> dict[str, Any]:
        """The state of everything, now."""
        return await status(self._agent)

    async def queue(self, args: Args) -> list[dict[str, Any]]:
        """The batches that are sealed and not acknowledged, the oldest thousand of them; first those salvaged.

        With `after`, only those with a higher number, and none of those salvaged.
        """
        after = args.get("after", 0)
        if type(after) is not int or not 0 <= after <= SQLITE_MAX:
            raise BadRequest("after: the number of a batch")
        spool = self._agent.spool if after == 0 else None

        def waiting(store: Store) -> list[Held]:
            return [*(spool.held() if spool is not None else ()), *store.held(QUEUE_MAX, after)][:QUEUE_MAX]

        try:
            async with asyncio.timeout(ANSWER_S):
                held = await self._agent.store.call(waiting)
        except TimeoutError as error:
            why = self._agent.keeper.disk.error or "the disk does not answer"
            raise GatewayError(why, "lamppost status") from error
        return [held_json(batch) for batch in held]

    async def events(self, args: Args) -> list[dict[str, Any]]:
        """What was logged lately, the newest first."""
        return await self._agent.lately.events(args)

    async def flush(self, _: Args) -> dict[str, Any]:
        """Commit and seal everything now."""
        await self._agent.keeper.flush()
        self._agent.view.stale()
        return {"committed": self._agent.keeper.counts.committed}

    async def configuration(self, args: Args) -> AsyncGenerator[dict[str, Any], None]:
        """What runs: every key with its origin (`effective`), or the files."""
        agent = self._agent
        if args.get("effective"):
            for row in list(rows(agent.config, tuple(agent.drivers))):
                yield row
            return
        texts = agent.configurations.texts
        for file in await asyncio.to_thread(lambda: list(files(agent.config, texts))):
            yield file

    async def reload(self, _: Args) -> dict[str, Any]:
        """Read the configuration again; what changed."""
        try:
            found = await self._agent.configurations.reload()
        except ConfigErrors as errors:
            told = "; ".join(map(str, errors.problems[:PROBLEMS_MAX]))
            raise GatewayError(f"not reloaded, what ran runs on: {told}", "lamppost check") from errors
        return {**asdict(found), "hash": self._agent.config.fingerprint}

    async def forget(self, args: Args) -> list[str]:
        """Forget what was learned of `device`, or of all: it is asked again. The devices of which something was."""
        device, quirks = args.get("device"), self._agent.quirks
        if device is not None and not (isinstance(device, str) and quirks.knows(device)):
            raise BadRequest("device: no such device")
        return await quirks.forget(device)

    def frames(self, args: Args) -> AsyncGenerator[dict[str, Any], None]:
        """What goes over `buses`."""
        return Frames(self._agent.buses, self._agent.clock).frames(args)

    def lease(self, args: Args) -> AsyncGenerator[dict[str, Any], None]:
        """Free the port of a bus for a while."""
        return Leases(self._agent.buses).lease(args)

    def read(self, args: Args) -> AsyncGenerator[dict[str, Any], None]:
        """Ask for `points` now."""
        agent = self._agent
        units = {name: point.unit for name, point in agent.points.items()}
        return Fresh(agent.buses, agent.recorder, agent.clock, units).read(args)

    async def commands(self, _: Args) -> list[dict[str, Any]]:
        """The last commands and what came of them, the newest first."""
        return await self._agent.office.last()

    async def schedule(self, _: Args) -> dict[str, Any]:
        """The schedule, what is in force by it, and what comes next."""
        return await self._agent.office.schedules.json()

    async def write(self, args: Args) -> dict[str, Any]:
        """Write `value` (text: a number, true, false or a name) to `point`; the result, as of any command."""
        point, why = _text(args, "point"), _text(args, "why", "on site")
        value = wanted(_text(args, "value"), self._names(point))
        dry_run = args.get("dry_run", False)
        if type(dry_run) is not bool:
            raise BadRequest("dry_run: true or false")
        return await self._agent.office.write(point, value, who=await whoever(), why=why, dry_run=dry_run)

    def _names(self, point: str) -> tuple[str, ...]:
        """What may be written to it by name."""
        found = self._agent.points.get(point)
        return () if found is None or found.writable is None else found.writable.names

    async def lock(self, args: Args) -> dict[str, Any]:
        """Lock `device` for `reason`, for `for_ms` or until it is unlocked."""
        for_ms = args.get("for_ms")
        if for_ms is not None and (type(for_ms) is not int or not 0 < for_ms <= LOCK_MAX_MS):
            raise BadRequest(f"for_ms: 1 to {LOCK_MAX_MS}")
        office, device, reason = self._agent.office, self._device(args), _text(args, "reason")
        try:
            return await office.lock(device, reason, await whoever(), for_ms)
        except OSError as error:
            raise GatewayError(f"{device} is NOT locked: {error}", "lamppost status") from error

    async def unlock(self, args: Args) -> dict[str, Any] | None:
        """End the lock of `device`; what it was, None for none."""
        device = self._device(args)
        try:
            return await self._agent.office.unlock(device, await whoever())
        except OSError as error:
            raise GatewayError(f"{device} is still locked: {error}", "lamppost status") from error

    async def replacements(self, _: Args) -> list[dict[str, Any]]:
        """The meters that were exchanged, the oldest first."""
        return [event.json() for event in self._agent.replaced.all()]

    async def replace(self, args: Args) -> dict[str, Any]:
        """Note that the meter behind `point` of `device` was exchanged: `final`, `start` (texts), `ago_ms`, `why`."""
        full = self._counter(args)
        final, start = (_decimal(args, name) for name in ("final", "start"))
        why, ago = _text(args, "why", "on site"), args.get("ago_ms", 0)
        if type(ago) is not int or not 0 <= ago <= MAX_AGO_MS:
            raise BadRequest(f"ago_ms: 0 to {MAX_AGO_MS}")
        try:
            made = await self._agent.replaced.add(full, final, start, ago, await whoever(), why)
        except OSError as error:
            raise GatewayError(f"the replacement is NOT noted: {error}", "lamppost status") from error
        return made.json()

    async def withdraw(self, args: Args) -> dict[str, Any]:
        """Take back the last replacement of `point` of `device`."""
        try:
            return (await self._agent.replaced.withdraw(self._counter(args))).json()
        except OSError as error:
            raise GatewayError(f"the replacement is NOT withdrawn: {error}", "lamppost status") from error

    async def decommission(self, args: Args) -> dict[str, Any]:
        """Tell the platform, signed and before all else, that keys and data here are about to be destroyed.

        `numbers` are the batches that were sealed for it and are not acknowledged yet.
        """
        told = {"who": await whoever(), "why": _text(args, "why"), "at_ms": self._agent.clock.utc_ms()}
        before = await self._agent.store.call(lambda store: store.last_number)
        self._agent.recorder.value(DECOMMISSIONED, json.dumps(told))
        await self._agent.keeper.flush()
        held = await self._agent.store.call(lambda store: store.held(QUEUE_MAX, before))
        return {**told, "numbers": [batch.number for batch in held]}

    def _counter(self, args: Args) -> str:
        point = None if args.get("point") is None else _text(args, "point")
        return self._agent.replaced.counter(_text(args, "device"), point)

    def _device(self, args: Args) -> str:
        device = _text(args, "device")
        if not self._agent.office.locks.places(device):
            raise BadRequest("device: no such device")
        return device

    def tail(self, args: Args) -> AsyncGenerator[dict[str, Any], None]:
        """Each sample as it is judged; `points` are shell patterns of full point ids."""
        patterns = args.get("points") or ["*"]
        if (
            not isinstance(patterns, list)
            or len(patterns) > PATTERNS_MAX
            or not all(isinstance(p, str) for p in patterns)
        ):
            raise BadRequest(f"points: a list of at most {PATTERNS_MAX} patterns")
        return self._tail(patterns)

    async def _tail(self, patterns: list[str]) -> AsyncGenerator[dict[str, Any], None]:
        queue: asyncio.Queue[tuple[str, int, Value, int]] = asyncio.Queue(TAIL_QUEUE)
        missed = 0

        def listener(name: str, boot_ms: int, value: Value, quality: int) -> None:
            nonlocal missed
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                if queue.full():
                    missed += 1
                else:
                    queue.put_nowait((name, boot_ms, value, quality))

        stop = self._agent.recorder.listen(listener)
        try:
            while True:
                name, boot_ms, value, quality = await queue.get()
                yield self._sample(name, boot_ms, value, quality) | ({"missed": missed} if missed else {})
                missed = 0
        finally:
            stop()

    def _sample(self, name: str, boot_ms: int, value: Value, quality: int) -> dict[str, Any]:
        clock = self._agent.clock
        return {
            "point": name,
            "utc_ms": clock.utc_ms() - (clock.now() - boot_ms),
            "value": value_json(value),
            "unit": self._agent.points[name].unit if name in self._agent.points else "",
            "quality": describe(quality),
        }


def wanted(text: str, names: Sequence[str] = ()) -> Wanted:
    """What a technician wants to write: one of `names`, where values have names; raises `BadRequest`."""
    if names:
        if text not in names:
            raise BadRequest(f"value: one of {', '.join(names)}; found {text!r}")
        return text
    if text in ("true", "false"):
        return text == "true"
    if not NUMBER.fullmatch(text):
        raise BadRequest(f"value: a number such as 40 or -1.5, true or false; found {text!r}")
    return Decimal(text)


def _decimal(args: Args, name: str) -> str:
    """A reading as it was written down; raises `BadRequest`."""
    text = _text(args, name)
    if not NUMBER.fullmatch(text):
        raise BadRequest(f"{name}: a number such as 48211.7; found {text!r}")
    return text


def _text(args: Args, name: str, default: str | None = None) -> str:
    found = args.get(name, default)
    if not isinstance(found, str) or not 0 < len(found) <= TEXT_MAX:
        raise BadRequest(f"{name}: a text of 1 to {TEXT_MAX} characters")
    return found
