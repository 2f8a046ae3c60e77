"""Schedules: which one is taken, on trial, in force or rolled back, and what is told of it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from buffer import cose
from buffer.calendar import Calendar, Switch
from buffer.command import value_json
from buffer.errors import BatchFormatError, NotAllowed, SignatureError
from buffer.keyring import Keyring, RingKey
from buffer.orders import MAX_LASTING, newest
from buffer.schedule import Entry, Schedule
from gateway.clock import AgentClock
from gateway.commands.book import Book
from gateway.commands.execute import Executor
from gateway.commands.hands import Hands
from gateway.commands.judge import Here, Moment, admit, command_key, leaves_room
from gateway.commands.rules import Rules
from gateway.commands.runner import LOOK_S, Runner
from gateway.commands.shelf import Kept, Shelf, Signed
from gateway.commands.task import Outcome, Source, Status, Task, result_of
from gateway.commands.timetable import Timetable

log = logging.getLogger(__name__)

TRIAL_MS = 120_000
"""A new schedule has proved itself when its first writes were done, or so much later."""
AGAIN_S = 60.0
NEXT = 10
"""Switches to come that people are shown."""

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Site:
    """Where and by whose time the schedules of this gateway run; a device's own place wins."""

    zone: str = "UTC"
    location: Place | None = None


NOWHERE = Site()


def verify(message: bytes, ring: Keyring | None) -> Signed:
    """A schedule that a command key of `ring` signed; raises `NotAllowed`."""
    if ring is None:
        raise NotAllowed("key", "no keyring has come yet")
    try:
        envelope = cose.read(message)
        key = command_key(ring, envelope.kid)
        return Signed(Schedule.read(envelope, key), key, message)
    except SignatureError as error:
        raise NotAllowed("signature", str(error)) from error
    except BatchFormatError as error:
        raise NotAllowed("format", str(error)) from error


class Schedules:
    """The schedule of this gateway."""

    def __init__(
        self, shelf: Shelf, here: Here, clock: AgentClock, book: Book, rules: Rules, executor: Executor,
        hands: Hands, site: Site,
    ) -> None:  # fmt: skip
        self._shelf = shelf
        self._here = here
        self._clock = clock
        self._book = book
        self._rules = rules
        self._hands = hands
        self._site = site
        self.runner = Runner(book, rules, executor, clock, hands)
        self.runner.on_refused_by_device = self._failed
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._trial_since: int | None = None
        self._failure = ""
        self._unusable: list[str] = []

    @property
    def edition(self) -> int | None:
        """Which one is in force."""
        return None if self.runner.signed is None else self.runner.signed.schedule.edition

    @property
    def pending(self) -> int:
        """The number whose result is told when its trial is over; 0: there is none."""
        current = self._shelf.kept.current
        return 0 if current is None else current.schedule.number

    async def load(self) -> None:
        """Read what is kept, and follow it; entries that the configuration no longer allows are left out."""
        await asyncio.to_thread(self._shelf.load)
        kept = self._shelf.kept
        if kept.current is not None and kept.current.schedule.gateway != self._here.gateway:
            log.error("the schedule on this disk is of %s: not followed", kept.current.schedule.gateway)
            self._shelf.kept = Kept(kept.edition)
            return
        self._hands.load(await self._book.ask(newest))
        await self._catch_up()
        self._follow()

    def rearrange(self) -> None:
        """The points, their rules and their places may be others from now on."""
        if self._shelf.kept.current is not None:
            self._follow()

    async def run(self) -> None:
        """Look once a second until cancelled."""
        try:
            while True:
                if self.runner.timetable is None:
                    await self._news.wait()
                try:
                    await self.runner.look()
                    async with self._turn:
                        await self._judge()
                except Exception:  # whatever a calendar may say must not end the agent, at each start again
                    log.exception("the schedule is not followed for a while")
                    await asyncio.sleep(AGAIN_S)
                await asyncio.sleep(LOOK_S)
        finally:
            await self.runner.stop()

    def admit(self, signed: Signed, moment: Moment) -> None:
        """Raise `NotAllowed` unless it is for us, now, within its key's scopes, newer, and all of it can be done."""
        schedule = signed.schedule
        admit(schedule, signed.key, self._here, moment)
        if schedule.edition <= self._shelf.kept.edition:
            raise NotAllowed("edition", f"{schedule.edition} came, {self._shelf.kept.edition} was here")
        if not leaves_room(schedule.edition, moment):
            raise NotAllowed("edition", f"{schedule.edition} is later than tomorrow, as ms since the epoch")
        self._check_ended(signed.key)
        for point, value in schedule.values:
            self._rules.lasting(point, value)
        if lost := self._calendar(schedule, lambda _point, _entry: True).unplaced():
            raise NotAllowed("location", f"{lost[0]}: nobody knows where it is, so not when its sun sets")

    def _check_ended(self, key: RingKey) -> None:
        """Raise `NotAllowed` when the key may not write all of what would be at its end."""
        if self._shelf.kept.current is None:
            return
        ended = self._shelf.kept.current.schedule
        for point in ended.points:
            if not key.covers(self._here.site, self._here.gateway, *point.split("/")):
                raise NotAllowed("scope", f"{key.name} may not end what schedule {ended.edition} says of {point}")

    async def take(self, signed: Signed, accepted_ms: int) -> None:
        """Follow it: on the disk first. Raises `NotAllowed` or `StoreError`; an `OSError` is its result."""
        async with self._turn:
            await self._take(signed, accepted_ms)

    # ----------------------------------------------------------------------------------------------------------------

    async def _take(self, signed: Signed, accepted_ms: int) -> None:
        schedule = signed.schedule
        await self._book.accept(
            replace(_task(signed, accepted_ms), expires_ms=schedule.expires_ms), signed.message, (), (), MAX_LASTING
        )
        before = self._shelf.kept
        try:
            await self._shelf.put(before.taking(signed))
        except OSError as error:
            self._tell(signed, Status.FAILED, f"the disk does not take it: {error}")
            return
        if before.trial and before.current is not None:
            self._tell(before.current, Status.REFUSED, f"superseded: by schedule {schedule.edition}")
        log.info(
            "schedule %d taken: %d entries, signed by %s", schedule.edition, len(schedule.entries), signed.key.name
        )
        self._trial_since, self._failure = None, ""
        self._follow()

    async def _catch_up(self) -> None:
        """A life before may have ended between telling that a trial was over and noting it, or the other way round."""
        kept = self._shelf.kept
        if kept.current is None:
            return
        waits = kept.current.schedule.number in {order.number for order in await self._book.unfinished()}
        if waits and not kept.trial:
            self._tell(kept.current, Status.VERIFIED)
        elif kept.trial and not waits:
            self._shelf.kept = kept.proved()  # the next that is put there has it on the disk

    async def _judge(self) -> None:
        """End a trial: with the last good one if a device did not take what the new one says."""
        kept, timetable, now = self._shelf.kept, self.runner.timetable, self._clock.now()
        if not kept.trial or kept.current is None or timetable is None or self.runner.utc_ms() is None:
            return
        self._trial_since = now if self._trial_since is None else self._trial_since
        if self._failure:
            await self._roll_back(kept.current)
        elif timetable.begun or now - self._trial_since >= TRIAL_MS:
            self._tell(kept.current, Status.VERIFIED)
            await self._note(kept.proved())

    async def _note(self, kept: Kept) -> None:
        """A disk that does not take it now has it with the next one."""
        try:
            await self._shelf.put(kept)
        except OSError as error:
            log.error("the state of the schedule is not on the disk: %s", error)
            self._shelf.kept = kept

    async def _roll_back(self, failed: Signed) -> None:
        reason, self._failure = self._failure, ""
        kept = self._shelf.kept
        if kept.before is None:
            self._tell(failed, Status.FAILED, f"{reason}; it stays, for there is none before it")
            self._shelf.kept = kept.proved()  # not on the disk: a life that does not find it told must try it again
            return
        await self._note(kept.rolled_back())
        back = kept.before.schedule.edition
        log.warning("schedule %d: rolled back to %d: %s", failed.schedule.edition, back, reason)
        self._tell(failed, Status.FAILED, f"rolled back to schedule {back}: {reason}")
        self._follow()

    def _failed(self, reason: str) -> None:
        if self._shelf.kept.trial:
            self._failure = self._failure or reason

    def _tell(self, signed: Signed, status: Status, reason: str = "") -> None:
        now = self._clock.trusted_ms()
        told = result_of(_task(signed, now), Outcome(status, reason), now)
        self._book.finish(signed.schedule.number, status, told)

    def _follow(self) -> None:
        current = self._shelf.kept.current
        if current is None:
            self.runner.follow(None, None)
            return
        self._unusable = []
        calendar = self._calendar(current.schedule, self._is_usable)
        before = self.runner.timetable
        self.runner.follow(current, Timetable(calendar, before.standings if before else None))
        self._news.set()

    def _is_usable(self, point: str, entry: Entry) -> bool:
        """Whether it may still be written so: the configuration may be another one since."""
        try:
            self._rules.lasting(point, entry.value)
            if entry.when.sun and self._place(point) is None:
                raise NotAllowed("location", f"{point}: nobody knows where it is")
        except NotAllowed as error:
            log.error("schedule: an entry (%s) is left out: %s", entry.at, error)
            self._unusable.append(str(error))
            return False
        return True

    def _calendar(self, schedule: Schedule, usable: Callable[[str, Entry], bool]) -> Calendar:
        return Calendar(schedule.entries, ZoneInfo(self._site.zone), self._place, usable)

    def _place(self, point: str) -> Place | None:
        return self._rules.location(point) or self._site.location

    async def json(self) -> dict[str, Any]:
        """For `lamppost schedule`."""
        kept, timetable, utc_ms = self._shelf.kept, self.runner.timetable, self.runner.utc_ms()
        told: dict[str, Any] = {"zone": self._site.zone, "utc_ms": utc_ms, "damaged": self._shelf.damaged or None}
        if kept.current is None or timetable is None:
            return told | {"edition": None, "in_force": [], "next": []}
        schedule = kept.current.schedule
        switches = [] if utc_ms is None else await asyncio.to_thread(timetable.calendar.following, utc_ms, NEXT)
        return told | {
            "edition": schedule.edition,
            "number": schedule.number,
            "who": schedule.who,
            "why": schedule.why,
            "key": kept.current.key.name,
            "kid": kept.current.key.public.kid.hex(),
            "issued_ms": schedule.issued_ms,
            "trial": kept.trial,
            "before": None if kept.before is None else kept.before.schedule.edition,
            "highest": kept.edition,
            "left_out": self._unusable,
            "in_force": [one for point in timetable.standings if (one := self._standing(timetable, point))],
            "next": [_switch(one, schedule) for one in switches],
        }

    def _standing(self, timetable: Timetable, point: str) -> dict[str, Any] | None:
        one = timetable.standings[point]
        told = timetable.json(point)
        if told is None or one.switch is None:
            return None
        overridden = self._hands.since(point, one.switch.utc_ms, self.runner.utc_ms(), self._clock.now())
        return told | {"value": value_json(one.switch.value)} | ({"state": "command"} if overridden else {})


def _task(signed: Signed, accepted_ms: int) -> Task:
    schedule = signed.schedule
    return Task(
        schedule.number, Source.REMOTE, schedule.who, schedule.why, signed.key.name, (), accepted_ms, 0
    )  # fmt: skip


def _switch(one: Switch, schedule: Schedule) -> dict[str, Any]:
    return {
        "utc_ms": one.utc_ms,
        "point": one.point,
        "value": value_json(one.value),
        "at": schedule.entries[one.entry].at,
    }
