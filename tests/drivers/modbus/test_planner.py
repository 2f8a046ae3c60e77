"""The planner: it covers what is wanted with the fewest requests, within cap and gap, and divides no point."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.planner import Range, Span, divide, extent, holds, plan, rest

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


def _fewest(wanted: list[Span], cap: int, gap: int, refused: list[Range]) -> int:
    """By trying all partitions: the smallest number of groups that keep cap and gap and hold nothing refused."""
    if not wanted:
        return 0
    first, *rest = wanted
    best = len(wanted)
    for size in range(len(rest) + 1):
        for chosen in combinations(rest, size):
            group = (first, *chosen)
            same = len({span.range for span in group}) == 1
            allowed = same or not holds(extent(group), refused)
            if extent(group)[1] <= cap and _longest_gap(group) <= gap and allowed:
                others = [span for span in rest if span not in chosen]
                best = min(best, 1 + _fewest(others, cap, gap, refused))
    return best


refusals = st.lists(st.tuples(st.integers(0, 24), st.integers(1, 6)), max_size=3)


@given(few, st.integers(4, 12), st.integers(0, 6), refusals)
def test_no_way_has_fewer_requests(wanted: list[Span], cap: int, gap: int, refused: list[Range]) -> None:
    groups = plan(wanted, cap, gap, refused)
    assert sorted(span for group in groups for span in group) == sorted(wanted)
    assert len(groups) == _fewest(wanted, cap, gap, refused)
    for group in groups:
        assert not holds(extent(group), refused) or len({span.range for span in group}) == 1


@given(few, st.integers(4, 12), refusals)
def test_a_divided_group_is_narrower_and_loses_nothing(wanted: list[Span], cap: int, refused: list[Range]) -> None:
    for group in plan(wanted, cap, 6):
        parts = divide(group, refused)
        assert sorted(span for part in parts for span in part) == sorted(group)
        places = len({span.range for span in group})
        assert (len(parts) == 1) == (places == 1)
        for part in parts:
            assert 3 * len({span.range for span in part}) <= max(2 * places, 3)
            assert not holds(extent(part), refused) or len({span.range for span in part}) == 1


def test_the_widest_gap_goes_first_where_it_is_in_the_middle() -> None:
    a, b, c = Span(0, 2, "a"), Span(2, 2, "b"), Span(10, 2, "c")
    assert divide((a, b, c)) == [(a, b), (c,)]
    assert divide((a, b)) == [(a,), (b,)]
    assert divide((a,)) == [(a,)]
    assert divide((a, b, c), [(0, 4)]) == [(a,), (b,), (c,)]


def test_what_belongs_together_is_read_apart_only_where_it_must_be() -> None:
    value, scale = Span(0, 2, "a"), Span(40, 1, "")
    both = Span(0, 41, "a", (value, scale))
    assert plan([both], 125, 0) == [(both,)]
    assert plan([both], 40, 0) == [(value,), (scale,)]
    assert plan([both], 125, 32, [(10, 1)]) == [(value,), (scale,)]
    assert divide((both,)) == [(value,), (scale,)]


@given(st.tuples(st.integers(0, 20), st.integers(1, 9)), st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9))))
def test_the_rest_is_from_the_first_to_the_last_address_that_is_left(outer: Range, ranges: list[Range]) -> None:
    held = {address for first, count in ranges for address in range(first, first + count)}
    left = [address for address in range(outer[0], sum(outer)) if address not in held]
    assert rest(outer, ranges) == ((left[0], left[-1] - left[0] + 1) if left else None)


def test_the_largest_requests_of_the_standard_are_used_whole() -> None:
    registers = [Span(address, 1, f"p{address}") for address in range(250)]
    assert [extent(group) for group in plan(registers, 125, 0)] == [(0, 125), (125, 125)]


def test_a_point_wider_than_a_request_is_refused() -> None:
    with pytest.raises(ValueError, match="energy takes 4 addresses, a request at most 2"):
        plan([Span(0, 4, "energy")], 2, 0)
