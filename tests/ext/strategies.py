"""Arbitrary lives of a packer: what hypothesis draws, and what must come out again."""

import math
import struct
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import strategies as st

from ext import BAD, SENSOR_FAULT, SENTINEL, Layout, Packer, ScanPlan, Series, Value, quality_class

Sample = tuple[int, int, Value, int]

QUALITIES = st.sampled_from([0, 0, 0, 1, 2, 5, 13, 18, 22, 252])
FAILURES = st.sampled_from([1, 2, 6, 10, 254])
TIMES = st.one_of(st.integers(0, 5000), st.integers(0, 2**53 - 1))
DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(digits), exponent)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=45),
    st.one_of(st.integers(-8, 3), st.integers(-9999, 9999)),
)
DOUBLES = st.one_of(
    st.floats(width=64),
    st.floats(width=32),
    st.integers(-(10**7), 10**7).map(lambda mantissa: mantissa / 100),
    st.binary(min_size=8, max_size=8).map(lambda raw: float(struct.unpack(">d", raw)[0])),
)
INTEGERS = st.one_of(
    st.integers(-200, 200),
    st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1]),
    st.integers(-(2**300), 2**300),
)
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(), st.booleans(), INTEGERS, DOUBLES, DECIMALS, st.text(max_size=20), st.binary(max_size=20)
)

# (type, struct code) of every layout whose raw value struct reads as well; others have their own name for a code
TYPES = [
    ("int8", "b"), ("uint8", "B"), ("int16", "h"), ("uint16", "H"), ("int32", "i"), ("uint32", "I"),
    ("int64", "q"), ("uint64", "Q"), ("float32", "f"), ("float64", "d"), ("bool", "?"),
    ("bcd16", "bcd16"), ("bcd48", "bcd48"), ("m10k32", "m10k32"), ("sm10k64", "sm10k64"), ("sm16", "sm16"),
]  # fmt: skip


def size_of(code: str) -> int:
    """Bytes of a value of this code."""
    return int(code[-2:]) // 8 if len(code) > 1 else struct.calcsize(">" + code)


def coded(code: str, raw: bytes) -> int | None:
    """The number that big-endian bytes spell in one of the codings; None where they spell none."""
    if code.startswith("bcd"):
        return int(raw.hex()) if raw.hex().isdigit() else None
    words: tuple[int, ...] = struct.unpack(f">{len(raw) // 2}{'h' if code.startswith('sm10k') else 'H'}", raw)
    if code == "sm16":
        return words[0] if words[0] < 0x8000 else 0x8000 - words[0]
    return None if any(abs(word) > 9999 for word in words) else sum(w * 10_000**n for n, w in enumerate(words[::-1]))


@dataclass
class Story:
    """A packer, what it was given since the start, and the blocks so far with the samples due after each."""

    packer: Packer = field(default_factory=Packer)
    due: list[Sample] = field(default_factory=list)
    blocks: list[bytes] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def commit(self) -> None:
        """Commit, and note how many samples must decode now."""
        block = self.packer.commit()
        if block:
            self.blocks.append(block)
            self.counts.append(len(self.due))

    def append(self, series: Series, time: int, value: Value, quality: int) -> None:
        """One value; what it must come out as."""
        if isinstance(value, float) and math.isnan(value) and quality_class(quality) != BAD:
            expected = SENSOR_FAULT
        else:
            expected = BAD if value is None and quality == 0 else quality
        assert self.packer.append(series, time, value, quality)
        self.due.append((series.number, time, value, expected))


@dataclass
class Point:
    """A point of a plan, and how its value is computed without the kernels."""

    code: str
    series: Series
    scale: tuple[int, int, int]
    sentinel: int | None

    def expected(self, raw: bytes, quality: int) -> tuple[Value, int]:
        """Value and quality of the point's bytes, big-endian, by struct and Decimal."""
        if len(self.code) > 1:
            return self._expected_coded(raw, quality)
        value: int | float | bool = struct.unpack(">" + self.code, raw)[0]
        if self.code == "?":
            return bool(raw[0] & 1), quality
        if self.code in "fd":
            return self._expected_float(raw, float(value), quality)
        if self.sentinel is not None and value == self.sentinel:
            return None, quality if quality_class(quality) == BAD else SENTINEL
        assert isinstance(value, int)
        return self._scaled(value), quality

    def _expected_coded(self, raw: bytes, quality: int) -> tuple[Value, int]:
        found = coded(self.code, raw)
        sentinel = self.sentinel is not None and int.from_bytes(raw, "big") == self.sentinel
        if found is None or sentinel:
            return None, quality if quality_class(quality) == BAD else SENTINEL if sentinel else SENSOR_FAULT
        return self._scaled(found), quality

    def _scaled(self, value: int) -> Value:
        multiplier, addend, exponent = self.scale
        if self.scale == (1, 0, 0):
            return value
        number = value * multiplier + addend
        return Decimal((int(number < 0), tuple(map(int, str(abs(number)))), exponent))

    @staticmethod
    def _expected_float(raw: bytes, value: float, quality: int) -> tuple[Value, int]:
        if not math.isnan(value):
            return value, quality
        if len(raw) == 4:
            bits = int.from_bytes(raw, "big")
            wide = (bits >> 31) << 63 | 0x7FF << 52 | (bits & 0x7FFFFF) << 29
            value = float(struct.unpack(">d", wide.to_bytes(8, "big"))[0])
        return value, quality if quality_class(quality) == BAD else SENSOR_FAULT


@st.composite
def points(draw: st.DrawFn, number: int) -> tuple[str, Point]:
    """A point of any type; integers with a scale and a sentinel, floats and bools without."""
    kind, code = draw(st.sampled_from(TYPES))
    if code in "fd?":
        return kind, Point(code, Series(number), (1, 0, 0), None)
    scale = draw(st.tuples(st.integers(-50, 50).filter(bool), st.integers(-(2**62), 2**62), st.integers(-9, 9)))
    scale = draw(st.sampled_from([scale, (1, 0, 0), (1, 0, -1)]))
    sentinel = draw(st.sampled_from([None, 0, 127]))
    sentinels = () if sentinel is None else (sentinel,)
    multiplier, addend, exponent = scale
    series = Series(number, multiplier=multiplier, addend=addend, exponent=exponent, sentinels=sentinels)
    return kind, Point(code, series, scale, sentinel)


@st.composite
def plans(draw: st.DrawFn, first: int) -> tuple[ScanPlan, list[Point]]:
    """A plan of up to twelve points, one after another, with or without a grid."""
    drawn = [draw(points(first + index)) for index in range(draw(st.integers(1, 12)))]
    fields, offset = [], 0
    for kind, point in drawn:
        layout = Layout(offset, kind)
        fields.append((layout, point.series))
        offset += layout.width
    return ScanPlan(fields, draw(st.sampled_from([0, 1000]))), [point for _, point in drawn]


def alike(plan: ScanPlan, points: list[Point], first: int) -> tuple[ScanPlan, list[Point]]:
    """A plan for another device of the same model."""
    kinds = {code: kind for kind, code in TYPES}
    fields, others, offset = [], [], 0
    for index, point in enumerate(points):
        multiplier, addend, exponent = point.scale
        sentinels = () if point.sentinel is None else (point.sentinel,)
        series = Series(first + index, multiplier=multiplier, addend=addend, exponent=exponent, sentinels=sentinels)
        layout = Layout(offset, kinds[point.code])
        fields.append((layout, series))
        others.append(Point(point.code, series, point.scale, point.sentinel))
        offset += layout.width
    return ScanPlan(fields, plan.period), others


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Scans, failures, single values and commits in any order."""
    story = Story()
    series = [Series(number) for number in draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3))]
    scans = [draw(plans(100 * index)) for index in range(2)]
    scans += [alike(*scans[index], 100 * (2 + index)) for index in (0, 0, 1)]
    payloads = [draw(st.lists(st.binary(min_size=p.size, max_size=p.size), min_size=1, max_size=3)) for p, _ in scans]
    for step in draw(st.lists(st.sampled_from(["append", "scan", "scan", "fail", "commit"]), max_size=25)):
        if step == "append":
            story.append(draw(st.sampled_from(series)), draw(TIMES), draw(VALUES), draw(QUALITIES))
        elif step == "commit":
            story.commit()
        else:
            index = draw(st.integers(0, len(scans) - 1))
            _scan(draw, story, *scans[index], payloads[index] if step == "scan" else None)
    story.commit()
    return story


def _scan(draw: st.DrawFn, story: Story, plan: ScanPlan, points: list[Point], payloads: list[bytes] | None) -> None:
    time = draw(TIMES)
    if payloads is None:
        quality = draw(FAILURES)
        assert story.packer.fail_scan(plan, time, quality) == len(points)
        story.due.extend((point.series.number, time, None, quality) for point in points)
        return
    quality, payload, offset = draw(QUALITIES), draw(st.sampled_from(payloads)), 0
    assert story.packer.append_scan(plan, payload, time, quality) == len(points)
    for point in points:
        end = offset + size_of(point.code)
        story.due.append((point.series.number, time, *point.expected(payload[offset:end], quality)))
        offset = end
