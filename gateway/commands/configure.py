"""Configurations from afar: judged like commands, checked like files, tried, and taken back when they do no good."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from buffer import cose, floors
from buffer.configuration import Configuration
from buffer.errors import BufferFault, NotAllowed, StoreError
from buffer.header import ClockState
from buffer.keyring import ANY, RingKey
from config import Config, ConfigErrors, Problem
from gateway.clock import AgentClock
from gateway.commands import pushed
from gateway.commands.book import Book
from gateway.commands.desk import Desk
from gateway.commands.judge import Here, Moment, leaves_room, meant
from gateway.commands.locks import Locks, place
from gateway.commands.pushed import Push, State
from gateway.commands.runs import Runs
from gateway.errors import GatewayError
from gateway.setup import installation, kept
from gateway.setup.choice import ROLLED_BACK, Choice, choose
from gateway.setup.installation import Installation
from gateway.setup.reload import Difference, Reloader
from gateway.uplink.transport import Message

log = logging.getLogger(__name__)

INBOX_MAX = 4
"""Signed configurations that wait: each takes up to 1 MiB, and one at a time is tried."""
KEEPS = 0.95
"""Of the share of points that answered before, so much must answer again: one flaky device of twenty undoes nothing."""
LOOK_S = 0.5
AGAIN_S = 5.0
"""A bus that is lent now cannot be changed back now."""
TOLD_A_MINUTE = 10
DAY_S = 86_400.0
"""So often it is looked whether the platform is to be told anew which files run."""
REASON_MAX = 4_000
"""Characters of what is wrong: forty problems."""
UNTOLD = frozenset(("addressee", "replay"))


@dataclass(frozen=True, slots=True)
class _Found:
    configuration: Configuration
    key: RingKey


class Configurations:
    """Takes configurations, from afar or out of the gateway's own files, one after the other."""

    def __init__(
        self, here: Here, clock: AgentClock, book: Book, desk: Desk, locks: Locks, reloader: Reloader, choice: Choice,
        runs: Runs,
    ) -> None:  # fmt: skip
        self._here = here
        self._clock = clock
        self._book = book
        self._desk = desk
        self._locks = locks
        self._reloader = reloader
        self._runs = runs
        self._state = choice.state
        self._own = choice.own
        self._file = pushed.beside(reloader.running.buffer.path)
        self._main = Path(reloader.running.where(""))
        self._inbox: asyncio.Queue[_Found] = asyncio.Queue(INBOX_MAX)
        self._changing = asyncio.Lock()
        self._trial_ends = 0
        self._answered_at = -1
        self._told: list[int] = []
        self.counts: dict[str, int] = {}
        """What was refused in this life, by its reason."""

    def received(self, message: Message) -> bool:
        """Take a message of the topic `command`; False when it is no configuration that somebody signed who may."""
        ring = None if self._desk.ring is None else self._desk.ring.keyring
        if ring is None:
            return False
        try:
            envelope = cose.read(message.payload)
            key = ring.find(envelope.kid, "configure", 0)
            found = _Found(Configuration.read(envelope, key), key)
        except BufferFault:
            return False
        if message.retained:
            self._count("retained", "a broker that keeps a configuration would give it to us again and again")
        elif self._inbox.full():
            self._count("busy", "others wait already")
        else:
            self._inbox.put_nowait(found)
        return True

    def acknowledged(self) -> None:
        """The platform has acknowledged what was sent in this life."""
        self._answered_at = self._clock.now()

    async def run(self) -> None:
        """Tell what runs, and take what comes, until cancelled."""
        if self._desk.ring is not None or self._state.last is not None:
            await self._note(self._state)
            self._tell("running", self._state.last[2] if self._state.last else "", None)
        while True:
            await self._tell_files()
            try:
                async with asyncio.timeout(DAY_S):
                    found = await self._inbox.get()
            except TimeoutError:
                continue
            try:
                await self._take(found)
            except (StoreError, OSError) as error:
                log.error("a configuration was not taken: %s", error)
                self._count("disk", str(error))
            except Exception:  # whatever anybody may send must not end the agent
                log.exception("a configuration was not understood")
                self._count("failed", "")

    async def reload(self) -> Difference:
        """Read the gateway's own files again and run what they say; raises `ConfigErrors`, `GatewayError`."""
        async with self._changing:
            own = await asyncio.to_thread(installation.read, self._main)
            if self._state.trial is not None and own.config.fingerprint == self._own:
                raise GatewayError("a configuration from afar is on trial", "lamppost status")
            state, trial = self._state, self._state.trial
            if trial is not None:
                state = state.ended(ROLLED_BACK, "the gateway's own files were changed meanwhile")
            choice = await asyncio.to_thread(choose, own, state)
            found = await self._reloader.apply(choice.installation)
            self._own = choice.own
            if (copy := kept.folder()) is not None:
                await asyncio.to_thread(kept.keep, self._main, copy)
            lost = choice.state != self._state
            await self._note(choice.state)
            if lost or self._desk.ring is not None:
                self._tell("running", choice.state.last[2] if lost and choice.state.last else "", trial)
            await self._tell_files()
            return found

    def status(self) -> dict[str, Any]:
        """For `lamppost status`."""
        state, last = self._state, self._state.last
        left = max(self._trial_ends - self._clock.now(), 0) / 1000
        return {
            "hash": self._reloader.running.fingerprint,
            "source": "own" if state.trial is None and state.kept is None else "pushed",
            "own_hash": self._own,
            "number": state.highest,
            "trial": None if state.trial is None else {"number": state.trial.number, "left_s": left},
            "last": None if last is None else dict(zip(("number", "status", "reason"), last, strict=True)),
            "refused": dict(self.counts),
        }

    @property
    def texts(self) -> tuple[tuple[str, str], ...] | None:
        """What came from afar and runs; None: the gateway's own files do."""
        push = self._state.trial or self._state.kept
        return None if push is None else push.texts

    # ----------------------------------------------------------------------------------------------------------------

    async def _take(self, found: _Found) -> None:
        made = found.configuration
        push = Push(made.number, "", self._own, made.texts, made.who, made.why, found.key.name)
        try:
            async with self._changing:
                await self._authorise(found)
                wanted = await self._checked(made)
                push = replace(push, fingerprint=wanted.config.fingerprint)
                before, previous = self._reloader.answering(), self._reloader.running
                await self._begin(push, wanted)
        except NotAllowed as error:
            await self._refuse(push, error)
            return
        reason = await self._fault(push, before)
        if reason:
            log.warning("configuration %d is taken back: %s", push.number, reason)
        while True:
            if await self._judged(push, reason, previous):
                return
            await asyncio.sleep(AGAIN_S)

    async def _judged(self, push: Push, reason: str, previous: Config) -> bool:
        """Keep it, or take it back for that reason; False when that cannot be done now."""
        async with self._changing:
            if self._state.trial is not push:  # somebody on site has overruled it
                return True
            if not reason:
                await self._end(replace(self._state, kept=push, trial=None, last=(push.number, "kept", "")), push)
                return True
            try:
                await self._reloader.apply(await asyncio.to_thread(installation.of, previous))
            except (GatewayError, ConfigErrors) as error:
                log.error("configuration %d is not taken back yet: %s", push.number, error)
                return False
            await self._end(self._state.ended(ROLLED_BACK, reason), push)
            return True

    async def _authorise(self, found: _Found) -> None:
        made, ring = found.configuration, self._desk.ring
        if ring is None or ring.keyring is None:
            raise NotAllowed("key", "there is no keyring")
        key = ring.keyring.find(found.key.public.kid, found.key.role, 0)  # the next one may have come meanwhile
        known = self._clock.trusted().state is not ClockState.UNSET
        now_ms = max(self._clock.trusted_ms(), self._clock.floor_ms) if known else None
        moment = Moment(now_ms, self._desk.answered)
        meant(made, key, self._here, moment)
        if not _whole(key, self._here):
            raise NotAllowed("scope", f"{key.name} may not configure all of {self._here.gateway}")
        highest = max(self._state.highest, await self._book.ask(partial(floors.floor, name=floors.CONFIGURATION)))
        if made.number <= highest:
            raise NotAllowed("replay", f"number {made.number} came, {highest} was here")
        if not leaves_room(made.number, moment):
            raise NotAllowed("early", f"number {made.number} is later than tomorrow, as ms since the epoch")
        running = self._reloader.running.fingerprint
        if made.base.hex() != running:
            raise NotAllowed("drift", f"it was made from {made.base.hex()[:12]}, and {running[:12]} runs")
        if await asyncio.to_thread(installation.own_fingerprint, self._main) != self._own:
            raise NotAllowed("drift", "somebody has changed the gateway's own files and not yet loaded them")

    async def _checked(self, made: Configuration) -> Installation:
        """What it comes to; raises `NotAllowed` (`problems`, `lock`, `busy`)."""
        try:
            wanted = await asyncio.to_thread(installation.read_pushed, self._main, made.texts)
            problems = await asyncio.to_thread(installation.overloaded, wanted)
        except ConfigErrors as errors:
            raise NotAllowed("problems", _sentence(errors.problems)) from errors
        if problems:
            raise NotAllowed("problems", _sentence(problems))
        try:
            found = self._reloader.check(wanted.config)
        except GatewayError as error:
            raise NotAllowed("busy", str(error)) from error
        for driver in wanted.drivers:
            for device in driver.setup.devices if driver.setup.bus.id in found.begun else ():
                self._locks.check_new(device.device.id, place(driver, device))
        for name in _devices(self._reloader.running, found.stopped):
            self._locks.check(name)
        return wanted

    async def _begin(self, push: Push, wanted: Installation) -> None:
        """On the disk first: whatever happens from now on, the next life knows that it is a trial."""
        await self._keep(replace(self._state, highest=push.number, trial=push))
        self._trial_ends = self._clock.now() + self._trial_ms
        try:
            await self._reloader.apply(wanted)
        except GatewayError as error:
            await self._keep(replace(self._state, trial=None))
            raise NotAllowed("busy", str(error)) from error
        log.info("configuration %d of %s is on trial", push.number, push.who)
        self._tell("applied", "", push)

    async def _fault(self, push: Push, before: tuple[int, int]) -> str:
        """Watch a trial: why it is no good when its time is over, "" as soon as it is."""
        began, (there, all_before) = self._clock.now(), before
        while True:
            await asyncio.sleep(LOOK_S)
            if self._state.trial is not push:
                return ""
            now, (here, points) = self._clock.now(), self._reloader.answering()
            answered = self._answered_at > began
            enough = here * all_before >= KEEPS * there * points
            if answered and enough:
                return ""
            if now >= self._trial_ends:
                broker = "" if answered else "the platform has acknowledged nothing since; "
                return f"{broker}{here} of {points} points answer, {there} of {all_before} did before"

    async def _end(self, state: State, push: Push) -> None:
        await self._note(state)
        self._tell(state.last[1] if state.last else "", state.last[2] if state.last else "", push)

    async def _tell_files(self) -> None:
        await self._runs.tell(self._reloader.running, self._main, self.texts)

    async def _refuse(self, push: Push, error: NotAllowed) -> None:
        self._count(error.reason, str(error))
        now = self._clock.now()
        self._told = [at for at in self._told if now - at < 60_000]
        if error.reason in UNTOLD or len(self._told) >= TOLD_A_MINUTE:
            return
        self._told.append(now)
        self._tell("refused", f"{error.reason}: {error}", push, taken=error.reason in ("problems", "drift", "lock"))

    async def _note(self, state: State) -> None:
        """Keep what is so already; where the disk does not take it the next life finds what was before."""
        try:
            await self._keep(state)
        except OSError as error:
            log.error("the state of configurations is not on the disk: %s", error)
            self._state = state

    async def _keep(self, state: State) -> None:
        """On the disk when this returns; raises `OSError`."""
        if state != self._state or state.trial is not None or self._file.exists():
            await asyncio.to_thread(pushed.keep, self._file, state)
        self._state = state

    @property
    def _trial_ms(self) -> int:
        uplink = self._reloader.running.uplink
        return 0 if uplink is None else uplink.trial

    def _tell(self, status: str, reason: str, push: Push | None, *, taken: bool = True) -> None:
        """Let the platform know, in the chain; the number of `push` is gone with it, if it is `taken`."""
        told = {
            "number": self._state.highest if push is None else push.number,
            "status": status,
            "reason": reason[:REASON_MAX],
            "hash": self._reloader.running.fingerprint,
            "source": self.status()["source"],
            "who": "" if push is None else push.who,
            "why": "" if push is None else push.why,
            "key": "" if push is None else push.key,
            "wanted": "" if push is None else push.fingerprint,
            "at_ms": self._clock.utc_ms(),
        }
        also: Callable[[Any], None] = lambda _: None  # noqa: E731 - nothing to note
        if push is not None and taken:
            also = partial(floors.lift, name=floors.CONFIGURATION, number=push.number)
            self._state = replace(self._state, highest=max(self._state.highest, push.number))
        self._book.tell_configuration(json.dumps(told, ensure_ascii=False, separators=(",", ":")), also)

    def _count(self, reason: str, detail: str) -> None:
        if reason not in self.counts:
            log.warning("a configuration was refused (%s): %s; further ones are counted", reason, detail)
        self.counts[reason] = self.counts.get(reason, 0) + 1


def _whole(key: RingKey, here: Here) -> bool:
    """Whether a scope of `key` takes in the gateway with all that it has."""
    places = (here.site, here.gateway)
    return any(
        all(want in (ANY, have) for want, have in zip(scope, places, strict=False))
        and all(part == ANY for part in scope[2:])
        for scope in key.scopes
    )


def _sentence(problems: tuple[Problem, ...] | list[Problem]) -> str:
    """All of them, as far as there is room."""
    told, room = [], REASON_MAX - 40
    for problem in problems:
        room -= len(str(problem)) + 2
        if room < 0:
            break
        told.append(str(problem))
    more = len(problems) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _devices(config: Config, buses: tuple[str, ...]) -> list[str]:
    return [device.id for device in config.devices.values() if device.bus in buses]
