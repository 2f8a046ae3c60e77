"""Samples summed up over windows: minimum, mean, maximum and count, and again over longer windows."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from ext import BAD, GOOD, Value, quality_class

WINDOWS_MS = (60_000, 600_000, 3_600_000)  # what is thinned is thinned to the next of these

Sample = tuple[int, int, Value, int]
"""Series number, boot ms, value, quality."""


class Role(NamedTuple):
    """What a series is: which point it is of, and by which statistic; None when it is as sampled."""

    point: int
    statistic: str | None


class Coarse(NamedTuple):
    """One statistic of a window; `boot_ms` is the time of the window's first sample."""

    point: int
    statistic: str
    boot_ms: int
    value: Value
    quality: int


class _Window:
    """What is known of one point in one window.

    `count` is of samples with a value; one that is bad has none. A bool counts as 0 or 1, so that its mean is the share
    that was true. The quality is good, or the first other one of what was counted; of a window that counted nothing
    it is the last one.
    """

    __slots__ = ("at", "count", "high", "low", "numbers", "other", "seen", "text", "total")

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = self.numbers = 0
        self.total = 0.0
        self.low: int | float | Decimal | None = None
        self.high: int | float | Decimal | None = None
        self.text: str | bytes | None = None
        self.other = self.seen = GOOD

    def sampled(self, value: Value, quality: int) -> None:
        """A sample as it was committed."""
        self.seen = quality
        if value is None or quality_class(quality) == BAD:
            return
        self.count += 1
        if isinstance(value, str | bytes):
            self.text = value
        else:
            number = int(value) if isinstance(value, bool) else value
            self.lower(number)
            self.higher(number)
            self.weigh(number, 1)
        self.other = self.other or quality

    def summed(self, statistic: str, value: Value, quality: int, weight: int) -> None:
        """A statistic of a shorter window that counted `weight`."""
        self.seen = quality if not weight else self.seen
        if statistic == "count":
            self.count += weight
        elif isinstance(value, str | bytes):
            self.text = value
        elif value is not None:
            number = int(value) if isinstance(value, bool) else value
            {"min": self.lower, "max": self.higher}.get(statistic, lambda _: self.weigh(number, weight))(number)
        self.other = self.other or (quality if weight else GOOD)

    def lower(self, value: float | Decimal) -> None:
        self.low = value if self.low is None or value < self.low else self.low

    def higher(self, value: float | Decimal) -> None:
        self.high = value if self.high is None or value > self.high else self.high

    def weigh(self, value: float | Decimal, weight: int) -> None:
        self.total += _double(value) * weight
        self.numbers += weight

    def statistics(self, point: int) -> Iterator[Coarse]:
        quality = self.other if self.count else self.seen
        yield Coarse(point, "count", self.at, self.count, quality)
        if self.low is not None:
            yield Coarse(point, "min", self.at, self.low, quality)
        if self.numbers:
            yield Coarse(point, "mean", self.at, self.total / self.numbers, quality)
        if self.high is not None:
            yield Coarse(point, "max", self.at, self.high, quality)
        if self.text is not None:
            yield Coarse(point, "last", self.at, self.text, quality)


def thin(samples: Iterable[Sample], roles: Mapping[int, Role], window_ms: int) -> list[Coarse]:
    """The statistics of every window of every point, by time. Windows lie on the grid of the boot clock.

    Statistics of shorter windows become those of longer ones exactly; means are weighted by what their window counted.
    """
    samples = list(samples)
    counts = _counts(samples, roles)
    windows: dict[tuple[int, int], _Window] = {}
    for number, boot_ms, value, quality in samples:
        point, statistic = roles[number]
        key = point, boot_ms // window_ms
        window = windows.get(key)
        if window is None:
            window = windows[key] = _Window(boot_ms)
        elif boot_ms < window.at:
            window.at = boot_ms
        if statistic is None:
            window.sampled(value, quality)
        else:
            window.summed(statistic, value, quality, counts.get((point, boot_ms), 1))
    order = sorted(windows.items(), key=lambda item: (item[0][1], item[1].at))
    return [coarse for (point, _), window in order for coarse in window.statistics(point)]


def _counts(samples: Iterable[Sample], roles: Mapping[int, Role]) -> dict[tuple[int, int], int]:
    """What each shorter window counted, by point and time."""
    counting = {number: role.point for number, role in roles.items() if role.statistic == "count"}
    return {
        (counting[number], boot_ms): value
        for number, boot_ms, value, _ in samples
        if number in counting and isinstance(value, int)
    }


def _double(value: float | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return float("inf") if value > 0 else float("-inf")
