"""Asks units, and believes only what can be nothing but the answer."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from drivers.errors import BadAnswer, DeviceError, DriverError, ExceptionAnswer, NoAnswer, NotAsked
from drivers.modbus.conversation import SECOND_ANSWER, Conversation, Link
from drivers.modbus.framing import LineFraming
from drivers.modbus.lateness import Lateness
from drivers.modbus.mbap import MbapFraming
from drivers.modbus.pdu import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Question, Request, Table
from drivers.modbus.serial_link import SerialLink
from drivers.modbus.write import Write
from drivers.tap import Tap

log = logging.getLogger(__name__)

TCP_COST = (
    2.0  # ms: devices with Ethernet answer within a few (TCP 4.4.1.2 has no figure); the wait is theirs, not ours
)
SILENT_S = 60.0
"""A bus on which nothing was heard for so long is opened anew; each time in vain doubles it."""
SILENT_MAX_S = 16 * SILENT_S
BABBLE_S = 1.0  # a line that is never quiet for so long is not worth a longer wait: others of the agent's buses are
MIN_DRAIN_S = 0.02  # USB adapters hold bytes back for up to 16 ms
WIDER = 4  # different lengths that a read is tried with while late answers to shorter ones may come
BITS_A_BYTE = 8


class Client(Protocol):
    """One bus; one question at a time."""

    async def open(self) -> None:
        """Open it anew; raises `BusError`."""

    async def close(self) -> None:
        """Close it; safe at any time."""

    async def ask(self, question: Question, *, room: int = 0, rest_ms: float = 0) -> bytes:
        """The data of the answer; raises `BusError` or a `DeviceError`.

        `room` is how many more addresses behind those of a read may be read; `rest_ms` is how long the unit's line must
        rest after its answer.
        """

    def cost(self, question: Question) -> float:
        """Bus time in ms that an answered question takes, without the device's own."""

    def patience(self, question: Question) -> float:
        """Bus time in ms that a question takes which nothing answers."""

    @property
    def waits(self) -> bool:
        """Whether a late answer may still come, for which some question has to wait."""

    def wait_s(self, question: Question, room: int) -> float:
        """How long from now `question` would raise `NotAsked`; 0 when it would not."""

    async def set_baud(self, baud: int) -> None:
        """Speak at another rate from now on, where the bus is a serial port; raises `BusError`."""

    @property
    def echo(self) -> bool | None:
        """Whether the line gives back what is sent; None where that is not known."""

    def followed(self, unit: int) -> float:
        """The part of the last answers of `unit` that as many bytes followed as a second answer has."""


class Silence:
    """Opens a bus anew on which nothing at all was heard for long: gateways and adapters hang with all lights on."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk
        self._since = 0.0
        self._patience_s = SILENT_S

    def began(self) -> None:
        """The bus was opened for other reasons."""
        self._since = asyncio.get_running_loop().time()
        self._patience_s = SILENT_S

    async def heard_nothing(self) -> None:
        """A question was not answered; raises `BusError` when the bus cannot be opened anew."""
        if self._talk.heard_at > self._since:
            self._since, self._patience_s = self._talk.heard_at, SILENT_S
        now = asyncio.get_running_loop().time()
        if now - self._since >= self._patience_s:
            self._since, self._patience_s = now, min(2 * self._patience_s, SILENT_MAX_S)
            await self._talk.open()


class MbapClient:
    """Modbus TCP: late answers are told by their transaction numbers."""

    def __init__(self, link: Link, timeout: int, tap: Tap | None = None) -> None:
        self._talk = Conversation(link, MbapFraming(), tap or Tap())
        self._timeout_s = timeout / 1000
        self._silence = Silence(self._talk)

    async def open(self) -> None:
        """Connect anew; raises `BusError`."""
        await self._talk.open()
        self._silence.began()

    async def close(self) -> None:
        """Drop the connection."""
        await self._talk.close()

    async def ask(self, question: Question, *, room: int = 0, rest_ms: float = 0) -> bytes:  # noqa: ARG002 - of lines
        """As `Client` has it."""
        try:
            return await self._talk.ask(question, self._timeout_s, self._timeout_s)
        except NoAnswer:
            await self._silence.heard_nothing()
            raise

    def cost(self, question: Question) -> float:  # noqa: ARG002 - a few hundred bytes are nothing on Ethernet
        """What the way there and back takes."""
        return TCP_COST

    def patience(self, question: Question) -> float:  # noqa: ARG002 - as above
        """The timeout."""
        return 1000 * self._timeout_s

    @property
    def waits(self) -> bool:
        """Never: transaction numbers tell late answers."""
        return False

    def wait_s(self, question: Question, room: int) -> float:  # noqa: ARG002 - transaction numbers tell late answers
        """Nothing has to wait."""
        return 0.0

    async def set_baud(self, baud: int) -> None:
        """No rate to set."""

    @property
    def echo(self) -> None:
        """No line that could give anything back."""

    def followed(self, unit: int) -> float:
        """As `Client` has it."""
        return _followed(self._talk, unit)


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast a line is, in s."""

    byte_s: float
    silence_s: float
    """Between two frames."""
    timeout_s: float
    """How long a unit may take to begin its answer."""


class LineClient:
    """RTU and ASCII: an answer is told by unit, function and length alone, so nothing is asked while a late answer
    could pass for its answer."""

    def __init__(self, link: Link, framing: LineFraming, timing: Timing, tap: Tap | None = None) -> None:
        self._talk = Conversation(link, framing, tap or Tap(), timing.byte_s)
        self._framing = framing
        self._timing = timing
        self._silence = Silence(self._talk)
        self._late = Lateness()
        self._told = False
        self._well: set[int] = set()
        """Units whose last question was answered: noise on the way is worth a second try."""
        self._no_wider: set[Question] = set()
        self._quiet_s = timing.silence_s

    async def open(self) -> None:
        """Open the line anew; raises `BusError`."""
        self._well.clear()
        await self._talk.open()
        self._silence.began()

    async def close(self) -> None:
        """Close the line."""
        await self._talk.close()

    async def ask(self, question: Question, *, room: int = 0, rest_ms: float = 0) -> bytes:
        """As `Client` has it; raises `NotAsked` while a late answer could pass for the answer."""
        if self._framing.echo is None and isinstance(question, Write):
            with suppress(DeviceError):  # silence tells as well whether the line has an echo
                await self._ask(Request(question.unit, Table.HOLDING, 0, 1), 0, rest_ms)
        try:
            return await self._ask(question, room, rest_ms)
        except BadAnswer:
            if question.unit not in self._well or isinstance(question, Write):
                raise
            self._well.discard(question.unit)
            with suppress(NotAsked):
                return await self._ask(question, room, rest_ms)
            raise
        except NotAsked:
            raise
        except NoAnswer:
            self._well.discard(question.unit)
            await self._silence.heard_nothing()
            raise
        finally:
            self._tell_echo()

    def cost(self, question: Question) -> float:
        """Request, answer and the silence around them, from the rate of the line."""
        size = self._framing.length(len(question.pdu)) + self._framing.length(question.length)
        return 1000 * (size * self._timing.byte_s + 2 * self._timing.silence_s)

    def patience(self, question: Question) -> float:
        """Request and timeout."""
        return 1000 * (self._framing.length(len(question.pdu)) * self._timing.byte_s + self._timing.timeout_s)

    @property
    def waits(self) -> bool:
        """Whether some question was not answered lately."""
        return bool(self._late)

    def wait_s(self, question: Question, room: int) -> float:
        """How long late answers to earlier questions may pass for its answer, in every length that it can be asked."""
        if not self._late:
            return 0.0
        now = asyncio.get_running_loop().time()
        return min(self._late.until(asked) - now for asked in self._ways(question, room))

    async def set_baud(self, baud: int) -> None:
        """As `Client` has it."""
        if isinstance(self._talk.link, SerialLink):
            await self._talk.link.set_baud(baud)

    @property
    def echo(self) -> bool | None:
        """Whether the line gives back what is sent."""
        return self._framing.echo

    def followed(self, unit: int) -> float:
        """As `Client` has it."""
        return _followed(self._talk, unit)

    async def _ask(self, question: Question, room: int, rest_ms: float) -> bytes:
        self._talk.check()
        asked = self._distinct(question, room)
        await self._quiet()
        answer_s = self._framing.length(asked.length) * self._timing.byte_s
        begin_s = self._framing.length(len(asked.pdu)) * self._timing.byte_s + self._timing.timeout_s
        whole_s = begin_s + 2 * answer_s + MIN_DRAIN_S
        rest_s = self._timing.silence_s + rest_ms / 1000
        due = asyncio.get_running_loop().time() + whole_s
        try:
            data = await self._talk.ask(asked, begin_s, whole_s)
        except ExceptionAnswer as error:
            self._quiet_s = rest_s
            self._check(question, asked, error, due)
            self._well.add(question.unit)
            raise
        except (DriverError, asyncio.CancelledError):  # a converter keeps what was asked when the connection is lost
            self._failed(asked, due, rest_s + answer_s)
            raise
        self._quiet_s = rest_s
        self._well.add(question.unit)
        return data if asked is question else narrow(question, data)

    def _distinct(self, question: Question, room: int) -> Question:
        """The question, or one that reads a little more, to which no late answer fits; raises `NotAsked`."""
        now = asyncio.get_running_loop().time()
        for asked in self._ways(question, room):
            if self._late.until(asked) <= now:
                return asked
        raise NotAsked("not asked: a late answer to an earlier question could pass for its answer")

    def _ways(self, question: Question, room: int) -> Iterator[Question]:
        """The question, and others that read a little more."""
        yield question
        if isinstance(question, Request) and question not in self._no_wider:
            step = BITS_A_BYTE if question.table.single_bits else 1
            for more in range(step, min(room, WIDER * step) + 1, step):
                yield question.wider(more)

    def _check(self, question: Question, asked: Question, error: ExceptionAnswer, due: float) -> None:
        """An exception is believed when it can be that of nothing else; raises `BadAnswer`."""
        now = asyncio.get_running_loop().time()
        if asked is not question and error.code in (ILLEGAL_ADDRESS, ILLEGAL_VALUE):
            self._no_wider.add(question)
        if asked is not question or self._late.holds_function(asked, now):
            self._failed(asked, due, self._quiet_s)
            raise BadAnswer(f"{error}, which may belong to an earlier question") from error

    def _failed(self, asked: Question, due: float, quiet_s: float) -> None:
        """No answer, which was `due`: it may be late, and what is on the line now shall end."""
        self._late.failed(asked, asyncio.get_running_loop().time(), due, self._timing.timeout_s)
        self._quiet_s = max(quiet_s, MIN_DRAIN_S)

    def _tell_echo(self) -> None:
        if self._framing.echo and not self._told:
            self._told = True
            log.info("%s: the line gives back what is sent (local echo); that is skipped", self._talk.link.name)

    async def _quiet(self) -> None:
        """Wait until the line has rested as long as it must; what comes meanwhile belongs to nobody."""
        loop = asyncio.get_running_loop()
        until = loop.time() + BABBLE_S
        while (wait := self._talk.heard_at + self._quiet_s - loop.time()) > 0:
            if loop.time() >= until:
                raise BadAnswer(f"the line is never quiet for {1000 * self._quiet_s:.3g} ms")
            await asyncio.sleep(wait)


def _followed(talk: Conversation, unit: int) -> float:
    found = talk.followed.get(unit, ())
    return sum(size >= SECOND_ANSWER for size in found) / len(found) if found else 0.0


def narrow(question: Question, data: bytes) -> bytes:
    """The data of `question` from that of a wider read."""
    if not isinstance(question, Request):
        return data
    return data[: question.count if question.table.single_bits else 2 * question.count]
