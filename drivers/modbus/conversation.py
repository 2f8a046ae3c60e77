"""One question after the other over one link: sends, waits, and gives what arrives to the framing."""

import asyncio
from collections import defaultdict, deque
from typing import Protocol

from drivers.errors import BusError, DeviceError
from drivers.modbus.framing import Framing
from drivers.modbus.patience import Patience
from drivers.modbus.pdu import Question
from drivers.tap import Tap


class Receiver(Protocol):
    """Who is told what happens on a link."""

    def received(self, data: bytes) -> None:
        """These bytes arrived."""

    def lost(self, error: BusError) -> None:
        """The link is gone."""


class Link(Protocol):
    """What carries bytes."""

    @property
    def name(self) -> str:
        """What it is, for people."""

    async def open(self, receiver: Receiver) -> None:
        """Open it anew; raises `BusError`."""

    async def close(self) -> None:
        """Close it; safe at any time."""

    def send(self, data: bytes) -> None:
        """Send all of it, without waiting; raises `BusError`."""

    def pause(self, seconds: float) -> None:
        """Nothing worth a look comes that soon."""

    def look(self) -> None:
        """Give what has come all the same."""


MIN_PAUSE_S = 0.015  # what is nearer is waited for by listening: a pause ends up to some ms late


LAST_ANSWERS = 32  # of a unit that are remembered: what follows one in so many is noise
SECOND_ANSWER = 4  # bytes: the shortest frame (LINE 2.5.1); fewer are what a line says when it turns


class Conversation:
    """One question at a time; what arrives when nobody asks is only noted. Times are those of the event loop, in s."""

    def __init__(self, link: Link, framing: Framing, tap: Tap, byte_s: float = 0.0) -> None:
        self.link = link
        self._byte_s = byte_s
        self.framing = framing
        self._tap = tap
        self.heard_at = 0.0
        """When bytes came last."""
        self._gone = f"{link.name} is not open"
        """Why nothing can be asked; "" when something can."""
        self.followed: defaultdict[int, deque[int]] = defaultdict(lambda: deque(maxlen=LAST_ANSWERS))
        """For each unit, how many bytes followed each of its last answers before the next question."""
        self._answered: int | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._patience = Patience(self._late)
        self._begin_s = self._whole_s = 0.0
        self._leaving: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Open the link anew; raises `BusError`."""
        await self.close()
        self.framing.reset()
        self._gone = ""
        try:
            await self.link.open(self)
        except BusError as error:
            self._gone = str(error)
            raise

    async def close(self) -> None:
        """Close the link; safe at any time."""
        self._gone = f"{self.link.name} is not open"
        self._patience.close()
        await self.link.close()

    def check(self) -> None:
        """Raise `BusError` when nothing can be asked."""
        if self._gone:
            raise BusError(self._gone)

    async def ask(self, question: Question, begin_s: float, whole_s: float) -> bytes:
        """The data of the answer, which must begin within `begin_s`, and be whole within `whole_s`.

        Raises `BusError`, or a `DeviceError`, which leaves the link as it was.
        """
        self.check()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        self._answer, self._answered = answer, None
        self._begin_s, self._whole_s = begin_s, whole_s
        self._patience.until(loop.time() + begin_s)
        try:
            request = self.framing.begin(question)
            if self._tap.listeners:
                self._tap.tell(True, request)
            self.link.send(request)
            if self._byte_s:
                self._pause(len(request) + self.framing.missing)
            data = await answer
            self._answered = question.unit
            self.followed[question.unit].append(self.framing.left)
            return data
        finally:
            self._patience.lift()
            self._answer = None

    def received(self, data: bytes) -> None:
        """Called by the link."""
        if self._gone:
            return
        self.heard_at = asyncio.get_running_loop().time()
        if self._tap.listeners:
            self._tap.tell(False, data)
        answer = self._answer
        waiting = answer is not None and not answer.done()
        if answer is None and self._answered is not None:
            self.followed[self._answered][-1] += len(data)
        try:
            found = self.framing.feed(data)
        except DeviceError as error:
            if answer is not None and waiting:
                answer.set_exception(error)
        except BusError as error:
            self.lost(error)
            self._leaving = asyncio.ensure_future(self.link.close())
        except Exception as error:  # noqa: BLE001 - a fault of ours must end the question, not vanish in the event loop
            if answer is not None and waiting:
                answer.set_exception(error)
        else:
            if answer is not None and waiting:
                if found is not None:
                    answer.set_result(found)
                elif self._byte_s:
                    self._pause(self.framing.missing)

    def lost(self, error: BusError) -> None:
        """Called by the link; ends the question under way now, not at its timeout."""
        self._gone = self._gone or str(error)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _pause(self, missing: int) -> None:
        """Wait for bytes that need their time on the line."""
        if missing * self._byte_s >= MIN_PAUSE_S:
            self.link.pause(missing * self._byte_s)

    def _late(self) -> None:
        answer, begin_s, more_s = self._answer, self._begin_s, self._whole_s - self._begin_s
        if answer is None or answer.done():
            return
        self.link.look()
        if more_s > 0 and self.framing.begun:
            asyncio.get_running_loop().call_later(more_s, self._too_late, answer, begin_s)
        else:
            self._too_late(answer, begin_s)

    def _too_late(self, answer: "asyncio.Future[bytes]", begin_s: float) -> None:
        if not answer.done():
            answer.set_exception(self.framing.end(f"{begin_s:.3g} s"))
