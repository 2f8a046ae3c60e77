"""The master of the wired link layer (EN 13757-2): selects meters, asks them, repeats what was lost."""

import asyncio
from dataclasses import dataclass

from drivers.errors import BadAnswer, NoAnswer
from drivers.mbus.exchange import Exchange, Wanted
from drivers.mbus.frames import FCB, MAX_FRAME, REQ_UD2, SELECTED, SND_NKE, SND_UD, Ack, Frame
from drivers.mbus.telegram import SELECT, Header, Telegram, parse
from drivers.mbus.wire import BITS_PER_BYTE, Wire

ANSWER_BITS, ANSWER_MS = 330, 50  # a meter begins to answer within these (EN 13757-2: 330 bit times + 50 ms)
QUIET_BITS = 33  # the line rests that long before a request is repeated (EN 13757-2)
TRIES = 3  # a request and two repetitions (EN 13757-2)
MAX_TELEGRAMS = 32  # of one answer: 8 kB; meters with long memories have a dozen
USUAL_ANSWER = 128  # bytes: meters send between 40 and the most that a frame holds, which is twice this
ONLY_METER = 254  # the one meter on the line answers to it (EN 13757-2)

_SLOWER = 1.5  # meters may rest between the bytes of an answer, and converters pass it on in pieces


@dataclass(frozen=True, slots=True)
class Target:
    """A meter: by primary address, or (None) by its number, F for any digit, and what else is known of it."""

    address: int | None
    identification: str = "FFFFFFFF"
    manufacturer: str | None = None
    version: int | None = None
    medium: int | None = None

    def selection(self) -> Frame:
        """The frame that selects it (EN 13757-7, selection of a device); what is not known is FF."""
        maker = 0xFFFF if self.manufacturer is None else maker_code(self.manufacturer)
        version = 0xFF if self.version is None else self.version
        medium = 0xFF if self.medium is None else self.medium
        number = bytes.fromhex(self.identification)[::-1]
        data = bytes((SELECT,)) + number + maker.to_bytes(2, "little") + bytes((version, medium))
        return Frame(SND_UD, SELECTED, data)

    def matches(self, header: Header) -> bool:
        """Whether the meter that says this of itself is the one that is meant."""
        known = (
            (self.manufacturer, header.manufacturer), (self.version, header.version), (self.medium, header.medium_code)
        )  # fmt: skip
        wanted = self.identification.upper()
        digits = zip(wanted, header.identification.upper() or wanted, strict=False)
        return all(mask in (digit, "F") for mask, digit in digits) and all(
            want is None or not header.manufacturer or want == has for want, has in known
        )


def maker_code(letters: str) -> int:
    """The three letters of a manufacturer in 15 bits (EN 13757-3:2004, 5.5)."""
    first, second, third = (ord(letter) - 64 for letter in letters)
    return first << 10 | second << 5 | third


class Master:
    """Asks meters on one wire at `baud`; `latency_ms` is what converter and adapter add to the meters' own time."""

    def __init__(self, wire: Wire, baud: int, latency_ms: float) -> None:
        self._wire = wire
        self._bit_ms = 1000 / baud
        self._latency_ms = latency_ms

    def usual_ms(self, target: Target, telegrams: int) -> float:
        """How long reading so many telegrams takes as a rule: the meter begins halfway to its limit."""
        begin_ms = (ANSWER_BITS * self._bit_ms + ANSWER_MS) / 2
        size = len(_reaching(target).encode()) + 1 + telegrams * (len(Frame(REQ_UD2, 0).encode()) + USUAL_ANSWER)
        return size * BITS_PER_BYTE * self._bit_ms + (1 + telegrams) * begin_ms

    def longest_ms(self, target: Target) -> float:
        """How long it takes to learn that nothing answers."""
        sending_ms = len(_reaching(target).encode()) * BITS_PER_BYTE * self._bit_ms
        return TRIES * (sending_ms + self._begin_ms) + (TRIES - 1) * QUIET_BITS * self._bit_ms

    async def read(self, target: Target, most: int = MAX_TELEGRAMS) -> tuple[Telegram, ...]:
        """The telegrams of one read-out in their order, all of them or the first `most`.

        Raises `NoAnswer`, `BadAnswer` (damaged, malformed, another meter) and `ExceptionAnswer`; `BusError`.
        """
        await self.reach(target)
        telegrams: list[Telegram] = []
        while not telegrams or (telegrams[-1].more and len(telegrams) < most):
            telegram = await self.request(target, again=len(telegrams) % 2 == 1)
            if not target.matches(telegram.header):
                raise BadAnswer("another meter than the configured one answers")
            telegrams.append(telegram)
        return tuple(telegrams)

    async def reach(self, target: Target, tries: int = TRIES) -> None:
        """Select the meter, or reset its link layer so that it begins with its first telegram."""
        await self._ask(_reaching(target), lambda found: isinstance(found, Ack), tries)

    async def request(self, target: Target, *, again: bool = False, tries: int = TRIES) -> Telegram:
        """One telegram: the first after `reach`, then by turns with `again` and without. Raises as `read` does."""
        address = SELECTED if target.address is None else target.address
        control = REQ_UD2 if again else REQ_UD2 | FCB
        frame = await self._ask(Frame(control, address), _answer_of(address), tries)
        assert isinstance(frame, Frame)  # noqa: S101 - `_answer_of` wants nothing else
        return parse(frame.data)

    @property
    def _begin_ms(self) -> float:
        """How long a meter and what lies between may take to begin an answer."""
        return ANSWER_BITS * self._bit_ms + ANSWER_MS + self._latency_ms

    async def _ask(self, request: Frame, wanted: Wanted, tries: int) -> Ack | Frame:
        for _ in range(tries - 1):
            try:
                return await self._try(request, wanted)
            except (NoAnswer, BadAnswer):
                await asyncio.sleep(QUIET_BITS * self._bit_ms / 1000)
        return await self._try(request, wanted)

    async def _try(self, request: Frame, wanted: Wanted) -> Ack | Frame:
        """Once: little time to begin an answer, more to end it. Raises `NoAnswer` or `BadAnswer`."""
        raw = request.encode()
        exchange, loop = Exchange(raw, wanted), asyncio.get_running_loop()
        begin_ms = self._begin_ms
        whole_ms = begin_ms + MAX_FRAME * BITS_PER_BYTE * self._bit_ms * _SLOWER
        sending_ms = len(raw) * BITS_PER_BYTE * self._bit_ms

        def receive(data: bytes) -> Ack | Frame | None:
            begun = exchange.begun
            found = exchange.feed(data)
            if exchange.begun and not begun:
                limit.reschedule(loop.time() + whole_ms / 1000)
            return found

        try:
            async with asyncio.timeout((sending_ms + begin_ms) / 1000) as limit:
                return await self._wire.ask(raw, receive, sending_ms + 2 * whole_ms)
        except (TimeoutError, NoAnswer):
            found = exchange.end()
        if found is not None:
            return found
        if exchange.damage is not None:
            raise BadAnswer(f"M-Bus: {exchange.damage}")
        raise NoAnswer(f"no answer within {begin_ms:.0f} ms")


def _reaching(target: Target) -> Frame:
    """What is sent first: the selection, or the reset of the link layer."""
    return target.selection() if target.address is None else Frame(SND_NKE, target.address)


def _answer_of(address: int) -> Wanted:
    """An answer of the meter asked; one that was selected, or is alone, may give any address of its own."""
    known = address not in (SELECTED, ONLY_METER)
    return lambda found: isinstance(found, Frame) and found.answer and (not known or found.address == address)
