"""Durations ("500ms") and sizes ("512MB") as people write them."""

import re
from collections.abc import Callable

from pydantic import ValidationInfo

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

DURATION_UNITS = {"ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
MAX_DIGITS = 15  # keeps every duration and size within 64 bits whatever its unit

DURATION_PATTERN = rf"^[0-9]{{1,{MAX_DIGITS}}}(ms|s|m|h|d)$"
SIZE_PATTERN = rf"^[0-9]{{1,{MAX_DIGITS}}}(B|kB|MB|GB|TB)$"
DURATION_HINT = 'a duration is a whole number and a unit (ms, s, m, h, d), for example "500ms", "10s" or "1h"'
SIZE_HINT = 'a size is a whole number and a unit (B, kB, MB, GB, TB), for example "512MB"'

_WORDS = {
    "ms": "ms", "msec": "ms", "millisecond": "ms", "s": "s", "sec": "s", "second": "s", "m": "m", "min": "m",
    "minute": "m", "h": "h", "hr": "h", "hour": "h", "d": "d", "day": "d",
    "b": "B", "byte": "B", "k": "kB", "kb": "kB", "mb": "MB", "g": "GB", "gb": "GB",
    "t": "TB", "tb": "TB",
}  # fmt: skip
_LOOSE = re.compile(rf"\s*([0-9]{{1,{MAX_DIGITS}}})\s*([A-Za-z]{{1,12}})\s*")


def parse_duration(text: str) -> int:
    """Milliseconds of a duration; raises `ValueError` with an example."""
    return _parse(text, DURATION_UNITS, DURATION_HINT)


def parse_size(text: str) -> int:
    """Bytes of a size, in powers of ten; raises `ValueError` with an example."""
    return _parse(text, SIZE_UNITS, SIZE_HINT)


def format_duration(ms: int) -> str:
    """The duration in the largest unit that holds it exactly; `parse_duration` gives it back."""
    return _format(ms, DURATION_UNITS)


def format_size(size: int) -> str:
    """The size in the largest unit that holds it exactly; `parse_size` gives it back."""
    return _format(size, SIZE_UNITS)


def duration_between(low: int, high: int) -> Callable[[object, ValidationInfo], int]:
    """A validator: a duration from `low` to `high` ms. Code may give ms as an integer; a file must name the unit."""
    return _between(low, high, parse_duration, format_duration, DURATION_HINT)


def size_between(low: int, high: int) -> Callable[[object, ValidationInfo], int]:
    """A validator: a size from `low` to `high` bytes. Code may give an integer; a file must name the unit."""
    return _between(low, high, parse_size, format_size, SIZE_HINT)


def _parse(text: str, units: dict[str, int], hint: str) -> int:
    match = re.fullmatch(rf"([0-9]{{1,{MAX_DIGITS}}})({'|'.join(units)})", text)
    if match is None:
        raise ValueError(_guess(text, units) + hint)
    return int(match[1]) * units[match[2]]


def _guess(text: str, units: dict[str, int]) -> str:
    match = _LOOSE.fullmatch(text[:64])
    if match is None:
        return ""
    word = match[2].lower()
    unit = _WORDS.get(word) or _WORDS.get(word.removesuffix("s"))
    return f'did you mean "{match[1]}{unit}"? ' if unit in units else ""


def _format(value: int, units: dict[str, int]) -> str:
    if value < 0:
        raise ValueError(f"must not be negative: {value}")
    unit = max((u for u in units if value % units[u] == 0), key=units.__getitem__) if value else "s"
    if unit not in units:
        unit = "B"
    return f"{value // units[unit]}{unit}"


def _between(
    low: int, high: int, parse: Callable[[str], int], format_: Callable[[int], str], hint: str
) -> Callable[[object, ValidationInfo], int]:
    def check(value: object, info: ValidationInfo) -> int:
        if isinstance(value, str):
            number = parse(value)
        elif isinstance(value, int) and not isinstance(value, bool) and info.context is None:
            number = value
        else:
            raise ValueError(hint)
        if not low <= number <= high:
            raise ValueError(f"must be from {format_(low)} to {format_(high)}")
        return number

    return check
