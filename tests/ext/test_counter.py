"""Counters: what may come next, by a model in exact numbers, and what becomes of what may not."""

import struct
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext import (
    COUNTER_JUMP,
    COUNTER_RESET,
    GOOD,
    LIMITS,
    NO_ANSWER,
    SENSOR_FAULT,
    STALE,
    Layout,
    Packer,
    ScanPlan,
    Series,
    Value,
    unpack,
)

Exact = int | Decimal | Fraction | None
CODES = {
    "int16": "h", "uint16": "H", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip


def scanned(values: Iterable[float], kind: str, rollover: Exact, max_step: Exact, **scale: Any) -> list[int]:
    """The qualities of values that stand in a register."""
    series, packer = Series(1, counter=(rollover, max_step), **scale), Packer()
    plan = ScanPlan([(Layout(0, kind), series)])
    for time, value in enumerate(values):
        packer.append_scan(plan, struct.pack(">" + CODES[kind], value), time)
    return [quality for _, _, _, quality in unpack([packer.commit()])]


def appended(values: Iterable[Value], rollover: Exact, max_step: Exact) -> list[int]:
    """The qualities of values that are said one by one; the values stay what they were."""
    series, packer = Series(1, counter=(rollover, max_step)), Packer()
    given = list(values)
    for time, value in enumerate(given):
        packer.append(series, time, value)
    found = unpack([packer.commit()])
    assert [repr(value) for _, _, value, _ in found] == [repr(value) for value in given]
    return [quality for _, _, _, quality in found]


def verdict(before: Fraction, now: Fraction, rollover: int | None, max_step: int | None) -> int:
    """What the page says of two values one after the other."""
    if now >= before:
        return GOOD if max_step is None or now - before <= max_step else COUNTER_JUMP
    if rollover is None or now + rollover <= before:
        return COUNTER_RESET
    most = Fraction(rollover, 2) if max_step is None else max_step
    return GOOD if now + rollover - before <= most else COUNTER_RESET


def model(values: Iterable[Fraction], rollover: int | None, max_step: int | None) -> list[int]:
    """The qualities that are due."""
    known: Fraction | None = None
    doubted: Fraction | None = None
    found = []
    for value in values:
        quality = GOOD if known is None else verdict(known, value, rollover, max_step)
        if quality and doubted is not None and verdict(doubted, value, rollover, max_step) == GOOD:
            quality = GOOD
        if quality:
            doubted = value
        else:
            known, doubted = value, None
        found.append(quality)
    return found


def near(low: int, high: int, corners: list[int]) -> st.SearchStrategy[int]:
    """Integers from low to high, most of them close to a corner."""
    close = st.builds(int.__add__, st.sampled_from(corners), st.integers(-40, 40))
    return (st.integers(low, high) | close).map(lambda n: min(max(n, low), high))


REGISTERS = [
    ("uint16", 0, 2**16 - 1), ("uint32", 0, 2**32 - 1), ("uint64", 0, 2**64 - 1), ("int64", -(2**63), 2**63 - 1),
]  # fmt: skip


@st.composite
def registers(draw: st.DrawFn) -> tuple[str, list[int], int | None, int | None]:
    """A kind of register, its values, the roll-over and the largest step in raw steps."""
    kind, low, high = draw(st.sampled_from(REGISTERS))
    rollover = draw(st.sampled_from([None, high - low + 1, 100_000, 60]))
    max_step = draw(
        st.sampled_from([None, 1, 20, 30_000, 2**40]).filter(lambda s: not (s and rollover) or s < rollover)
    )
    values = draw(st.lists(near(low, high, [low, high, 0, 60, 100_000, 2**63]), min_size=1, max_size=20))
    return kind, values, rollover, max_step


@given(registers(), st.sampled_from([(1, 0, 0), (1, 0, -3), (25, -7, -2), (3, 5, 1)]))
def test_registers_of_every_width_and_scale(
    case: tuple[str, list[int], int | None, int | None], scale: tuple[int, int, int]
) -> None:
    kind, values, rollover, max_step = case
    step = Fraction(scale[0]) * Fraction(10) ** scale[2]
    over, most = (None if n is None else n * step for n in (rollover, max_step))
    found = scanned(values, kind, over, most, multiplier=scale[0], addend=scale[1], exponent=scale[2])
    assert found == model(map(Fraction, values), rollover, max_step)


@given(registers())
def test_integers_said_one_by_one(case: tuple[str, list[int], int | None, int | None]) -> None:
    _, values, rollover, max_step = case
    expected = model(map(Fraction, values), rollover, max_step)
    assert appended(values, rollover, max_step) == expected


KINDS: list[Callable[[int], Value]] = [int, float, lambda n: Decimal(n).scaleb(0), lambda n: n / 4]


@given(
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from(KINDS)), min_size=1, max_size=20),
    st.sampled_from([None, 400]),
    st.sampled_from([None, 1, 30]),
)
def test_kinds_may_change(
    samples: list[tuple[int, Callable[[int], Value]]], rollover: int | None, max_step: int | None
) -> None:
    values = [kind(n) for n, kind in samples]
    expected = model(
        [Fraction(value) for value in values if isinstance(value, int | float | Decimal)],
        rollover,
        max_step,
    )
    assert appended(values, rollover, max_step) == expected


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_the_roll_over_of_a_register(bits: int) -> None:
    over = 1 << bits
    values = [over - 3, over - 1, 0, 4, over - 1]
    expected = [GOOD, GOOD, GOOD, GOOD, GOOD]  # without a largest step only a fall is looked at
    assert scanned(values, f"uint{bits}", over, None) == expected
    assert scanned(values, f"uint{bits}", over, 4) == [GOOD, GOOD, GOOD, GOOD, COUNTER_JUMP]
    assert scanned([over - 3, 3], f"uint{bits}", over, 5) == [GOOD, COUNTER_RESET]


def test_without_a_largest_step_half_way_round_is_a_roll_over() -> None:
    assert scanned([40_000, 40_000 - 32_768], "uint16", 65_536, None) == [GOOD, GOOD]
    assert scanned([40_000, 40_001 - 32_768], "uint16", 65_536, None) == [GOOD, COUNTER_RESET]


def test_a_display_rolls_over_at_its_last_digit() -> None:
    """A meter of five digits before and one after the point: 99999.9 kWh, then 0."""
    assert scanned([999_998, 3], "uint32", 100_000, Decimal("0.5"), exponent=-1) == [GOOD, GOOD]
    assert scanned([999_998, 4], "uint32", 100_000, Decimal("0.5"), exponent=-1) == [GOOD, COUNTER_RESET]
    values = [Decimal("99999.75"), Decimal("0.25"), Decimal("0.9")]
    assert appended(values, 100_000, Decimal("0.5")) == [GOOD, GOOD, COUNTER_JUMP]


@pytest.mark.parametrize("kind", ["float32", "float64", "uint16"])
def test_one_wrong_reading_is_one_implausible_sample(kind: str) -> None:
    assert scanned([1000, 0, 1001, 9000, 1002], kind, None, 5) == [GOOD, COUNTER_RESET, GOOD, COUNTER_JUMP, GOOD]


@pytest.mark.parametrize("kind", ["float32", "float64", "uint16"])
def test_a_new_meter_is_one_implausible_sample(kind: str) -> None:
    assert scanned([1000, 7, 8, 9, 4], kind, None, None) == [GOOD, COUNTER_RESET, GOOD, GOOD, COUNTER_RESET]
    assert scanned([7, 5000, 5001, 5002], kind, None, 5) == [GOOD, COUNTER_JUMP, GOOD, GOOD]


def test_what_counts_down_never_becomes_plausible() -> None:
    assert scanned([9, 8, 7, 6], "uint16", None, None) == [GOOD] + 3 * [COUNTER_RESET]


def test_floats_that_are_no_numbers() -> None:
    inf, nan = float("inf"), float("nan")
    found = scanned([1.0, inf, 2.0, -inf, nan, 3.0], "float64", None, None)
    assert found == [GOOD, COUNTER_JUMP, GOOD, COUNTER_RESET, SENSOR_FAULT, GOOD]


def test_minus_zero_is_zero() -> None:
    assert scanned([0.0, -0.0, 0.0], "float64", 10, 1) == [GOOD, GOOD, GOOD]


def test_only_what_is_good_otherwise_is_judged_and_remembered() -> None:
    series, packer = Series(1, counter=(None, None), maximum=100), Packer()
    plan = ScanPlan([(Layout(0), series)])
    for time, (value, quality) in enumerate([(50, 0), (20, STALE), (200, 0), (51, 0), (49, 0)]):
        packer.append_scan(plan, struct.pack(">H", value), time, quality)
    packer.fail_scan(plan, 5, NO_ANSWER)
    packer.append(series, 6, 48)
    found = [quality for _, _, _, quality in unpack([packer.commit()])]
    assert found == [GOOD, STALE, LIMITS, GOOD, COUNTER_RESET, NO_ANSWER, COUNTER_RESET]


def test_texts_and_huge_numbers_pass_by() -> None:
    assert appended([5, "x", b"y", 2**90, 6], None, 10) == [GOOD, GOOD, GOOD, COUNTER_JUMP, GOOD]


def test_a_change_of_quality_is_reported_whatever_the_rule() -> None:
    series, packer = Series(1, counter=(None, None), deadband=1000), Packer()
    assert [packer.append(series, time, value) for time, value in enumerate([50, 51, 40, 41])] == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("counter", "scale"),
    [((0, None), 1), ((-1, None), 1), ((None, 0), 1), ((10, 10), 1), ((10, 11), 1), ((10, None), -1)],
)
def test_nonsense(counter: tuple[Exact, Exact], scale: int) -> None:
    with pytest.raises(ValueError, match="counter"):
        Series(1, counter=counter, multiplier=scale)
