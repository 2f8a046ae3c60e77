"""What broken links say of the size of messages."""

import pytest

from gateway.uplink.sizes import BELIEF_MS, SPLIT_LEAST, SUSPECT_AFTER, Sizes

LARGE = 40_000


def breaks(sizes: Sizes, handed: dict[int, int], now: int = 0) -> tuple[int, int, int] | None:
    """A link on which `handed` was under way breaks."""
    for number, size in handed.items():
        sizes.handed(number, size)
    return sizes.broke(now)


def arrives(sizes: Sizes, number: int, size: int) -> None:
    sizes.handed(number, size)
    sizes.confirmed(number)


def test_the_largest_of_three_broken_links_is_too_large_whatever_small_ones_arrive() -> None:
    sizes = Sizes()
    for turn in range(1, SUSPECT_AFTER):
        arrives(sizes, 100 + turn, 300)
        assert breaks(sizes, {7: LARGE, 8: 900, 200 + turn: 300}) is None
        assert breaks(sizes, {300 + turn: 200}) is None  # a link that broke before the large one was under way
    assert breaks(sizes, {7: LARGE, 8: 900}) == (7, LARGE, LARGE // 2)


def test_two_that_take_turns_are_both_found() -> None:
    sizes = Sizes()
    found = [breaks(sizes, {number: LARGE + number}) for _ in range(SUSPECT_AFTER) for number in (7, 8)]
    assert [one[0] for one in found if one] == [7, 8]


def test_one_that_arrives_clears_all_that_are_no_larger() -> None:
    sizes = Sizes()
    for _ in range(SUSPECT_AFTER - 1):
        breaks(sizes, {7: LARGE})
        breaks(sizes, {8: LARGE + 1})
    arrives(sizes, 9, LARGE)
    assert breaks(sizes, {7: LARGE}) is None
    assert breaks(sizes, {8: LARGE + 1}) is not None


def test_what_was_learned_holds_for_others_for_an_hour_or_until_a_larger_one_arrives() -> None:
    sizes = Sizes()
    for _ in range(SUSPECT_AFTER):
        breaks(sizes, {7: LARGE}, now=5)
    assert sizes.too_large(8, LARGE // 2 + 1, 6) == LARGE // 2
    assert sizes.too_large(8, LARGE // 2, 6) is None
    breaks(sizes, {8: LARGE})
    assert sizes.too_large(8, LARGE, 6) is None, "it could not be split"
    assert sizes.too_large(9, LARGE, 5 + BELIEF_MS - 1) == LARGE // 2
    assert sizes.too_large(9, LARGE, 5 + BELIEF_MS) is None
    for _ in range(SUSPECT_AFTER):
        breaks(sizes, {10: LARGE}, now=5)
    arrives(sizes, 11, LARGE // 2 + 1)
    assert sizes.too_large(9, LARGE, 6) is None


@pytest.mark.parametrize("size", [1, SPLIT_LEAST])
def test_what_every_broker_takes_is_never_the_cause(size: int) -> None:
    sizes = Sizes()
    assert all(breaks(sizes, {7: size}) is None for _ in range(10))
    assert breaks(sizes, {}) is None
