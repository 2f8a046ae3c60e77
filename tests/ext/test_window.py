"""Windows: minimum, mean, maximum and count of each, by a model in plain Python."""

import math
import struct
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext import (
    BAD,
    BAD_ANSWER,
    COUNTER_RESET,
    GOOD,
    LIMITS,
    NO_ANSWER,
    SENSOR_FAULT,
    SENTINEL,
    STALE,
    Layout,
    Packer,
    ScanPlan,
    Series,
    Value,
    quality_class,
    unpack,
)
from ext.limits import MAX_TIME_MS
from tests.ext.strategies import VALUES, Sample
from tests.reference_decoder import decode

MIN, MEAN, MAX, COUNT = 11, 12, 13, 14
INF, NAN = float("inf"), float("nan")
SECOND = 1000


def windowed(
    window: int = SECOND, keep: Sequence[int] = (MIN, MEAN, MAX, COUNT), first: int = 10, **rule: Any
) -> Series:
    """A series of windows; its aggregates are 11 to 14."""
    aggregates = [Series(first + i) if 10 + i in keep else None for i in range(1, 5)]
    return Series(0, window=window, aggregates=aggregates, **rule)


def told(packer: Packer) -> list[Sample]:
    """What was packed, by both decoders."""
    block = packer.commit()
    found = unpack([block]) if block else []
    assert list(map(repr, found)) == list(map(repr, decode([block]) if block else []))
    times = [time for _, time, _, _ in found]
    assert not found or (min(times), max(times)) == (packer.first_ms, packer.last_ms)
    return found


def played(samples: Sequence[tuple[int, Value, int]], window: int = SECOND) -> list[Sample]:
    """What the windows of samples come to; the last is cut short at the last sample."""
    series, packer = windowed(window), Packer()
    for time, value, quality in samples:
        assert not packer.append(series, time, value, quality)
    packer.flush([series], samples[-1][0] if samples else 0, final=True)
    return told(packer)


# The model ----------------------------------------------------------------------------------------------------------


def is_object(value: Value) -> bool:
    return isinstance(value, Decimal) or (isinstance(value, int) and not -(2**63) <= value < 2**64)


def double(value: Value) -> float:
    assert isinstance(value, int | float | Decimal)
    try:
        return float(value)
    except OverflowError:
        return INF if value > 0 else -INF


def less(a: Value, b: Value) -> bool:
    """Exactly among integers of 64 bits, and among decimals and larger ones; else as doubles."""
    whole = all(isinstance(v, int) and not isinstance(v, bool) and not is_object(v) for v in (a, b))
    if whole or (is_object(a) and is_object(b)):
        assert isinstance(a, int | Decimal)
        assert isinstance(b, int | Decimal)
        return bool(a < b)
    return double(a) < double(b)


def judged(value: Value, quality: int) -> tuple[Value, int]:
    """A value that counts, or None; and the quality of the sample."""
    if value is None:
        return None, quality or BAD
    if isinstance(value, float) and math.isnan(value):
        return None, quality if quality_class(quality) == BAD else SENSOR_FAULT
    if quality_class(quality) == BAD:
        return None, quality
    return (None, BAD_ANSWER) if isinstance(value, str | bytes) else (value, quality)


def due(samples: Sequence[tuple[int, Value, int]], window: int) -> list[tuple[int, list[Value], int, int]]:
    """(time, values that count, quality, last failure) of each window, in order."""
    windows: dict[int, list[tuple[Value, int]]] = {}
    for time, value, quality in samples:
        windows.setdefault(time // window, []).append(judged(value, quality))
    found = []
    for index, content in windows.items():
        values: list[Value] = [value for value, _ in content if value is not None]
        worse = [quality for value, quality in content if value is not None and quality_class(quality)]
        failures = [quality for value, quality in content if value is None]
        end = min((index + 1) * window, samples[-1][0])
        found.append((end, values, worse[-1] if worse else GOOD, failures[-1] if failures else GOOD))
    return found


def extreme(values: Sequence[Value], largest: bool) -> Value:
    found = values[0]
    for value in values[1:]:
        if less(found, value) if largest else less(value, found):
            found = value
    return found


def check_mean(value: Value, quality: int, values: Sequence[Value], expected: int) -> None:
    doubles = [double(v) for v in values]
    total = sum(doubles)
    if not math.isfinite(total):
        finite = all(map(math.isfinite, doubles))
        none = finite or math.isnan(total)
        assert (value, quality) == ((None, SENSOR_FAULT) if none else (total, expected))
        return
    exact = sum(map(Fraction, doubles), Fraction()) / len(doubles)
    lost = sum((abs(Fraction(d)) for d in doubles), Fraction()) * len(doubles) / 2**100
    assert isinstance(value, float)
    assert abs(Fraction(value) - exact) <= Fraction(math.ulp(float(exact))) + lost
    assert quality == expected
    if len(set(doubles)) == 1:
        assert value == doubles[0]


def check(found: Sequence[Sample], samples: Sequence[tuple[int, Value, int]], window: int) -> None:
    expected = due(samples, window)
    assert [sample[:2] for sample in found] == [(n, time) for time, *_ in expected for n in (MIN, MEAN, MAX, COUNT)]
    for at, (_, values, quality, failure) in enumerate(expected):
        least, mean, most, count = (sample[2:] for sample in found[4 * at : 4 * at + 4])
        assert repr(count) == repr((len(values), GOOD))
        if not values:
            assert least == mean == most == (None, failure)
            continue
        assert repr(least) == repr((extreme(values, False), quality))
        assert repr(most) == repr((extreme(values, True), quality))
        check_mean(*mean, values, quality)


STEPS = st.integers(0, 400) | st.sampled_from([0, 999, 1000, 1001, 5000])
QUALITIES = st.sampled_from([GOOD, GOOD, GOOD, STALE, LIMITS, BAD, NO_ANSWER, SENSOR_FAULT])
NUMBERS = st.sampled_from([0.0, -0.0, INF, -INF, NAN, 1e308, -1e308, 5e-324, 0.1, True, False, 2**53 + 1]) | VALUES


def spread(steps: Sequence[tuple[int, Value, int]]) -> list[tuple[int, Value, int]]:
    """Samples with times instead of steps."""
    time, samples = 0, []
    for step, value, quality in steps:
        time += step
        samples.append((time, value, quality))
    return samples


@given(st.lists(st.tuples(STEPS, NUMBERS, QUALITIES), max_size=25), st.sampled_from([1000, 333, 1]))
def test_values_of_any_kind_said_one_by_one(steps: list[tuple[int, Value, int]], window: int) -> None:
    samples = spread(steps)
    check(played(samples, window=window), samples, window)


CODES = {"int16": "h", "uint16": "H", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d", "bool": "?"}


@st.composite
def scans(draw: st.DrawFn) -> tuple[str, list[tuple[int, bytes | None, int]]]:
    """A kind of register, and (time, payload or None for no answer, quality) of scans."""
    kind = draw(st.sampled_from(sorted(CODES)))
    size = struct.calcsize(CODES[kind])
    payload = st.sampled_from([b"\x00", b"\x01"]) if kind == "bool" else st.binary(min_size=size, max_size=size)
    steps = draw(st.lists(st.tuples(STEPS, st.none() | payload | payload | payload, QUALITIES), max_size=25))
    return kind, spread(steps)  # type: ignore[return-value]


@given(scans())
def test_scans_come_to_what_their_values_come_to(case: tuple[str, list[tuple[int, bytes | None, int]]]) -> None:
    kind, steps = case
    series, other, packer, single = windowed(), windowed(), Packer(), Packer()
    plan = ScanPlan([(Layout(0, kind), series), (Layout(0, kind), Series(1))])
    samples: list[tuple[int, Value, int]] = []
    for time, payload, quality in steps:
        if payload is None:
            packer.fail_scan(plan, time, quality or NO_ANSWER)
            samples.append((time, None, quality or NO_ANSWER))
        else:
            packer.append_scan(plan, payload, time, quality)
            samples.append((time, struct.unpack(">" + CODES[kind], payload)[0], quality))
        single.append(other, *samples[-1])
    end = steps[-1][0] if steps else 0
    packer.flush([series], end, final=True)
    single.flush([other], end, final=True)
    found = [sample for sample in told(packer) if sample[0] != 1]
    assert list(map(repr, found)) == list(map(repr, told(single)))
    if kind != "float32":  # its values as doubles are NaN where the registers are; struct changes those
        check(found, samples, SECOND)


# By hand ------------------------------------------------------------------------------------------------------------


def test_a_window_is_told_with_the_next_sample_and_bears_the_time_of_its_end() -> None:
    series, packer = windowed(), Packer()
    for time, value in ((5000, 3), (5999, 1)):
        assert not packer.append(series, time, value)
    assert told(packer) == []
    assert not packer.append(series, 6000, 7)
    assert told(packer) == [(MIN, 6000, 1, 0), (MEAN, 6000, 2.0, 0), (MAX, 6000, 3, 0), (COUNT, 6000, 2, 0)]
    assert series.last == (6000, 7, 0)


def test_a_flush_tells_windows_that_are_over_and_only_these() -> None:
    series, packer = windowed(), Packer()
    packer.append(series, 5500, 3)
    assert packer.flush([series], 5999) == 0
    assert packer.flush([series], 6000) == 4
    assert packer.flush([series], 9000) == 0
    assert {time for _, time, _, _ in told(packer)} == {6000}


def test_a_window_that_is_cut_short_bears_the_time_of_the_cut() -> None:
    series, packer = windowed(), Packer()
    packer.append(series, 5500, 3)
    assert packer.flush([series], 5600, final=True) == 4
    packer.append(series, 5700, 4)
    packer.append(series, 6100, 5)
    found = told(packer)
    assert [(n, t, v) for n, t, v, _ in found if n in (MIN, COUNT)] == [
        (MIN, 5600, 3), (COUNT, 5600, 1), (MIN, 6000, 4), (COUNT, 6000, 1),
    ]  # fmt: skip


def test_only_what_is_asked_for_is_kept() -> None:
    series, packer = windowed(keep=(MEAN, COUNT)), Packer()
    packer.append(series, 100, 1)
    assert packer.flush([series], 1000) == 2
    assert [number for number, *_ in told(packer)] == [MEAN, COUNT]


def test_a_window_of_failures_says_so() -> None:
    series, packer = windowed(), Packer()
    plan = ScanPlan([(Layout(0, "int16"), series)])
    packer.fail_scan(plan, 0, SENTINEL)
    packer.fail_scan(plan, 500, NO_ANSWER)
    assert packer.append_scan(plan, b"\x00\x07", 1000) == 0
    assert told(packer) == [(n, 1000, None, NO_ANSWER) for n in (MIN, MEAN, MAX)] + [(COUNT, 1000, 0, GOOD)]


def test_scaled_registers_stay_exact() -> None:
    series, packer = windowed(multiplier=25, addend=-1, exponent=-2), Packer()
    plan = ScanPlan([(Layout(0, "uint64"), series)])
    raws = (2**64 - 1, 2**64 - 2, 2**64 - 3)
    for time, raw in enumerate(raws):
        packer.append_scan(plan, struct.pack(">Q", raw), time)
    packer.flush([series], 1000)
    least, mean, most, count = told(packer)
    assert least == (MIN, 1000, Decimal(25 * raws[2] - 1).scaleb(-2), 0)
    assert most == (MAX, 1000, Decimal(25 * raws[0] - 1).scaleb(-2), 0)
    assert isinstance(least[2], Decimal)
    assert least[2].as_tuple().exponent == -2
    assert mean[2] == pytest.approx(2**62)
    assert count == (COUNT, 1000, 3, 0)


def test_scaled_floats_and_counters_and_limits() -> None:
    series = windowed(exponent=-1, maximum=100, counter=(None, None))
    packer = Packer()
    plan = ScanPlan([(Layout(0, "float32"), series)])
    for time, value in enumerate((5.0, 6.0, 4.0)):
        packer.append_scan(plan, struct.pack(">f", value), time)
    packer.flush([series], 1000)
    found = told(packer)
    assert [v for _, _, v, _ in found] == [0.4, pytest.approx(0.5), 0.6, 3]
    assert [q for _, _, _, q in found] == [COUNTER_RESET] * 3 + [GOOD]


def test_the_mean_of_one_value_is_that_value() -> None:
    found = played([(at, 0.1, 0) for at in range(999)])
    assert [value for _, _, value, _ in found] == [0.1, 0.1, 0.1, 999]


def test_the_sum_is_compensated() -> None:
    found = played([(0, 1e16, 0), (1, 1.0, 0), (2, -1e16, 0), (3, 1.0, 0)])
    assert found[1] == (MEAN, 3, 0.5, 0)


@pytest.mark.parametrize(
    ("values", "mean"), [((INF, 1.0), INF), ((-INF, 1.0), -INF), ((INF, -INF), None), ((1.7e308, 1.7e308), None)]
)
def test_a_mean_that_no_double_holds_has_no_value(values: tuple[float, float], mean: float | None) -> None:
    found = played([(at, value, 0) for at, value in enumerate(values)])
    assert found[1] == (MEAN, 1, mean, GOOD if mean is not None else SENSOR_FAULT)


def test_a_sample_from_before_the_window_counts_in_it() -> None:
    series, packer = windowed(), Packer()
    for time in (5500, 4000, 5600):
        packer.append(series, time, time)
    packer.flush([series], 6000)
    assert told(packer)[0] == (MIN, 6000, 4000, 0)
    assert told(packer) == []


def test_the_last_time_there_is() -> None:
    found = played([(MAX_TIME_MS - 1, 1, 0), (MAX_TIME_MS, 2, 0)])
    assert {time for _, time, _, _ in found} <= {MAX_TIME_MS, MAX_TIME_MS - MAX_TIME_MS % SECOND}


def test_a_full_batch_keeps_its_windows_for_the_next() -> None:
    series, packer = windowed(), Packer()
    text = Series(1)
    packer.append(series, 0, 5)
    for size in (30_000, 100):
        noise = [(text, 1, Random(at).randbytes(size), 0) for at in range(1000)]
        with pytest.raises(OverflowError):
            packer.extend(noise)
    with pytest.raises(OverflowError):
        packer.append(series, 1000, 6)
    with pytest.raises(OverflowError):
        packer.flush([series], 1000)
    assert series.last == (0, 5, 0)
    packer.commit()
    packer.reset()
    assert packer.flush([series], 1000) == 4
    assert [value for _, _, value, _ in told(packer)] == [5, 5.0, 5, 1]


def test_what_is_refused_closes_no_window() -> None:
    series, packer = windowed(), Packer()
    plan = ScanPlan([(Layout(0), series)])
    packer.append_scan(plan, b"\0\1", 0)
    with pytest.raises(ValueError, match="is no quality"):
        packer.append_scan(plan, b"\0\1", 5000, 3)
    with pytest.raises(ValueError, match="not good"):
        packer.fail_scan(plan, 5000, 0)
    assert packer.pending == 0


def test_aggregates_of_many_points_are_small() -> None:
    """Sixty meters of one bus, a minute each: times cost next to nothing, though they lie before the newest scan's."""
    packer, points = Packer(), [windowed(60_000, first=10 * i) for i in range(1, 61)]
    plan = ScanPlan([(Layout(2 * i, "uint16"), series) for i, series in enumerate(points)], SECOND)
    raw = ScanPlan([(Layout(0), Series(1))], SECOND)
    for second in range(1200):
        payload = b"".join(struct.pack(">H", 100 + (second // 30 + i) % 7) for i in range(60))
        packer.append_scan(plan, payload, 1000 * second + 137)
        packer.append_scan(raw, payload, 1000 * second + 150)
    samples = packer.pending - 1200
    assert samples == 19 * 60 * 4
    assert len(packer.commit()) / samples < 1.5


def test_nonsense() -> None:
    four = [Series(n) for n in range(4)]
    with pytest.raises(ValueError, match="window"):
        Series(1, window=-1, aggregates=four)
    with pytest.raises(ValueError, match="window"):
        Series(1, window=1000, aggregates=four[:3])
