"""Batches invented symbol by symbol: what a decoder would read, mostly right, each bound approached from both sides."""

import random
from collections import deque
from collections.abc import Iterable
from typing import Final

from tests.ext.script import ScriptedCoder, ScriptEnded, number
from tests.fuzz.plans import WIDTHS
from tests.reference_decoder import (
    END,
    LIKE,
    NEW,
    NEW_FLAGS,
    NUMBER,
    ONCE,
    OTHER,
    Cdf,
    Decoder,
    Field,
    Pair,
    ReferenceFormatError,
    ReferenceValue,
    Shape,
)  # fmt: skip

MOST_SYMBOLS: Final = (200, 1000, 1000, 3000)  # of a batch; the reference decoder takes 10 us for each
MOST_LEFT: Final = 20_000  # symbols of the last record
MOST_BLOCKS: Final = 4
ODD: Final = (0.0001, 0.0005, 0.004)  # of all choices: those that are wrong
FIELDS, TIME, SERIES = 16_384, 2**53 - 1, 2**32 - 1
BITS: Final = (0, 0, 1, 3, 6, 12, 24, 40, 41, 53, 60, 63)
KINDS: Final = (0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12)


class _Inventor(ScriptedCoder):
    """A coder that says what waits, or else anything."""

    def __init__(self, decoder: "_Inventing", chance: random.Random, left: int) -> None:
        super().__init__(iter(()))
        self.decoder, self.chance, self.left = decoder, chance, left
        self.waiting: deque[int] = deque()

    def take(self) -> int:
        self.left -= 1
        if self.left < -MOST_LEFT:
            raise ScriptEnded
        return (
            self.waiting.popleft() if self.waiting else self.chance.choice((0, 1, 4, 5, 6, self.chance.randrange(16)))
        )

    def symbol(self, cdf: Cdf) -> int:
        if not self.waiting:
            self.waiting.extend(self.decoder.choices(cdf))
        return super().symbol(cdf)

    def number(self, models: Pair) -> int:
        if not self.waiting:
            self.waiting.extend(number(self.decoder.amount(models)))
        return super().number(models)

    def take_bits(self) -> int:
        return self.waiting.popleft() if self.waiting else self.chance.getrandbits(63)

    def bits(self, count: int) -> int:
        if count > 0 and not self.waiting:
            self.waiting.append(self.chance.getrandbits(count))
        return super().bits(count)


class _Inventing(Decoder):
    """A decoder whose coder invents what it reads, within the bounds or just beyond one."""

    coder: _Inventor

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.over = False
        self.odd = chance.choice(ODD)
        self.kinds = KINDS
        self.eager = chance.choice((0.02, 0.1, 0.5))  # for new shapes
        self.widths = chance.choice((WIDTHS[:3], WIDTHS[:12], WIDTHS))

    def invented(self, left: int) -> bytes:
        """A block, up to what a decoder refuses."""
        self.coder = _Inventor(self, self.chance, left)
        try:
            while (head := self.read_head()) != END:
                self.record(head)
        except (ReferenceFormatError, ScriptEnded):
            self.over = True
        return self.coder.written()

    def say(self, *symbols: int) -> None:
        """What the coder is to read next."""
        self.coder.waiting.extend(symbols)

    def near(self, least: int, most: int) -> int:
        """A number within the bounds, often at one; seldom beyond."""
        if self.chance.random() < self.odd:
            return self.chance.choice((least - 1, most + 1, least - some(self.chance), most + some(self.chance)))
        return self.chance.choice((least, most, self.chance.randint(least, max(least, most))))

    def choices(self, cdf: Cdf) -> Iterable[int]:
        """What a symbol of these frequencies may be."""
        if cdf is self.flags:
            return (self.near(1, 3) & 15,)
        if cdf is self.same:
            return (self.near(0, 2) & 15,)
        if cdf is self.kind:
            return (self.chance.choice(self.kinds) if self.chance.random() > self.odd else self.chance.randrange(16),)
        if cdf is self.digit:
            return (self.near(0, 9) & 15,)
        if any(cdf is each for each in self.quality):
            quality = self.chance.getrandbits(7) << 3 | self.chance.randrange(6)
            return (3, quality & 511) if self.chance.random() < 0.2 else (self.near(0, 2) & 15,)
        return ()

    def amount(self, models: Pair) -> int:
        """What a number of these frequencies may be."""
        if models is not self.n_first_time and models is not self.n_time:
            return some(self.chance)
        if self.last is None:
            return self.chance.choice((0, 10**6, 2**40, 2**40, 2**40, TIME // 2))
        if self.chance.random() < 3 * self.odd:
            return self.near(0, TIME) - self.last_ms
        return self.chance.randint(0, 3000)

    def read_head(self) -> int:
        new = self.last is None or self.chance.random() < self.eager
        if self.coder.left <= 0:
            self.say(END)
        elif self.chance.random() < self.odd:
            self.say(self.chance.randrange(16))
        elif new:
            like = (LIKE, LIKE, LIKE + 1) if self.shapes or self.chance.random() < self.odd else ()
            self.say(self.chance.choice((NEW, NEW, NEW_FLAGS, *like)))
        else:
            known = (0, 1, 2) if self.last is not None and self.last.successor is not None else ()
            self.say(END if self.chance.random() < 0.01 else self.chance.choice((*known, OTHER, OTHER, OTHER + 1)))
        return super().read_head()

    def known_shape(self, head: int) -> Shape:
        if head in (OTHER, OTHER + 1) and self.last is not None:
            rank = self.chance.choice((0, 1, 5, 13, 14, 15, 15)) if len(self.shapes) <= 256 else 15
            known = sum(shape.seen > 1 and shape is not self.last.successor for shape in self.shapes)
            if rank < 14 and known:
                self.say(min(13, max(0, self.near(0, known - 1))))
            elif rank == 14 and (once := sum(shape.seen == 1 for shape in self.shapes)):
                self.say(14, *number(self.near(0, once - 1)))
            else:
                at = next(i for i, each in enumerate(self.shapes) if each is self.last)
                self.say(15, *number(self.near(0, len(self.shapes) - 1) - at))
        return super().known_shape(head)

    def declaration(self) -> Shape:
        left = FIELDS - self.fields
        width = min(self.chance.choice(self.widths), left) or self.near(1, left)
        self.say(*number(self.near(0, TIME) if self.chance.random() < 0.1 else 1000 * self.chance.randrange(3)))
        self.say(*number(width if self.chance.random() > self.odd else self.near(1, self.chance.choice((2048, left)))))
        return super().declaration()

    def declaration_like(self) -> Shape:
        self.say(*number(self.near(0, min(3, len(self.shapes) - 1))))
        return super().declaration_like()

    def numbered_field(self) -> Field:
        step = self.chance.random()
        if step < self.odd / 10:
            self.say(*number(self.near(0, SERIES) - self.last_number - 1))
        else:
            self.say(*number(0 if step < 0.9 else self.chance.randrange(30)))
        return super().numbered_field()

    def change(self, entry: Field) -> ReferenceValue:
        self.kinds = (*KINDS[1:], ONCE, *((0, 0) if entry.step > 1 else ()))
        try:
            return super().change(entry)
        finally:
            self.kinds = KINDS

    def scale(self) -> tuple[int, int, int] | None:
        index = self.near(0, len(self.scales)) if self.chance.random() < 0.3 else 0
        self.say(*number(index))
        if index == len(self.scales):
            self.say(*number(some(self.chance) or 1), *number(some(self.chance)), *number(self.near(-127, 127)))
        return super().scale()

    def presence(self, shape: Shape) -> list[Field]:
        few = self.chance.random() < 0.5
        for start in range(0, len(shape.fields), 4):
            most = (1 << min(4, len(shape.fields) - start)) - 1
            mask = self.chance.randint(start == 0, most) if start == 0 or not few or self.chance.random() < 0.05 else 0
            self.say(mask if self.chance.random() > self.odd else self.chance.randrange(16))
        return super().presence(shape)

    def text(self, entry: Field) -> ReferenceValue:
        most = 512 if entry.kind == NUMBER else 32_768
        if entry.kind == NUMBER and self.chance.random() > self.odd:
            digits = str(some(self.chance) * 10 ** self.chance.choice((0, 5, 480))) + self.chance.choice(
                ("", "E-3", "E9999")
            )
            self.say(*number(len(digits)), *(half for byte in digits.encode() for half in (byte >> 4, byte & 15)))
        elif entry.kind == NUMBER or self.chance.random() < 4 * self.odd:
            self.say(*number(self.near(0, most)))
        else:
            size = self.chance.randrange(12)
            self.say(*number(size), *(half for _ in range(size) for half in (self.chance.randint(2, 7), 4)))
        return super().text(entry)


def some(chance: random.Random) -> int:
    """A number of any length."""
    value = chance.getrandbits(chance.choice(BITS))
    return -value if chance.random() < 0.4 else value


def invented(chance: random.Random) -> list[bytes]:
    """The blocks of one batch."""
    decoder = _Inventing(chance)
    left = chance.choice(MOST_SYMBOLS)
    blocks = [decoder.invented(left)]
    while not decoder.over and len(blocks) < MOST_BLOCKS:
        blocks.append(decoder.invented(left // MOST_BLOCKS))
    return [b"\x03" + blocks[0], *blocks[1:]]
