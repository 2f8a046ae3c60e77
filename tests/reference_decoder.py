"""A second decoder of blocks, written from docs/format.md ("Blocks") alone: slow, plain, sharing nothing with `ext`."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import inf, isinf, isnan

ReferenceValue = bool | int | float | Decimal | str | bytes | None
Sample = tuple[int, int, ReferenceValue, int]

INT, UINT, FLOAT32, FLOAT64, BOOL, TEXT, BYTES, NUMBER, NONE, QUOTIENT = range(1, 11)
SCALED = 16
PARTIAL, QUALITY, SAME = 1, 2, 4
TWO64 = 1 << 64


class ReferenceFormatError(ValueError):
    """The page calls these blocks an error."""


def need(condition: bool, why: str) -> None:
    """Refuse the blocks unless `condition` holds."""
    if not condition:
        raise ReferenceFormatError(why)


@dataclass
class Field:
    """A field of a shape and its state."""

    number: int
    kind: int
    scale: tuple[int, int, int] | None
    digits: int
    state: int | str | bytes | Decimal | None


@dataclass
class Shape:
    """A list of fields sampled at one time."""

    period: int
    fields: list[Field]
    times: list[int] = field(default_factory=list)


class Bytes:
    """The primitives of the page over one block."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        need(self.at + size <= len(self.data), "the block ends inside a record")
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self) -> int:
        """LEB128 below 2**64."""
        value = 0
        for index in range(10):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                need(value < TWO64, "a varint beyond 64 bits")
                return value
        raise ReferenceFormatError("a varint of more than ten bytes")

    def svarint(self) -> int:
        """Zigzag of a varint."""
        code = self.varint()
        return code // 2 if code % 2 == 0 else -(code + 1) // 2

    def mask(self, size: int) -> list[bool]:
        """A bit each, low bits first, with nothing beyond them."""
        number = int.from_bytes(self.take((size + 7) // 8), "little")
        need(number < 1 << size, "bits beyond a mask")
        return [bool(number >> index & 1) for index in range(size)]

    def xor(self, width: int) -> int:
        """The significant bytes of a float's difference."""
        count, zeros = divmod(self.take(1)[0], 16)
        need(count + zeros <= width, "too many bytes for a float")
        return int.from_bytes(self.take(count), "little") << (8 * zeros)


class Decoder:
    """The state of one batch."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self.samples: list[Sample] = []
        self.last_field: Field | None = None
        self.last_time = 0

    def block(self, data: bytes, first: bool) -> None:
        """One block, all its records."""
        need(data != b"", "an empty block")
        source = Bytes(data)
        if first:
            need(source.varint() == 1, "a version other than 1")
        while source.at < len(data):
            self.record(source)

    def record(self, source: Bytes) -> None:
        """One record: its shape, its time, and a sample for each field present."""
        number, flags = divmod(source.varint(), 8)
        need(number <= len(self.shapes), "a shape that is not declared")
        if number == len(self.shapes):
            self.shapes.append(self.declaration(source))
        shape = self.shapes[number]
        time = self.time(source, shape)
        count = len(shape.fields)
        present = presence(source, count) if flags & PARTIAL else list(range(count))
        need(len(self.samples) + len(present) <= 262_144, "too many samples")
        codes = qualities(source, count, present) if flags & QUALITY else dict.fromkeys(present, 0)
        written = changed(source, [index for index in present if not codes[index] & 1], flags)
        for index in present:
            entry = shape.fields[index]
            value = value_of(source, entry, written[index]) if index in written else None
            self.samples.append((entry.number, time, value, codes[index] >> 1))

    def declaration(self, source: Bytes) -> Shape:
        """A shape's period and fields."""
        period, count = source.varint(), source.varint()
        need(period < 1 << 53, "a period out of bounds")
        need(1 <= count <= 2048, "a shape of no or too many fields")
        need(sum(len(shape.fields) for shape in self.shapes) + count <= 131_072, "too many fields")
        return Shape(period, [self.field(source) for _ in range(count)])

    def field(self, source: Bytes) -> Field:
        """A field's series number and kind."""
        before = self.last_field
        number = (before.number if before else -1) + 1 + source.svarint()
        need(0 <= number < 1 << 32, "a series number out of bounds")
        kind, scale, digits = source.take(1)[0], None, 0
        if kind == 0:
            need(before is not None, "the first field is as none before")
            assert before is not None
            kind, scale, digits = before.kind, before.scale, before.digits
        elif kind in (17, 18, 19, 20):
            scale = (source.svarint(), source.svarint(), source.svarint())
            need(scale[0] != 0 and -127 <= scale[2] <= 127, "a scale out of bounds")
        else:
            need(1 <= kind <= 10, "an unknown kind")
            digits = source.varint() if kind == QUOTIENT else 0
            need(digits <= 9, "too many digits")
        at_first: dict[int, int | str | bytes | None] = {TEXT: "", BYTES: b"", NUMBER: None, NONE: None}
        self.last_field = Field(number, kind, scale, digits, at_first.get(kind, 0))
        return self.last_field

    def time(self, source: Bytes, shape: Shape) -> int:
        """The time of a record."""
        residual = source.svarint()
        need(-(1 << 56) < residual < 1 << 56, "a residual out of bounds")
        if not shape.times:
            base = self.last_time
        elif shape.period:
            base = shape.times[-1] + shape.period
        elif len(shape.times) == 1:
            base = shape.times[-1]
        else:
            base = 2 * shape.times[-1] - shape.times[-2]
        need(0 <= base + residual < 1 << 53, "a time out of bounds")
        shape.times = [*shape.times[-1:], base + residual]
        self.last_time = base + residual
        return self.last_time


def listed(source: Bytes, number: int, count: int) -> list[int]:
    """The fields named by `number` gaps; only for lists without anything between."""
    names: list[int] = []
    for _ in range(number):
        names.append(next_name(source, names[-1] if names else -1, count))
    return names


def next_name(source: Bytes, before: int, count: int) -> int:
    """The field that the next gap names."""
    name = before + 1 + source.varint()
    need(name < count, "a field beyond the shape")
    return name


def presence(source: Bytes, count: int) -> list[int]:
    """The fields that a partial record has."""
    number = source.varint() if count > 8 else 0
    need(number <= count, "more samples than fields")
    if number:
        return listed(source, number, count)
    names = [index for index, bit in enumerate(source.mask(count)) if bit]
    need(names != [], "a record without samples")
    return names


def qualities(source: Bytes, count: int, present: list[int]) -> dict[int, int]:
    """The code of each field present."""
    number = source.varint()
    need(number <= count, "more qualities than fields")
    if number == 0:
        return dict.fromkeys(present, code(source))
    codes = dict.fromkeys(present, 0)
    name = -1
    for _ in range(number):
        name = next_name(source, name, count)
        need(name in codes, "a quality without a sample")
        codes[name] = code(source)
    return codes


def code(source: Bytes) -> int:
    """One quality, and whether the sample is without a value."""
    value = source.varint()
    need(value < 512 and value >> 1 & 3 != 3, "no quality")
    return value


def changed(source: Bytes, valued: list[int], flags: int) -> dict[int, bool]:
    """For each field with a value, whether that is written."""
    if not flags & SAME:
        return dict.fromkeys(valued, True)
    need(valued != [], "unchanged values where there are none")
    if len(valued) == 1:
        return {valued[0]: False}
    return dict(zip(valued, source.mask(len(valued)), strict=True))


def value_of(source: Bytes, entry: Field, written: bool) -> ReferenceValue:
    """A sample's value, and the field's state brought up to it."""
    kind = entry.kind & 15
    need(kind != NONE, "a value of a field that has none")
    if written:
        entry.state = next_state(source, kind, entry.state)
    need(entry.state is not None, "the last value of a field that had none")
    if kind in (TEXT, BYTES, NUMBER):
        return entry.state
    assert isinstance(entry.state, int)
    return out(entry, kind, entry.state)


def next_state(source: Bytes, kind: int, state: int | str | bytes | Decimal | None) -> int | str | bytes | Decimal:
    """The state after a value that is written."""
    if kind in (TEXT, BYTES, NUMBER):
        return text(source, kind)
    assert isinstance(state, int)
    if kind in (INT, UINT, QUOTIENT):
        return (state + source.svarint()) % TWO64
    if kind == BOOL:
        return 1 - state
    return state ^ source.xor(4 if kind == FLOAT32 else 8)


def text(source: Bytes, kind: int) -> int | str | bytes | Decimal:
    """A text, bytes, or a number that travels as text."""
    size = source.varint()
    need(size <= (512 if kind == NUMBER else 32_768), "a value too long")
    data = source.take(size)
    if kind == BYTES:
        return data
    try:
        content = data.decode()
    except UnicodeDecodeError as error:
        raise ReferenceFormatError("no UTF-8") from error
    if kind == TEXT:
        return content
    match = re.fullmatch("-?[0-9]{1,512}(E(-?[0-9]{1,4}))?", content)
    need(match is not None, "no number")
    return Decimal(content) if "E" in content else int(content)


def out(entry: Field, kind: int, state: int) -> bool | int | float | Decimal:
    """The value that a state stands for."""
    if kind == BOOL:
        return state == 1
    if kind in (FLOAT32, FLOAT64):
        raw = float_of(state, kind)
        return raw if entry.scale is None else scaled_float(raw, *entry.scale)
    number = state - TWO64 if kind != UINT and state >= TWO64 // 2 else state
    if kind == QUOTIENT:
        return number / int(10**entry.digits)
    return number if entry.scale is None else scaled_decimal(number, *entry.scale)


def float_of(bits: int, kind: int) -> float:
    """A binary64 with these bits, or equal to the binary32 with these bits."""
    if kind == FLOAT32:
        exponent, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
        if exponent != 0xFF or fraction == 0:
            return float(struct.unpack("<f", bits.to_bytes(4, "little"))[0])
        bits = (bits >> 31) << 63 | 0x7FF << 52 | fraction << 29
    return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])


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
