"""The planner: it covers what is wanted with the fewest requests, within cap and gap, and divides no point."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.planner import Span, divide, extent, plan

spans = st.lists(st.tuples(st.integers(0, 400), st.sampled_from([1, 2, 4])), max_size=40).map(
    lambda raw: [Span(address, count, f"p{i}") for i, (address, count) in enumerate(raw)]
)
few = st.lists(st.tuples(st.integers(0, 24), st.sampled_from([1, 2, 4])), min_size=1, max_size=6).map(
    lambda raw: [Span(address, count, f"p{i}") for i, (address, count) in enumerate(raw)]
)


def _wanted(group: tuple[Span, ...]) -> set[int]:
    return {address for span in group for address in range(span.address, span.end)}


def _longest_gap(group: tuple[Span, ...]) -> int:
    wanted = sorted(_wanted(group))
    return max((b - a - 1 for a, b in pairwise(wanted)), default=0)


@given(spans, st.integers(4, 125), st.integers(0, 50))
def test_every_point_is_in_one_request_within_cap_and_gap(wanted: list[Span], cap: int, gap: int) -> None:
    groups = plan(wanted, cap, gap)
    assert sorted(span for group in groups for span in group) == sorted(wanted)
    for group in groups:
        first, count = extent(group)
        assert 1 <= count <= cap
        assert _longest_gap(group) <= gap
        assert all(first <= span.address and span.end <= first + count for span in group)
    assert [extent(group) for group in groups] == sorted(extent(group) for group in groups)


def _fewest(wanted: list[Span], cap: int, gap: int) -> int:
    """By trying all partitions: the smallest number of groups that keep cap and gap."""
    if not wanted:
        return 0
    first, *rest = wanted
    best = len(wanted)
    for size in range(len(rest) + 1):
        for chosen in combinations(rest, size):
            group = (first, *chosen)
            if extent(group)[1] <= cap and _longest_gap(group) <= gap:
                others = [span for span in rest if span not in chosen]
                best = min(best, 1 + _fewest(others, cap, gap))
    return best


@given(few, st.integers(4, 12), st.integers(0, 6))
def test_no_way_has_fewer_requests(wanted: list[Span], cap: int, gap: int) -> None:
    assert len(plan(wanted, cap, gap)) == _fewest(wanted, cap, gap)


@given(few, st.integers(4, 12))
def test_a_divided_group_is_narrower_and_loses_nothing(wanted: list[Span], cap: int) -> None:
    for group in plan(wanted, cap, 6):
        parts = divide(group, cap)
        assert sorted(span for part in parts for span in part) == sorted(group)
        assert all(extent(part)[1] <= cap for part in parts)
        if len({span.address for span in group}) > 1:
            assert len(parts) > 1
            assert all(extent(part) != extent(group) or len(part) < len(group) for part in parts)


def test_gaps_go_first() -> None:
    a, b, c = Span(0, 2, "a"), Span(2, 2, "b"), Span(10, 2, "c")
    assert divide((a, b, c), 125) == [(a, b), (c,)]
    assert divide((a, b), 125) == [(a,), (b,)]
    assert divide((a,), 125) == [(a,)]


def test_the_largest_requests_of_the_standard_are_used_whole() -> None:
    registers = [Span(address, 1, f"p{address}") for address in range(250)]
    assert [extent(group) for group in plan(registers, 125, 0)] == [(0, 125), (125, 125)]


def test_a_point_wider_than_a_request_is_refused() -> None:
    with pytest.raises(ValueError, match="energy takes 4 addresses, a request at most 2"):
        plan([Span(0, 4, "energy")], 2, 0)
