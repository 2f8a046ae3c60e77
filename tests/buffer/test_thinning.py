"""What a window says of its samples, and what windows of windows say."""

import math
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from buffer.thinning import Coarse, Role, Sample, thin
from ext import BAD_ANSWER, GOOD, LIMITS, NO_ANSWER, Value

RAW = {1: Role(1, None), 2: Role(2, None)}
STATISTICS = ("count", "min", "mean", "max", "last")
SUMS = {number: Role(1, name) for number, name in enumerate(STATISTICS, 1)}


def of(coarse: list[Coarse], at: int) -> dict[str, Value]:
    return {found.statistic: found.value for found in coarse if found.boot_ms == at}


def test_a_window_of_numbers() -> None:
    samples: list[Sample] = [
        (1, 5, Decimal("1.5"), GOOD),
        (1, 59_999, 4, LIMITS),
        (1, 60_000, 9, GOOD),
        (1, 7, None, NO_ANSWER),
    ]
    found = thin(samples, RAW, 60_000)
    assert of(found, 5) == {"count": 2, "min": Decimal("1.5"), "mean": 2.75, "max": 4}
    assert of(found, 60_000) == {"count": 1, "min": 9, "mean": 9.0, "max": 9}
    assert {one.quality for one in found if one.boot_ms == 5} == {LIMITS}, "uncertain samples make it uncertain"


def test_what_has_no_mean() -> None:
    found = thin([(1, 1, "on", GOOD), (1, 2, "off", GOOD), (2, 3, True, GOOD), (2, 4, False, GOOD)], RAW, 1000)
    assert of(found, 1) == {"count": 2, "last": "off"}
    assert of(found, 3) == {"count": 2, "min": 0, "mean": 0.5, "max": 1}, "the share that was true"


def test_a_window_without_data_says_why() -> None:
    found = thin([(1, 1, None, NO_ANSWER), (1, 2, 7, BAD_ANSWER)], RAW, 1000)
    assert found == [Coarse(1, "count", 1, 0, BAD_ANSWER)]
    again = [(STATISTICS.index(one.statistic) + 1, one.boot_ms, one.value, one.quality) for one in found]
    assert thin(again, SUMS, 10_000) == found


def test_numbers_beyond_a_double_stop_nothing() -> None:
    found = of(thin([(1, 1, 10**400, GOOD), (1, 2, -(10**400), GOOD)], RAW, 1000), 1)
    assert (found["min"], found["max"]) == (-(10**400), 10**400)
    assert isinstance(found["mean"], float)
    assert math.isnan(found["mean"])


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(-(10**6), 10**6)), min_size=1, max_size=200))
def test_windows_of_windows_are_the_longer_windows(points: list[tuple[int, int]]) -> None:
    raw = [(1, at, value, GOOD) for at, value in dict(points).items()]
    minutes = [(STATISTICS.index(c.statistic) + 1, c.boot_ms, c.value, c.quality) for c in thin(raw, RAW, 60_000)]
    direct, again = thin(raw, RAW, 600_000), thin(minutes, SUMS, 600_000)
    assert [(c.statistic, c.boot_ms) for c in again] == [(c.statistic, c.boot_ms) for c in direct]
    for one, other in zip(again, direct, strict=True):
        assert isinstance(one.value, int | float)
        assert isinstance(other.value, int | float)
        assert math.isclose(one.value, other.value, rel_tol=1e-9, abs_tol=1e-6)
