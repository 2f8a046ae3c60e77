"""A second decoder of blocks, written by a stranger from docs/format.md alone: plain, slow, strict as the page."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

Value: TypeAlias = int | float | Decimal | bool | str | bytes | None
Sample: TypeAlias = tuple[int, int, Value, int]

INT, UINT, FLOAT32, FLOAT64, BOOL, TEXT, BYTES, NUMBER, NONE, QUOTIENT = range(1, 11)
SCALED = 16  # what the kinds 17 to 20 are above 1 to 4
PARTIAL, QUALITY, SAME = 1, 2, 4

MAX_BYTES = 1_048_576
MAX_SAMPLES = 262_144
MAX_SHAPE = 2_048
MAX_FIELDS = 131_072
MAX_TEXT = 32_768
MAX_NUMBER = 512

NUMBER_TEXT = re.compile(rb"-?[0-9]{1,512}(E-?[0-9]{1,4})?")


class ReferenceFormatError(ValueError):
    """The bytes are not blocks of a batch."""


def check(condition: bool, what: str) -> None:
    """Refuse the input unless the condition holds."""
    if not condition:
        raise ReferenceFormatError(what)


class Cursor:
    """Reads the primitives from one block (or message), and never beyond its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        """How many bytes are still unread."""
        return len(self.data) - self.at

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        check(n <= self.left, "ends too early")
        self.at += n
        return self.data[self.at - n : self.at]

    def byte(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """An unsigned integer below 2^64, at most ten bytes."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                check(value < 1 << 64, "varint of more than 64 bits")
                return value
        raise ValueError("varint of more than ten bytes")

    def svarint(self) -> int:
        """A signed integer in the zigzag code."""
        code = self.varint()
        return -(code >> 1) - 1 if code & 1 else code >> 1

    def mask(self, n: int) -> list[bool]:
        """Bits for n things."""
        bits = int.from_bytes(self.take((n + 7) // 8), "little")
        check(bits >> n == 0, "bits beyond the end of a mask")
        return [bool(bits >> i & 1) for i in range(n)]

    def gap(self, before: int, count: int) -> int:
        """The index, below count, of the field named next after the field `before` (-1: none)."""
        index = before + 1 + self.varint()
        check(index < count, "names a field beyond the shape")
        return index

    def xor(self, width: int) -> int:
        """The bits that differ between two floats of width bytes."""
        n, z = divmod(self.byte(), 16)
        check(n + z <= width, "more bytes than the float has")
        return int.from_bytes(self.take(n), "little") << 8 * z


def double(bits: int) -> float:
    """The binary64 of these bits."""
    value: float = struct.unpack("<d", bits.to_bytes(8, "little"))[0]
    return value


def widened(bits: int) -> float:
    """The binary64 equal to the binary32 of these bits; of a NaN, with its sign, quiet bit and payload."""
    if bits >> 23 & 0xFF == 0xFF:
        return double(bits >> 31 << 63 | 0x7FF << 52 | (bits & 0x7FFFFF) << 29)
    value: float = struct.unpack("<f", bits.to_bytes(4, "little"))[0]
    return value


@dataclass(frozen=True)
class Scale:
    """(raw * multiplier + addend) * 10^exponent."""

    multiplier: int
    addend: int
    exponent: int

    def of_integer(self, raw: int) -> Decimal:
        """The exact decimal, with the exponent of the scale."""
        return Decimal(f"{raw * self.multiplier + self.addend}E{self.exponent}")

    def of_float(self, raw: float) -> float:
        """The binary64 nearest to the exact result."""
        if raw != raw:
            return raw
        if raw in (float("inf"), float("-inf")):
            return raw if self.multiplier > 0 else -raw
        exact = (Fraction(raw) * self.multiplier + self.addend) * Fraction(10) ** self.exponent
        try:
            # The quotient of two ints is rounded once, ties to even; it is -0.0 only for what is rounded to zero.
            return exact.numerator / exact.denominator
        except OverflowError:
            return float("inf") if exact > 0 else float("-inf")


@dataclass(frozen=True)
class Format:
    """How the values of a field are written."""

    kind: int
    scale: Scale | None = None
    digits: int = 0


@dataclass
class Field:
    """One series in one shape, and its state: integers, bits and booleans in `number`, the rest in `text`."""

    series: int
    format: Format
    number: int = 0
    text: bytes | None = None

    def read(self, cursor: Cursor) -> None:
        """Read a value that is written; it becomes the state."""
        match self.format.kind:
            case 1 | 10:  # INT, QUOTIENT
                self.number = (self.number + cursor.svarint() + (1 << 63)) % (1 << 64) - (1 << 63)
            case 2:  # UINT
                self.number = (self.number + cursor.svarint()) % (1 << 64)
            case 3:  # FLOAT32
                self.number ^= cursor.xor(4)
            case 4:  # FLOAT64
                self.number ^= cursor.xor(8)
            case 5:  # BOOL
                self.number ^= 1
            case 9:  # NONE
                raise ValueError("a value of a field that has none")
            case kind:
                size = cursor.varint()
                check(size <= (MAX_NUMBER if kind == NUMBER else MAX_TEXT), "text or bytes too long")
                self.text = cursor.take(size)

    def value(self) -> Value:
        """The value that the state stands for."""
        kind, scale = self.format.kind, self.format.scale
        if kind in (INT, UINT):
            return self.number if scale is None else scale.of_integer(self.number)
        if kind in (FLOAT32, FLOAT64):
            raw = widened(self.number) if kind == FLOAT32 else double(self.number)
            return raw if scale is None else scale.of_float(raw)
        if kind == QUOTIENT:
            quotient: float = float(self.number) / 10**self.format.digits
            return quotient
        if kind == BOOL:
            return bool(self.number)
        if kind == TEXT:
            return (self.text or b"").decode("utf-8")
        if kind == BYTES:
            return self.text or b""
        if self.text is None:
            raise ValueError("the last value of a field that never had one")
        match = NUMBER_TEXT.fullmatch(self.text)
        if match is None:
            raise ValueError("not a number")
        return int(self.text) if match[1] is None else Decimal(self.text.decode("ascii"))


@dataclass
class Shape:
    """Fields that are sampled at one time, and the times of the shape's last two records."""

    period: int
    fields: list[Field]
    times: list[int] = field(default_factory=list)

    def base(self, before: int) -> int:
        """The time expected of the next record, when the record before it in the batch has the time `before`."""
        if not self.times:
            return before
        return self.times[-1] + (self.period or self.times[-1] - self.times[0])


class Decoder:
    """Decodes the blocks of one batch, in order."""

    def __init__(self) -> None:
        self.started = False
        self.bytes = 0
        self.samples = 0
        self.fields = 0
        self.time = 0
        self.series = -1
        self.format: Format | None = None
        self.shapes: list[Shape] = []

    def block(self, block: bytes) -> list[Sample]:
        """The samples of the next block."""
        cursor = Cursor(block)
        self.bytes += len(block)
        check(len(block) > 0 and self.bytes <= MAX_BYTES, "an empty block, or too many bytes")
        if not self.started:
            check(cursor.varint() == 1, "unknown version")
            self.started = True
        samples: list[Sample] = []
        while cursor.left:
            samples += self.record(cursor)
        return samples

    def record(self, cursor: Cursor) -> list[Sample]:
        """The samples of one record."""
        number, flags = divmod(cursor.varint(), 8)
        check(number <= len(self.shapes), "a shape not declared")
        if number == len(self.shapes):
            self.shapes.append(self.declaration(cursor))
        shape = self.shapes[number]

        residual = cursor.svarint()
        check(abs(residual) < 1 << 56, "residual out of range")
        self.time = shape.base(self.time) + residual
        check(0 <= self.time < 1 << 53, "time out of range")
        shape.times = [*shape.times[-1:], self.time]

        count = len(shape.fields)
        present = self.presence(cursor, count) if flags & PARTIAL else list(range(count))
        self.samples += len(present)
        check(self.samples <= MAX_SAMPLES, "too many samples")
        codes = self.qualities(cursor, present, count) if flags & QUALITY else {}
        valued = [i for i in present if not codes.get(i, 0) & 1]
        written = self.changed(cursor, valued) if flags & SAME else valued

        for i in written:
            shape.fields[i].read(cursor)
        values = {i: shape.fields[i].value() for i in valued}
        return [(shape.fields[i].series, self.time, values.get(i), codes.get(i, 0) >> 1) for i in present]

    def declaration(self, cursor: Cursor) -> Shape:
        """A new shape."""
        period, count = cursor.varint(), cursor.varint()
        check(period < 1 << 53, "period out of range")
        check(1 <= count <= MAX_SHAPE, "a shape of no fields, or of too many")
        self.fields += count
        check(self.fields <= MAX_FIELDS, "too many fields")
        fields = []
        for _ in range(count):
            self.series += 1 + cursor.svarint()
            check(0 <= self.series < 1 << 32, "series number out of range")
            self.format = self.kind(cursor)
            fields.append(Field(self.series, self.format))
        return Shape(period, fields)

    def kind(self, cursor: Cursor) -> Format:
        """The kind of a field, and what it asks for."""
        kind = cursor.byte()
        if kind == 0 and self.format is not None:
            return self.format
        if kind == QUOTIENT:
            digits = cursor.varint()
            check(digits <= 9, "too many digits")
            return Format(kind, digits=digits)
        if SCALED + INT <= kind <= SCALED + FLOAT64:
            scale = Scale(cursor.svarint(), cursor.svarint(), cursor.svarint())
            check(scale.multiplier != 0 and abs(scale.exponent) <= 127, "not a scale")
            return Format(kind - SCALED, scale)
        check(INT <= kind <= NONE, "unknown kind")
        return Format(kind)

    @staticmethod
    def presence(cursor: Cursor, count: int) -> list[int]:
        """The indices of the fields that have a sample."""
        n = cursor.varint() if count > 8 else 0
        check(n <= count, "names too many fields")
        if n == 0:
            present = [i for i, bit in enumerate(cursor.mask(count)) if bit]
            check(bool(present), "a record without samples")
            return present
        present = [cursor.gap(-1, count)]
        while len(present) < n:
            present.append(cursor.gap(present[-1], count))
        return present

    @staticmethod
    def qualities(cursor: Cursor, present: list[int], count: int) -> dict[int, int]:
        """The codes of the fields whose code is not 0, by index."""

        def code() -> int:
            code = cursor.varint()
            check(code < 512 and code >> 1 & 3 != 3, "not a quality")
            return code

        n = cursor.varint()
        check(n <= count, "names too many fields")
        if n == 0:
            return dict.fromkeys(present, code())
        codes: dict[int, int] = {}
        index, among = -1, set(present)
        for _ in range(n):
            index = cursor.gap(index, count)
            check(index in among, "quality of a field that is not present")
            codes[index] = code()
        return codes

    @staticmethod
    def changed(cursor: Cursor, valued: list[int]) -> list[int]:
        """The indices of the fields whose values are written, of those that have a value."""
        check(bool(valued), "SAME without a value")
        if len(valued) == 1:
            return []
        return [i for i, bit in zip(valued, cursor.mask(len(valued)), strict=True) if bit]


def decode(blocks: Sequence[bytes]) -> list[Sample]:
    """The samples (series, boot_ms, value, quality) of a batch's first blocks, or a `ReferenceFormatError`."""
    decoder = Decoder()
    try:
        return [sample for block in blocks for sample in decoder.block(block)]
    except ReferenceFormatError:
        raise
    except ValueError as error:
        raise ReferenceFormatError(str(error)) from error
