"""Qualities in words."""

import pytest

from ext import (
    BAD,
    CLOCK,
    COUNTER_JUMP,
    COUNTER_RESET,
    GOOD,
    LIMITS,
    NO_ANSWER,
    SENSOR_FAULT,
    STALE,
    UNCERTAIN,
    describe,
    quality_class,
)


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        (GOOD, "good"),
        (UNCERTAIN, "uncertain"),
        (BAD, "bad"),
        (LIMITS, "uncertain (limits)"),
        (CLOCK, "uncertain (clock not set)"),
        (COUNTER_RESET, "uncertain (counter fell)"),
        (COUNTER_JUMP, "uncertain (counter jumped)"),
        (NO_ANSWER, "bad (no answer)"),
        (BAD | 63 << 2, "bad (reason 63)"),
        (4, "good (reason 1)"),
    ],
)
def test_describe(quality: int, words: str) -> None:
    assert describe(quality) == words


@pytest.mark.parametrize("quality", [3, 7, 255, 256, -1])
def test_no_quality(quality: int) -> None:
    with pytest.raises(ValueError, match="is no quality"):
        describe(quality)


def test_classes() -> None:
    assert [quality_class(q) for q in (GOOD, STALE, SENSOR_FAULT)] == [GOOD, UNCERTAIN, BAD]
