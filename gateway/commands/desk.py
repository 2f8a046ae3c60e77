"""Where commands come in: from the platform, or from a technician on the control socket."""

import asyncio
import json
import logging
from dataclasses import dataclass, replace
from functools import partial
from sqlite3 import Connection

from buffer import floors, orders
from buffer.command import Command, Wanted, Write, new_number
from buffer.errors import NotAllowed, StoreError
from buffer.header import ClockState
from buffer.keyring import Keyring, RingKey
from buffer.orders import Order
from gateway.clock import AgentClock
from gateway.commands.book import Book
from gateway.commands.execute import Executor
from gateway.commands.hands import Hands
from gateway.commands.judge import Here, Moment, Verified, authorise, command_key, verify
from gateway.commands.locks import Locks
from gateway.commands.ring import Ring
from gateway.commands.rules import Rules, at_safe, unsafe, uses
from gateway.commands.schedules import Schedules
from gateway.commands.schedules import verify as verify_schedule
from gateway.commands.shelf import Signed
from gateway.commands.silence import Silence
from gateway.commands.task import DONE, Outcome, Source, Status, Task, result, result_of
from gateway.uplink.transport import Message

log = logging.getLogger(__name__)

INBOX_MAX = 512
"""Signed messages that wait for the disk: all lamps of a district at once; at their largest they take 16 MB."""
RUNNING_MAX = 32
"""Commands that are being done: each waits for its bus."""
LOCAL_MS = 30_000
"""A technician waits so long for a write to begin; then it never does."""
TOLD_A_MINUTE = 30
"""Results of refused commands that may be told in a minute; more are counted alone."""
UNTOLD = frozenset(("addressee", "replay", "full"))
"""What is refused without a result: it is for another, or has had one, or there is no room for more."""


@dataclass(frozen=True, slots=True)
class _NewRing:
    keyring: Keyring
    message: bytes


class Desk:
    """Judges what comes in, has it done, and sees that each command gets one result."""

    def __init__(
        self, here: Here, clock: AgentClock, book: Book, rules: Rules, locks: Locks, executor: Executor,
        silence: Silence, ring: Ring | None, hands: Hands, schedules: Schedules,
    ) -> None:  # fmt: skip
        self._here = here
        self._clock = clock
        self._book = book
        self._rules = rules
        self.locks = locks
        self._executor = executor
        self._silence = silence
        self.ring = ring
        self._hands = hands
        self._schedules = schedules
        self._inbox: asyncio.Queue[Verified | Signed | _NewRing] = asyncio.Queue(INBOX_MAX)
        self._running: set[asyncio.Task[str]] = set()
        self._told: list[int] = []
        self.answered = False
        """The platform has acknowledged something that this life of the agent sent: it is there, and we are we."""
        self.counts: dict[str, int] = {}
        """What was refused in this life, by its reason."""

    def received(self, message: Message) -> None:
        """A message of the topic `command`, by whomever: what nobody whom we know has signed goes no further."""
        try:
            found = self._verified(message)
            if found is not None:
                self._inbox.put_nowait(found)
        except NotAllowed as error:
            self._count(error.reason, str(error))
        except asyncio.QueueFull:
            self._count("busy")

    def _verified(self, message: Message) -> "Verified | Signed | _NewRing | None":
        if self.ring is not None and self.ring.is_authority(message.payload):
            found = self.ring.verify(message.payload)
            return None if found is None else _NewRing(found, message.payload)
        keyring = None if self.ring is None else self.ring.keyring
        try:
            return verify(message.payload, keyring, retained=message.retained)
        except NotAllowed as error:
            if error.reason != "signature":
                raise
            return verify_schedule(message.payload, keyring)  # which kind it is only the signature says

    def acknowledged(self, *, fresh: bool, newer: bool) -> None:
        """The platform's acknowledgement was verified: `fresh` answers what was just sent, `newer` is no old one."""
        self.answered |= fresh
        if fresh or newer:
            self._silence.heard()

    async def run(self) -> None:
        """Tell of what a life before began, then take what comes in, until cancelled."""
        await self._settle()
        try:
            while True:
                found = await self._inbox.get()
                try:
                    await self._take(found)
                except (StoreError, OSError) as error:  # not accepted; the disk's own state is shown elsewhere
                    log.error("a command was not taken: %s", error)
                    self._count("disk")
                except Exception:  # whatever anybody may send must not end the agent
                    log.exception("a command was not understood")
                    self._count("failed")
        finally:
            for task in self._running:
                task.cancel()
            if self._running:
                await asyncio.wait(self._running)

    async def write(self, point: str, value: Wanted, *, who: str, why: str, dry_run: bool) -> str:
        """Do one write for somebody on site; its result, also when it is refused. Raises `StoreError`."""
        number, now = new_number(), self._clock.trusted_ms()
        try:
            planned = self._rules.plan([Write(point, value)])
            self._admit(planned[0].device)
            deadline = self._clock.now() + LOCAL_MS
            task = Task(number, Source.LOCAL, who, why, "", planned, now, deadline, dry_run=dry_run)
            await self._accept(task, b"")
        except NotAllowed as error:
            told = result(number, Source.LOCAL, who, why, "", now, now, _refused(error), dry_run=dry_run)
            await self._refuse(Order(number, 0, now, b"", told, final=True), Status.REFUSED, error)
            return told
        return await self._begin(task)

    # ----------------------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        for order in await self._book.unfinished():
            if order.number == self._schedules.pending:
                continue
            told = json.loads(order.result) | {"finished_ms": self._clock.trusted_ms()}
            text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
            log.warning("command %d: nobody knows whether it was done", order.number)
            self._book.finish(order.number, Status.UNKNOWN, text)

    async def _take(self, found: "Verified | Signed | _NewRing") -> None:
        if isinstance(found, _NewRing):
            if self.ring is not None and await self.ring.take(found.message, found.keyring):
                self._silence.heard()
                await self._book.change(partial(floors.lift, name=self.ring.name, number=found.keyring.number))
            return
        try:
            await (self._follow(found) if isinstance(found, Signed) else self._obey(found))
        except NotAllowed as error:
            await self._tell_refused(found, error)

    async def _obey(self, verified: Verified) -> None:
        """Accept a command and begin it; raises `NotAllowed`."""
        command = verified.command
        verified = replace(verified, key=self._still(verified.key))
        moment = self._moment()
        authorise(verified, self._here, moment)
        planned = self._rules.plan(command.writes)
        for one in planned:
            self._admit(one.device)
        accepted = moment.now_ms or 0
        task = Task(
            command.number, Source.REMOTE, command.who, command.why, verified.key.name, planned, accepted,
            self._clock.now() + command.expires_ms - accepted, command.expires_ms, command.dry_run,
        )  # fmt: skip
        await self._accept(task, verified.message)
        self._silence.heard()
        self._begin(task)

    async def _follow(self, signed: Signed) -> None:
        """Take a schedule; raises `NotAllowed`."""
        signed, moment = replace(signed, key=self._still(signed.key)), self._moment()
        self._schedules.admit(signed, moment)
        await self._schedules.take(signed, moment.now_ms or 0)
        self._silence.heard()

    def _still(self, key: RingKey) -> RingKey:
        """The key as the newest keyring has it: that may have come meanwhile. Raises `NotAllowed`."""
        if self.ring is None or self.ring.keyring is None:
            raise NotAllowed("key", "there is no keyring")
        return command_key(self.ring.keyring, key.public.kid)

    def _moment(self) -> Moment:
        known = self._clock.trusted().state is not ClockState.UNSET
        return Moment(max(self._clock.trusted_ms(), self._clock.floor_ms) if known else None, self.answered)

    def _admit(self, device: str) -> None:
        self.locks.check(device)
        if len(self._running) >= RUNNING_MAX:
            raise NotAllowed("busy", f"{RUNNING_MAX} commands are being done")

    async def _accept(self, task: Task, message: bytes) -> None:
        """On the disk before anything is written; raises `NotAllowed` or `StoreError`."""
        if task.dry_run:
            await self._book.accept(task, message, (), ())
            return
        points = unsafe(task.writes)
        for point in points:
            self._silence.touched(point)
        await self._book.accept(task, message, uses(task.writes), [(point, self._silence.quiet) for point in points])

    def _begin(self, task: Task) -> "asyncio.Task[str]":
        doing = asyncio.ensure_future(self._do(task))
        self._running.add(doing)
        doing.add_done_callback(self._running.discard)
        return doing

    async def _do(self, task: Task) -> str:
        """Do it, and tell what came of it."""
        try:
            outcome = await self._executor.run(task)
        except Exception as error:  # a mistake of ours costs this command, which still has a result
            log.exception("command %d failed", task.number)
            outcome = Outcome(Status.UNKNOWN, f"the agent failed: {error!r}")
        told = result_of(task, outcome, self._clock.trusted_ms())
        for one in outcome.done:
            if one.status in DONE and not task.dry_run:
                self._hands.wrote(one.point, self._clock.now())
        back = [] if task.dry_run or outcome.status not in DONE else [w.point for w in task.writes if at_safe(w)]
        self._book.finish(task.number, outcome.status, told, partial(_forget, back) if back else None)
        log.info("command %d of %s: %s %s", task.number, task.who, outcome.status, outcome.reason)
        return told

    async def _tell_refused(self, found: Verified | Signed, error: NotAllowed) -> None:
        command, now = found.schedule if isinstance(found, Signed) else found.command, self._clock.trusted_ms()
        told = result(
            command.number, Source.REMOTE, command.who, command.why, found.key.name, now, now, _refused(error),
            dry_run=isinstance(command, Command) and command.dry_run,
        )  # fmt: skip
        order = Order(command.number, command.expires_ms, now, b"", told, final=True)
        await self._refuse(order, _refused(error).status, error)

    async def _refuse(self, order: Order, status: Status, error: NotAllowed) -> None:
        """Count it, and tell of it once, if it is not too much."""
        self._count(error.reason, str(error))
        late = 0 < order.expires_ms <= self._clock.floor_ms  # its number may be forgotten: it would be told of again
        if error.reason in UNTOLD or late or not self._may_tell():
            return
        try:
            await self._book.refuse(order, status)
        except NotAllowed as again:
            self._count(again.reason, str(again))

    def _may_tell(self) -> bool:
        now = self._clock.now()
        self._told = [at for at in self._told if now - at < 60_000]
        if len(self._told) >= TOLD_A_MINUTE:
            return False
        self._told.append(now)
        return True

    def _count(self, reason: str, detail: str = "") -> None:
        if reason not in self.counts:
            log.warning("a command was refused (%s): %s; further ones are counted", reason, detail)
        self.counts[reason] = self.counts.get(reason, 0) + 1


def _refused(error: NotAllowed) -> Outcome:
    status = Status.EXPIRED if error.reason == "expired" else Status.REFUSED
    return Outcome(status, f"{error.reason}: {error}")


def _forget(points: list[str], connection: Connection) -> None:
    for point in points:
        orders.forget_revert(connection, point)
