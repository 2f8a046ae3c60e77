"""Report rules: what is reported, and what no rule may hold back."""

import struct
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext import (
    BAD,
    EXCEPTION,
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
)

NAN = float("nan")


def reported(series: Series, samples: Sequence[tuple[int, Value, int]]) -> list[bool]:
    """Which of (time, value, quality) are reported, one by one."""
    packer = Packer()
    return [packer.append(series, time, value, quality) for time, value, quality in samples]


def scanned(series: Series, kind: str, code: str, values: list[float], every: int = 1000) -> list[int]:
    """How many samples each scan of one point gives."""
    packer, plan = Packer(), ScanPlan([(Layout(0, kind), series)])
    return [packer.append_scan(plan, struct.pack(">" + code, v), i * every) for i, v in enumerate(values)]


def test_every_sample_without_a_rule() -> None:
    assert scanned(Series(1), "int16", "h", [5, 5, 5]) == [1, 1, 1]


@pytest.mark.parametrize("value", [5, 2**70, 1.5, True, "a", b"a", Decimal("1.5")])
def test_on_change(value: Value) -> None:
    assert reported(Series(1, on_change=True), [(0, value, 0), (1, value, 0), (2, 0.0, 0), (3, value, 0)]) == [
        True,
        False,
        True,
        True,
    ]


def test_on_change_in_a_scan() -> None:
    assert scanned(Series(1, on_change=True), "uint64", "Q", [2**63, 2**63, 2**63 + 1]) == [1, 0, 1]
    assert scanned(Series(1, on_change=True), "bool", "?", [False, False, True, True]) == [1, 0, 1, 0]


def test_a_deadband_is_exact_in_scaled_units() -> None:
    """OPC 10000-4, 7.22.2: a change is reported when it is more than the deadband."""
    assert scanned(Series(1, exponent=-1, deadband=0.3), "int16", "h", [0, 3, 4, 1, 0, 7]) == [1, 0, 1, 0, 1, 1]
    decimals = [Decimal(n).scaleb(-1) for n in (0, 3, 4, 1, 0, 7)]
    samples = [(i, v, 0) for i, v in enumerate(decimals)]
    assert reported(Series(1, deadband=0.3), samples) == [True, False, True, False, True, True]


def test_a_deadband_counts_from_the_last_report() -> None:
    assert scanned(Series(1, deadband=2), "uint32", "I", [10, 11, 12, 13, 14]) == [1, 0, 0, 1, 0]


def test_a_deadband_of_integers_beyond_doubles() -> None:
    assert scanned(Series(1, deadband=2), "uint64", "Q", [2**64 - 9, 2**64 - 7, 2**64 - 6]) == [1, 0, 1]
    assert scanned(Series(1, deadband=2), "int64", "q", [-(2**63), 2**63 - 1, 2**63 - 3]) == [1, 1, 0]
    big = [(i, 2**80 + n, 0) for i, n in enumerate((0, 2, 3))]
    assert reported(Series(1, deadband=2), big) == [True, False, True]


def test_a_deadband_in_percent_of_the_last_report() -> None:
    series = Series(1, deadband_percent=2)
    assert scanned(series, "int16", "h", [-50, -51, -52, -53, -54]) == [1, 0, 1, 0, 1]


def test_the_wider_deadband_counts() -> None:
    assert scanned(Series(1, deadband=5, deadband_percent=1), "int16", "h", [100, 105, 106]) == [1, 0, 1]
    assert scanned(Series(1, deadband=5, deadband_percent=10), "int16", "h", [100, 110, 111]) == [1, 0, 1]


@pytest.mark.parametrize(("kind", "code"), [("float32", "f"), ("float64", "d")])
def test_a_deadband_of_floats(kind: str, code: str) -> None:
    inf = float("inf")
    values = [1.0, 1.5, 1.75, -0.0, 0.0, inf, inf, -inf]
    assert scanned(Series(1, deadband=0.5), kind, code, values) == [1, 0, 1, 1, 0, 1, 0, 1]


def test_nan_and_back_is_a_change_of_quality() -> None:
    series = Series(1, deadband=100)
    assert scanned(series, "float64", "d", [1.0, NAN, NAN, 1.0]) == [1, 1, 0, 1]


def test_minimum_interval() -> None:
    assert scanned(Series(1, min_interval=2000), "int16", "h", [1, 2, 3, 4, 5]) == [1, 0, 1, 0, 1]
    changes = Series(1, on_change=True, min_interval=2000)
    assert scanned(changes, "int16", "h", [1, 2, 2, 2, 2]) == [1, 0, 1, 0, 0]


def test_a_heartbeat_is_a_measurement_of_its_time() -> None:
    series, packer = Series(1, deadband=5, max_interval=3000), Packer()
    sent = [packer.append(series, 1000 * i, 10 + i) for i in range(7)]
    assert sent == [True, False, False, True, False, False, True]
    assert series.last == (6000, 16, 0)


def test_a_heartbeat_of_silence() -> None:
    plan, packer = ScanPlan([(Layout(0), Series(1, on_change=True, max_interval=3000))]), Packer()
    assert [packer.fail_scan(plan, 1000 * i, NO_ANSWER) for i in range(5)] == [1, 0, 0, 1, 0]


def test_failures_without_a_rule_are_all_told() -> None:
    plan, packer = ScanPlan([(Layout(0), Series(1))]), Packer()
    assert [packer.fail_scan(plan, 1000 * i, NO_ANSWER) for i in range(3)] == [1, 1, 1]


def test_no_data_and_nothing_changed_differ() -> None:
    plan, packer = ScanPlan([(Layout(0), Series(1, on_change=True, min_interval=10**6))]), Packer()
    five = struct.pack(">H", 5)
    assert packer.append_scan(plan, five, 0) == 1
    assert packer.append_scan(plan, five, 1) == 0
    assert packer.fail_scan(plan, 2, NO_ANSWER) == 1
    assert packer.fail_scan(plan, 3, NO_ANSWER) == 0
    assert packer.fail_scan(plan, 4, EXCEPTION) == 1
    assert packer.append_scan(plan, five, 5, EXCEPTION) == 1
    assert packer.append_scan(plan, five, 6) == 1
    assert packer.append_scan(plan, five, 7) == 0


QUALITIES = st.sampled_from([0, STALE, LIMITS, BAD, NO_ANSWER, SENSOR_FAULT])
SAMPLES = st.lists(st.tuples(st.integers(0, 500), st.sampled_from([1, 1.5, "a", None, Decimal(2), True]), QUALITIES))


@given(SAMPLES, st.booleans(), st.sampled_from([0.0, 0.5]), st.integers(0, 300))
def test_no_rule_swallows_a_quality(
    samples: list[tuple[int, Value, int]], on_change: bool, deadband: float, interval: int
) -> None:
    series = Series(1, on_change=on_change, deadband=deadband, min_interval=interval)
    packer, time, told = Packer(), 0, None
    for step, value, quality in samples:
        time += step
        sent = packer.append(series, time, value, quality)
        assert series.last is not None
        _, _, judged = series.last
        assert sent or told == judged
        told = judged if sent else told


def test_a_time_before_the_last_holds_nothing_back() -> None:
    series = Series(1, min_interval=1000)
    assert reported(series, [(5000, 1, 0), (4000, 2, 0), (100, 3, 0), (1099, 4, 0)]) == [True, True, True, False]


def test_scans_and_single_values_of_one_series() -> None:
    series, packer = Series(1, exponent=-1, on_change=True), Packer()
    plan = ScanPlan([(Layout(0), series)])
    assert packer.append_scan(plan, b"\x00\x05", 0) == 1
    assert packer.append(series, 1, 5)
    assert not packer.append(series, 2, 5)
    assert packer.append_scan(plan, b"\x00\x05", 3) == 1


def test_limits_in_scaled_units() -> None:
    series, packer = Series(1, exponent=-1, minimum=-0.3, maximum=0.3), Packer()
    plan = ScanPlan([(Layout(0, "int16"), series)])
    for raw, quality in ((3, 0), (4, LIMITS), (-3, 0), (-4, LIMITS)):
        packer.append_scan(plan, struct.pack(">h", raw), 0)
        assert series.last == (0, Decimal(raw).scaleb(-1), quality)


@pytest.mark.parametrize("value", [31, 30.5, Decimal("30.5"), float("inf"), 2**80])
def test_limits_of_single_values(value: Value) -> None:
    series, packer = Series(1, minimum=-10, maximum=30), Packer()
    packer.append(series, 0, value)
    assert series.last == (0, value, LIMITS)
    packer.append(series, 0, value, STALE)
    assert series.last == (0, value, STALE)


@pytest.mark.parametrize("value", [-9999, -9999.0, Decimal(-9999)])
def test_sentinels_of_single_values(value: Value) -> None:
    series, packer = Series(1, sentinels=[-9999]), Packer()
    packer.append(series, 0, value)
    assert series.last == (0, None, SENTINEL)
    packer.append(series, 0, value, NO_ANSWER)
    assert series.last == (0, None, NO_ANSWER)


def test_a_rule_outlives_a_batch() -> None:
    series, packer = Series(1, on_change=True), Packer()
    assert packer.append(series, 0, 5)
    packer.commit()
    packer.reset()
    assert not packer.append(series, 1, 5)
    assert packer.append(series, 2, 6)
