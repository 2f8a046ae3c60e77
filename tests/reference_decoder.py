"""A second decoder of blocks, written from docs/format.md alone: the standard library only, no line of `ext`."""

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import gcd, inf, isinf, isnan

ReferenceValue = bool | int | float | Decimal | str | bytes | None
Sample = tuple[int, int, ReferenceValue, int]

NONE, INT, UINT, FLOAT32, FLOAT64, BOOL, TEXT, BYTES, NUMBER, ONCE, QUOTIENT, MIXED, SINGLE = range(13)
STEP = 0
EXACT, NEXT, NEXT_FLAGS, OTHER, OTHER_FLAGS, NEW, NEW_FLAGS, END, LIKE, LIKE_FLAGS = range(10)
PARTIAL, QUALITY = 1, 2
TWO32, TWO63, TWO64 = 1 << 32, 1 << 63, 1 << 64
MOST_TIME = (1 << 53) - 1

# "Prior frequencies" of the page, each row without its first number, which is 0.
PRIORS = [
    (224, 416, 640, 832, 1472, 30240, 30880, 31104, 31296, 31520, 31712, 31936, 32128, 32352, 32544),
    (224, 416, 640, 864, 1920, 29792, 30880, 31104, 31296, 31520, 31712, 31936, 32128, 32352, 32544),
    (224, 416, 640, 864, 1920, 29792, 30880, 31104, 31296, 31520, 31712, 31936, 32128, 32352, 32544),
    (224, 416, 640, 992, 3168, 28576, 30720, 31104, 31296, 31520, 31712, 31936, 32128, 32352, 32544),
    (224, 416, 672, 1152, 3904, 27808, 30592, 31072, 31296, 31520, 31712, 31936, 32128, 32352, 32544),
    (224, 416, 704, 1440, 4928, 26784, 30304, 31008, 31296, 31520, 31712, 31936, 32128, 32352, 32544),
    (224, 448, 832, 1888, 6144, 25600, 29824, 30880, 31264, 31520, 31712, 31936, 32128, 32352, 32544),
    (256, 544, 1152, 2688, 7584, 24096, 28992, 30560, 31136, 31456, 31712, 31936, 32128, 32352, 32544),
    (320, 768, 1696, 3808, 9024, 22592, 27808, 29920, 30816, 31296, 31616, 31872, 32128, 32352, 32544),
    (480, 1248, 2592, 5184, 10336, 20896, 26048, 28640, 30016, 30752, 31232, 31680, 32128, 32352, 32544),
    (736, 1824, 3552, 6400, 11136, 19168, 23904, 26752, 28480, 29568, 30304, 31136, 31968, 32256, 32544),
    (1024, 2400, 4384, 7200, 11232, 17120, 21152, 23968, 25920, 27328, 28352, 29888, 31424, 32000, 32544),
    (1216, 2752, 4736, 7296, 10592, 14944, 18240, 20800, 22784, 24320, 25536, 27840, 30144, 31328, 32544),
    (1024, 2400, 4384, 7200, 11232, 17120, 21152, 23968, 25920, 27328, 28352, 29888, 31424, 32000, 32544),
    (1216, 2752, 4736, 7296, 10592, 14944, 18240, 20800, 22784, 24320, 25536, 27840, 30144, 31328, 32544),
    (1024, 2400, 4384, 7200, 11232, 17120, 21152, 23968, 25920, 27328, 28352, 29888, 31424, 32000, 32544),
    (1216, 2752, 4736, 7296, 10592, 14944, 18240, 20800, 22784, 24320, 25536, 27840, 30144, 31328, 32544),
]


class ReferenceFormatError(ValueError):
    """What the page calls an error."""


def need(condition: bool, message: str) -> None:
    """ReferenceFormatError unless the condition holds."""
    if not condition:
        raise ReferenceFormatError(message)


def signed(value: int) -> int:
    """The low 64 bits as a signed number."""
    value %= TWO64
    return value - TWO64 if value >= TWO63 else value


def clip(value: int, bits: int) -> int:
    """The nearest number within -2^bits to 2^bits."""
    return max(-(1 << bits), min(1 << bits, value))


def toward_zero(value: int, by: int) -> int:
    """The quotient without its fraction."""
    return abs(value) // by if value >= 0 else -(abs(value) // by)


class Cdf:
    """Adaptive frequencies of sixteen symbols."""

    def __init__(self, context: int | None = None) -> None:
        self.c = [i * 2048 for i in range(16)] if context is None else [0, *PRIORS[context]]
        self.seen = 0 if context is None else 5

    def learn(self, symbol: int) -> None:
        rate = 1 + sum(self.seen > limit for limit in (1, 4, 12, 28, 60))
        for i in range(16):
            goal = 4 * i + (32_704 if i > symbol else 0)
            self.c[i] += (goal - self.c[i]) >> rate
        self.seen = min(61, self.seen + 1)

    def copy(self) -> "Cdf":
        other = Cdf()
        other.c, other.seen = list(self.c), self.seen
        return other


Pair = tuple[Cdf, Cdf]


def pair() -> Pair:
    """The frequencies of a kind of number."""
    return Cdf(), Cdf()


class Coder:
    """The bytes of one block, as a range coder reads them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.read = 0
        self.code = 0
        self.range = TWO32 - 1
        for _ in range(4):
            self.shift()

    def shift(self) -> None:
        byte = self.data[self.read] if self.read < len(self.data) else 0
        self.code = (self.code << 8 | byte) % TWO32
        self.read += 1

    def narrow(self, start: int, width: int) -> None:
        self.code = (self.code - start) % TWO32
        self.range = width
        while self.range < 1 << 24:
            self.range <<= 8
            self.shift()
        need(self.read - 4 <= len(self.data), "cut")

    def symbol_by(self, c: list[int]) -> int:
        unit = self.range >> 15
        value = min(self.code // unit, 32_767)
        symbol = max(i for i in range(16) if c[i] <= value)
        stop = 32_768 if symbol == 15 else c[symbol + 1]
        self.narrow(unit * c[symbol], unit * (stop - c[symbol]))
        return symbol

    def symbol(self, cdf: Cdf) -> int:
        symbol = self.symbol_by(cdf.c)
        cdf.learn(symbol)
        return symbol

    def mixed(self, shared: Cdf, own: Cdf) -> int:
        c = shared.c if own.seen < 3 else [(a + b) >> 1 for a, b in zip(shared.c, own.c, strict=True)]
        symbol = self.symbol_by(c)
        shared.learn(symbol)
        own.learn(symbol)
        return symbol

    def bits(self, count: int) -> int:
        value = 0
        while count > 0:
            part = count % 16 or 16
            count -= part
            unit = self.range >> part
            piece = min(self.code // unit, (1 << part) - 1)
            self.narrow(unit * piece, unit)
            value = value << part | piece
        return value

    def number(self, models: Pair) -> int:
        return self.rest(models, self.symbol(models[0]))

    def rest(self, models: Pair, quarter: int) -> int:
        second = self.symbol(models[1])
        length = 4 * quarter + second % 4
        magnitude = 1 << (length - 1) | self.bits(length - 1) if length else 0
        return -magnitude - 1 if second & 4 else magnitude

    def end(self) -> None:
        need(self.read >= len(self.data), "bytes behind the end")


def context(size: int) -> int:
    """Which frequencies serve for surprises of that size."""
    bits = size.bit_length()
    if bits == 0:
        return 0
    half = size >> (bits - 2) & 1 if bits > 1 else 0
    return 1 + 2 * (min(bits, 8) - 1) + half


def plain_bits(size: int) -> int:
    return max(0, size.bit_length() - 6)


def logarithm(value: int) -> int:
    """Sixteenths of a binary logarithm."""
    bits = value.bit_length()
    if bits == 0:
        return 0
    return 16 * bits + ((value >> (bits - 5) if bits > 4 else value << (5 - bits)) & 15)


def surprise_size(size: int, surprise: int, shift: int) -> int:
    now = min(16 * abs(clip(surprise, 50)), 4 * size + 64)
    return size + ((now - size) >> shift)


def token(coder: Coder, symbol: int) -> int:
    """The number that a token other than 15 stands for."""
    if symbol < 11:
        return symbol - 5
    if symbol < 13:
        rest = coder.bits(2)
        return 6 + rest if symbol == 11 else -6 - rest
    rest = coder.bits(4)
    return 10 + rest if symbol == 13 else -10 - rest


@dataclass
class Field:
    """One field, and what is expected of its next value."""

    number: int
    kind: int = NONE
    digits: int = 0
    scale: tuple[int, int, int] | None = None
    code: int = 0
    own: Cdf = field(default_factory=Cdf)
    text: ReferenceValue = None
    known: bool = False
    last: int = 0
    step: int = 0
    common: int = 0
    changes: int = 0
    difference: int = 0
    drift: int = 0
    size: int = 0
    weight: int = 0
    count: int = 0
    errors: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    spread: int = 0
    links: int = 0
    apart: int = 0
    twin: "Field | None" = None
    neighbours: "tuple[Field, Field] | None" = None  # the field before, and that before the twin

    def same_form(self, other: "Field") -> bool:
        return other.known and (other.kind, other.digits, other.scale) == (self.kind, self.digits, self.scale)

    def take_over(self) -> None:
        """Before a second value: what the twin has learned."""
        twin, self.twin = self.twin, None
        if twin is None or not self.same_form(twin) or twin.count == 0:
            return
        self.step, self.common, self.changes = twin.step, twin.common, twin.changes
        self.difference, self.drift, self.size = twin.difference, twin.drift, twin.size
        self.weight, self.count, self.errors = twin.weight, twin.count, list(twin.errors)
        self.own = twin.own.copy()

    def forget(self) -> None:
        self.known = False
        self.last = self.step = self.common = self.changes = 0
        self.difference = self.drift = self.size = self.weight = self.count = 0
        self.errors = [0, 0, 0, 0]

    def change(self, kind: int, digits: int, scale: tuple[int, int, int] | None) -> None:
        self.twin = None
        decimals = (INT, QUOTIENT, MIXED, SINGLE)
        plain = scale is None and self.scale is None
        if self.kind in decimals and kind in decimals and digits >= self.digits and plain:
            if self.step > 1:
                self.magnify(self.step)
            self.step = self.common = self.changes = 0
            self.magnify(10 ** (digits - self.digits))
            self.last = self.last * 10 ** (digits - self.digits) % TWO64
        else:
            self.forget()
        self.kind, self.digits, self.scale = kind, digits, scale

    def magnify(self, by: int) -> None:
        self.difference = times(self.difference, by, 40)
        self.drift = times(self.drift, by, 48)
        self.size = times(self.size, by, 54)

    def settle(self, steps: int) -> None:
        self.last = (self.last + steps * max(1, self.step)) % TWO64
        self.difference = clip(steps, 40)
        self.count = min(255, self.count + 1)

    def guesses(self, beside: int) -> list[int]:
        return [0, self.difference, self.drift >> 8, beside * self.weight >> 12]

    def learn(self, surprise: int, beside: int) -> None:
        """The value moves by the best guess and the surprise."""
        guesses = self.guesses(beside)
        best = self.errors.index(min(self.errors))
        steps = signed(surprise + guesses[best])
        surprise = signed(surprise)
        for i, guess in enumerate(guesses):
            self.errors[i] += (64 * logarithm(abs(signed(steps - guess))) - self.errors[i]) >> 5
        if beside:
            move = clip(((clip(steps, 40) - guesses[3]) * 4096) >> abs(beside).bit_length(), 13) >> 4
            self.weight = clip(self.weight + (move if beside > 0 else -move), 17)
        if self.count == 0:
            self.size = 16 * abs(clip(surprise, 50))
        else:
            self.size = surprise_size(self.size, surprise, 1 if self.count < 2 else 2)
        self.drift += (256 * clip(steps, 40) - self.drift) >> 5
        self.settle(steps)
        if self.step == 0 and steps:
            self.learn_step(abs(steps))

    def learn_step(self, difference: int) -> None:
        self.common = gcd(difference, self.common)
        self.changes += 1
        if self.common == 1 or (self.changes >= 8 and self.common >= 1 << 40):
            self.step = 1
        elif self.changes >= 8:
            self.step = self.common
            self.difference = toward_zero(self.difference, self.step)
            self.drift = toward_zero(self.drift, self.step)
            self.size //= self.step

    def break_step(self, difference: int) -> None:
        step = gcd(difference, self.step)
        self.magnify(self.step // step)
        self.step = step
        self.settle(toward_zero(difference, step))


def times(value: int, by: int, bits: int) -> int:
    """The product, clipped where the factor alone would leave 2^bits."""
    most = (1 << bits) // by
    return value * by if -most <= value <= most else clip(value << 64, bits)


@dataclass
class Shape:
    """One shape, and when its next record is expected. Intervals are in sixteenths of a millisecond."""

    fields: list[Field]
    period: int
    interval: int
    head: Cdf = field(default_factory=Cdf)
    time: Cdf = field(default_factory=Cdf)
    groups: list[Cdf] = field(default_factory=list)
    successor: "Shape | None" = None
    seen: int = 0
    before: int = 0
    phase: int = 0
    spread: int = 0
    steady: int = 0
    gap: int = 0
    missed: bool = False
    size: int = 0
    errors: list[int] = field(default_factory=lambda: [0, 0])

    def due(self) -> int:
        return self.phase + self.interval

    def expected(self, record: int) -> int:
        if (self.seen > 1 and self.errors[1] < self.errors[0]) or (self.seen == 1 and self.interval):
            return (self.due() + 8) >> 4
        return record + (self.gap >> 4)

    def learn_time(self, now: int, record: int, alone: bool) -> None:
        wrong = now - self.expected(record)
        by_gap = 256 * abs(now - record - (self.gap >> 4)).bit_length()
        by_grid = 256 * abs(now - ((self.due() + 8) >> 4)).bit_length()
        if self.seen == 1:
            self.size = 16 * abs(clip(wrong, 12))
        elif self.seen > 1:
            self.size = surprise_size(self.size, wrong, 3)
        if self.seen > 0:
            self.errors[0] += (by_gap - self.errors[0]) >> 3
        if self.seen > 1:
            self.errors[1] += (by_grid - self.errors[1]) >> 3
        self.learn_gap(0 if alone else 16 * (now - record))
        self.learn_grid(16 * now)
        self.seen = min(255, self.seen + 1)

    def learn_gap(self, gap: int) -> None:
        wrong = gap - self.gap
        if self.seen == 0:
            self.gap = gap
        elif abs(wrong) > 2 * self.size + 64:
            if self.missed:
                self.gap = gap
            self.missed = not self.missed
        else:
            self.missed = False
            self.gap += wrong >> (1 if self.seen < 4 else 2 if self.seen < 12 else 3)

    def learn_grid(self, now: int) -> None:
        wrong, spread, most = now - self.due(), now - self.before, abs(self.interval) >> 3
        if self.seen == 0 or (self.interval == 0 and self.seen == 1):
            if self.seen:
                self.interval = spread
            self.steady = 1
            self.phase = now
        elif abs(wrong) > most:
            if abs(spread - self.spread) <= max(16, most):
                self.interval = spread
            self.phase = now
            self.steady = 2
        else:
            wrong = max(-256, min(256, wrong))
            self.phase += self.interval + (wrong >> sum(self.steady >= limit for limit in (2, 4)))
            self.interval += wrong >> (2 * sum(self.steady >= limit for limit in (2, 4, 10)) + 1)
            self.steady = min(255, self.steady + 1)
        self.spread = spread
        self.before = now


class Decoder:
    """The state that is carried over the blocks of a batch."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.shapes: list[Shape] = []
        self.scales: list[tuple[int, int, int] | None] = [None]
        self.fields = 0
        self.work = 0
        self.last: Shape | None = None
        self.fresh = 0
        self.last_ms = 0
        self.last_number = -1
        self.beside = 0
        self.last_head = LIKE_FLAGS
        self.head, self.rank, self.flags, self.kind, self.digit, self.same = (Cdf() for _ in range(6))
        self.quality = [Cdf() for _ in range(4)]
        self.second, self.second_time, self.first_twin = Cdf(), Cdf(), Cdf()
        self.value = [Cdf(i) for i in range(17)]
        self.time = [Cdf(i) for i in range(17)]
        self.twins = [Cdf(i) for i in range(17)]
        self.high = [Cdf() for _ in range(16)]
        self.low = [Cdf() for _ in range(16)]
        self.n_value, self.n_first, self.n_change, self.n_time, self.n_first_time = (pair() for _ in range(5))
        self.n_rank, self.n_shape, self.n_series, self.n_scale, self.n_length = (pair() for _ in range(5))
        self.n_twin, self.n_like = pair(), pair()

    def block(self, data: bytes, first: bool) -> None:
        need(data != b"", "the block is empty")
        if first:
            need(data[0] in (2, 3), "an unknown version")
            self.last_head = LIKE_FLAGS if data[0] == 3 else END
            data = data[1:]
        self.coder = Coder(data)
        while True:
            head = self.read_head()
            if head == END:
                break
            need(head <= self.last_head, "an unknown head")
            self.record(head)
        self.coder.end()

    def read_head(self) -> int:
        return self.coder.symbol(self.head) if self.last is None else self.coder.mixed(self.head, self.last.head)

    def record(self, head: int) -> None:
        if head in (NEW, NEW_FLAGS, LIKE, LIKE_FLAGS):
            shape = self.declaration() if head in (NEW, NEW_FLAGS) else self.declaration_like()
            now = self.last_ms + clip(self.coder.number(self.n_first_time), 60)
        else:
            shape = self.known_shape(head)
            now = shape.expected(self.last_ms)
            if head != EXACT:
                now += self.surprise(shape)
        need(0 <= now <= MOST_TIME, "a time out of bounds")
        self.settle_record(shape, now)
        flags = 0
        if head in (NEXT_FLAGS, OTHER_FLAGS, NEW_FLAGS, LIKE_FLAGS):
            flags = self.coder.symbol(self.flags)
            need(1 <= flags <= 3, "unknown flags")
        self.read_samples(shape, now, flags)

    def settle_record(self, shape: Shape, now: int) -> None:
        if self.last is not None:
            self.last.successor = shape
        if now != self.last_ms:
            self.beside = 0
        shape.learn_time(now, self.last_ms, self.last is None)
        self.last = shape
        self.last_ms = now

    def known_shape(self, head: int) -> Shape:
        need(self.last is not None, "no shape yet")
        assert self.last is not None
        if head not in (OTHER, OTHER_FLAGS):
            need(self.last.successor is not None, "no shape is known to follow")
            assert self.last.successor is not None
            return self.last.successor
        symbol = self.coder.symbol(self.rank)
        if symbol < 14:
            return self.ranked(symbol)
        number = self.coder.number(self.n_rank)
        if symbol == 15:
            number += next(i for i, each in enumerate(self.shapes) if each is self.last)
            need(0 <= number < len(self.shapes), "a shape that is not declared")
            return self.shapes[number]
        return self.seen_once(number)

    def ranked(self, rank: int) -> Shape:
        need(len(self.shapes) <= 256, "ranks among too many shapes")
        assert self.last is not None
        known = [shape for shape in self.shapes if shape.seen > 1 and shape is not self.last.successor]
        need(rank < len(known), "no shape of that rank")
        return sorted(known, key=Shape.due)[rank]

    def seen_once(self, distance: int) -> Shape:
        need(len(self.shapes) <= 256, "ranks among too many shapes")
        order = [i % len(self.shapes) for i in range(self.fresh, self.fresh + len(self.shapes))]
        once = [i for i in order if self.shapes[i].seen == 1]
        need(0 <= distance < len(once), "no such shape seen once")
        self.fresh = once[distance]
        return self.shapes[self.fresh]

    def surprise(self, shape: Shape) -> int:
        if shape.seen > 1:
            shift = plain_bits(shape.size)
            symbol = self.coder.mixed(self.time[context(shape.size)], shape.time)
        else:
            shift = 0
            symbol = self.coder.symbol(self.second_time)
        reduced = self.coder.number(self.n_time) if symbol == 15 else token(self.coder, symbol)
        return clip(reduced, 60 - shift) << shift | self.coder.bits(shift)

    def declaration(self) -> Shape:
        period, count = self.coder.number(self.n_shape), self.coder.number(self.n_shape)
        need(0 <= period <= MOST_TIME, "a period out of bounds")
        need(1 <= count <= 2048, "a shape too wide or empty")
        self.fields += count
        need(self.fields <= 16_384, "too many fields")
        shape = Shape([self.declared_field() for _ in range(count)], period, 16 * period)
        self.shapes.append(shape)
        return shape

    def declaration_like(self) -> Shape:
        distance = self.coder.number(self.n_like)
        need(0 <= distance < len(self.shapes), "no such shape to be like")
        other = self.shapes[-1 - distance]
        self.fields += len(other.fields)
        need(self.fields <= 16_384, "too many fields")
        fields: list[Field] = []
        for place, twin in enumerate(other.fields):
            entry = self.numbered_field()
            if twin.kind not in (NONE, TEXT, BYTES, NUMBER):
                entry.kind, entry.digits, entry.scale, entry.twin = twin.kind, twin.digits, twin.scale, twin
                entry.neighbours = (fields[-1], other.fields[place - 1]) if place else None
            fields.append(entry)
        shape = Shape(fields, other.period, 16 * other.period)
        self.shapes.append(shape)
        return shape

    def declared_field(self) -> Field:
        entry = self.numbered_field()
        self.form(entry, self.coder.symbol(self.kind))
        return entry

    def numbered_field(self) -> Field:
        self.last_number += 1 + clip(self.coder.number(self.n_series), 40)
        need(0 <= self.last_number < TWO32, "a series number out of bounds")
        return Field(self.last_number)

    def form(self, entry: Field, kind: int) -> None:
        need(kind <= SINGLE and kind != ONCE, "an unknown kind")
        digits, scale = 0, None
        if kind >= QUOTIENT:
            digits = self.coder.symbol(self.digit)
            need(digits <= 9, "too many digits")
        elif INT <= kind <= FLOAT64:
            scale = self.scale()
        entry.change(kind, digits, scale)

    def scale(self) -> tuple[int, int, int] | None:
        index = self.coder.number(self.n_scale)
        need(0 <= index <= min(len(self.scales), 16_639), "an unknown scale")
        if index == len(self.scales):
            multiplier, addend, exponent = (self.coder.number(self.n_scale) for _ in range(3))
            need(multiplier != 0 and abs(exponent) <= 127, "a scale out of bounds")
            self.scales.append((multiplier, addend, exponent))
        return self.scales[index]

    # Samples

    def read_samples(self, shape: Shape, now: int, flags: int) -> None:
        present = self.presence(shape) if flags & PARTIAL else shape.fields
        need(len(self.samples) + len(shape.fields) <= 65_536, "too many samples")
        self.take_work(len(shape.fields))
        before = 0
        for entry in present:
            before = self.quality_code(entry, before) if flags & QUALITY else 0
            entry.code = before
        for entry in present:
            value = None if entry.code & 1 else self.sample(entry)
            self.samples.append((entry.number, now, value, entry.code >> 1))

    def take_work(self, work: int) -> None:
        self.work += work
        need(self.work <= 1_048_576, "too much work")

    def presence(self, shape: Shape) -> list[Field]:
        if not shape.groups:
            shape.groups = [Cdf() for _ in range(0, len(shape.fields), 4)]
        mask = 0
        for i, group in enumerate(shape.groups):
            four = self.coder.symbol(group)
            need(four < 1 << min(4, len(shape.fields) - 4 * i), "a field beyond the shape")
            mask |= four << 4 * i
        need(mask != 0, "a record without samples")
        return [entry for i, entry in enumerate(shape.fields) if mask >> i & 1]

    def quality_code(self, entry: Field, before: int) -> int:
        symbol = self.coder.symbol(self.quality[(before != 0) + 2 * (entry.code != 0)])
        need(symbol <= 3, "an unknown quality symbol")
        code = (0, before, entry.code)[symbol] if symbol < 3 else self.coder.bits(9)
        need(code >> 1 & 3 != 3, "no quality")
        return code

    def sample(self, entry: Field) -> ReferenceValue:
        if entry.known and entry.twin is not None:
            entry.take_over()
        if entry.kind in (TEXT, BYTES, NUMBER) and entry.known:
            return self.text_or_change(entry)
        if not entry.known:
            if entry.twin is not None:
                return self.first_beside(entry, entry.twin)
            if entry.kind == NONE:
                return self.change(entry)
            return self.first(entry)
        if entry.count:
            symbol = self.coder.mixed(self.value[context(entry.size)], entry.own)
        else:
            symbol = self.coder.symbol(self.second)
        if symbol < 15:
            reduced = token(self.coder, symbol)
        else:
            quarter = self.coder.symbol(self.n_value[0])
            if quarter == 0:
                return self.change(entry)
            reduced = self.coder.rest(self.n_value, quarter)
        shift = plain_bits(entry.size) if entry.count else 0
        entry.learn(signed(reduced << shift | self.coder.bits(shift)), self.beside)
        self.beside = entry.difference
        return self.read_out(entry)

    def read_out(self, entry: Field) -> ReferenceValue:
        if entry.kind in (FLOAT32, FLOAT64) and entry.scale is not None:
            self.take_work(256)
        return value_of(entry)

    def first(self, entry: Field) -> ReferenceValue:
        entry.known = True
        if entry.kind in (TEXT, BYTES, NUMBER):
            return self.text(entry)
        entry.last = self.coder.number(self.n_first) % TWO64
        self.beside = 0
        return self.read_out(entry)

    def first_beside(self, entry: Field, twin: Field) -> ReferenceValue:
        """The first value of a field that has a twin."""
        base = size = links = apart = shift = 0
        if entry.same_form(twin):
            base, size, links, apart = twin.last, twin.spread, twin.links, twin.apart
            if entry.neighbours is not None and all(map(entry.same_form, entry.neighbours)):
                shift = signed(entry.neighbours[0].last - entry.neighbours[1].last)
        low = plain_bits(size) if links else 0
        symbol = self.coder.symbol(self.twins[context(size)] if links else self.first_twin)
        if symbol < 15:
            reduced = token(self.coder, symbol)
        else:
            quarter = self.coder.symbol(self.n_twin[0])
            if quarter == 0:
                return self.change(entry)
            reduced = self.coder.rest(self.n_twin, quarter)
        surprise = signed(reduced << low | self.coder.bits(low))
        entry.last = (base + (shift if apart > 0 else 0) + surprise) % TWO64
        entry.known, self.beside = True, 0
        off = signed(entry.last - base)
        better = logarithm(abs(off)) - logarithm(abs(signed(off - shift)))
        entry.apart = apart + ((64 * better - apart) >> 2)
        entry.spread = surprise_size(size, surprise, 1 if links < 2 else 2) if links else 16 * abs(clip(surprise, 50))
        entry.links = min(255, links + 1)
        return self.read_out(entry)

    def change(self, entry: Field) -> ReferenceValue:
        kind = self.coder.symbol(self.kind)
        if kind == ONCE:
            return float64(self.coder.bits(64))
        if kind == STEP:
            need(entry.step > 1, "no step to break")
            entry.break_step(self.coder.number(self.n_change))
        else:
            self.form(entry, kind)
            if not entry.known:
                return self.first(entry)
            entry.settle(self.coder.number(self.n_change))
        self.beside = entry.difference
        return self.read_out(entry)

    def text_or_change(self, entry: Field) -> ReferenceValue:
        symbol = self.coder.symbol(self.same)
        need(symbol <= 2, "an unknown symbol of a text")
        readers: tuple[Callable[[Field], ReferenceValue], ...] = (lambda e: e.text, self.text, self.change)
        return readers[symbol](entry)

    def text(self, entry: Field) -> ReferenceValue:
        size = self.coder.number(self.n_length)
        need(0 <= size <= (512 if entry.kind == NUMBER else 32_768), "a value too long")
        self.take_work(32 + 2 * size)
        data, high = bytearray(), 0
        for _ in range(size):
            high = self.coder.symbol(self.high[high])
            data.append(high << 4 | self.coder.symbol(self.low[high]))
        entry.text = content(entry.kind, bytes(data))
        return entry.text


def content(kind: int, data: bytes) -> ReferenceValue:
    """The value that a text stands for."""
    if kind == BYTES:
        return data
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ReferenceFormatError("no UTF-8") from error
    if kind == TEXT:
        return text
    need(re.fullmatch("-?[0-9]{1,512}(E-?[0-9]{1,4})?", text) is not None, "no number")
    return Decimal(text) if "E" in text else int(text)


def value_of(entry: Field) -> ReferenceValue:
    """The value that a field's last bits stand for."""
    if entry.kind in (FLOAT32, FLOAT64):
        raw = float32(unordered(entry.last, 32)) if entry.kind == FLOAT32 else float64(unordered(entry.last, 64))
        return raw if entry.scale is None else scaled_float(raw, *entry.scale)
    need(entry.kind != NONE, "a value of a field that has none")
    if entry.kind == BOOL:
        return entry.last != 0
    number = entry.last if entry.kind == UINT else signed(entry.last)
    if entry.kind in (QUOTIENT, MIXED, SINGLE):
        power = int(10**entry.digits)
        if entry.kind == MIXED and number % power == 0:
            return number // power
        quotient = float(number) / power
        return to_single(quotient) if entry.kind == SINGLE else quotient
    return number if entry.scale is None else scaled_decimal(number, *entry.scale)


def unordered(value: int, width: int) -> int:
    """The bits of a float, from the number of the same order."""
    value %= 1 << width
    return value ^ ((1 << (width - 1)) - 1) if value >> (width - 1) else value


def float64(bits: int) -> float:
    return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])


def float32(bits: int) -> float:
    """The equal binary64; of a NaN sign and fraction stay."""
    exponent, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 0xFF and fraction:
        return float64((bits >> 31) << 63 | 0x7FF << 52 | fraction << 29)
    return float(struct.unpack("<f", bits.to_bytes(4, "little"))[0])


def to_single(value: float) -> float:
    """The nearest binary32; infinite beyond the largest."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return inf if value > 0 else -inf


def scaled_decimal(raw: int, multiplier: int, addend: int, exponent: int) -> Decimal:
    """The exact decimal with that exponent."""
    number = raw * multiplier + addend
    return Decimal((int(number < 0), tuple(map(int, str(abs(number)))), exponent))


def scaled_float(raw: float, multiplier: int, addend: int, exponent: int) -> float:
    """The nearest binary64."""
    if isnan(raw):
        return raw
    if isinf(raw):
        return raw if multiplier > 0 else -raw
    exact = (Fraction(raw) * multiplier + addend) * Fraction(10) ** exponent
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return inf if exact > 0 else -inf


def decode(blocks: Sequence[bytes]) -> list[Sample]:
    """The samples of a batch's blocks, in order; ReferenceFormatError for what the page calls an error."""
    need(sum(map(len, blocks)) <= 1_048_576, "too many bytes")
    decoder = Decoder()
    for index, data in enumerate(blocks):
        decoder.block(data, index == 0)
    return decoder.samples
