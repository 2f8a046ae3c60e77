"""Durations and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("500ms", 500),
        ("10s", 10_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("0s", 0),
        ("007s", 7000),
    ],
)
def test_durations_of_the_contract(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(("text", "size"), [("512MB", 512_000_000), ("1GB", 10**9), ("64kB", 64_000), ("17B", 17)])
def test_sizes_are_powers_of_ten(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.integers(0, 10**14))
def test_a_formatted_duration_is_read_back(ms: int) -> None:
    assert parse_duration(format_duration(ms)) == ms


@given(st.integers(0, 10**14))
def test_a_formatted_size_is_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 10**9), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_format_never_grows(count: int, unit: str) -> None:
    ms = parse_duration(f"{count}{unit}")
    assert len(format_duration(ms)) <= len(f"{count}{unit}")


@given(st.text())
def test_any_text_is_read_or_refused_with_an_example(text: str) -> None:
    for parse, example in ((parse_duration, '"500ms"'), (parse_size, '"512MB"')):
        try:
            assert parse(text) >= 0
        except ValueError as error:
            assert example in str(error)  # noqa: PT017 both outcomes are right


@pytest.mark.parametrize(
    ("text", "guess"),
    [("10 s", "10s"), ("10sec", "10s"), ("5 minutes", "5m"), ("2 Hours", "2h"), ("1 day", "1d"), ("100 msec", "100ms")],
)
def test_a_near_miss_is_corrected(text: str, guess: str) -> None:
    with pytest.raises(ValueError, match=f'did you mean "{guess}"'):
        parse_duration(text)


@pytest.mark.parametrize("text", ["٣s", "1_0s", "+1s", " 1s", "1s\n", "1S", "1.0s", "1e3s", "s", "1"])
def test_look_alikes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="for example"):
        parse_duration(text)


def test_negative_is_not_formatted() -> None:
    with pytest.raises(ValueError, match="negative"):
        format_duration(-1)
