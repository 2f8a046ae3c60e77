"""A set of whole numbers that mostly follow each other: half a million of them take no more room than one gap."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Runs:
    """Numbers in runs from first to last, both included; adding, discarding and asking take O(log runs), mostly."""

    __slots__ = ("_firsts", "_lasts", "_size")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __iter__(self) -> Iterator[int]:
        for first, last in self.runs():
            yield from range(first, last + 1)

    def runs(self) -> list[tuple[int, int]]:
        """(first, last) of each run, ascending."""
        return list(zip(self._firsts, self._lasts, strict=True))

    @property
    def lowest(self) -> int | None:
        """The lowest number; None of an empty set."""
        return self._firsts[0] if self._firsts else None

    @property
    def highest(self) -> int | None:
        """The highest number; None of an empty set."""
        return self._lasts[-1] if self._lasts else None

    def add(self, first: int, last: int | None = None) -> None:
        """Put the numbers from `first` to `last` in; `last` is `first` where it is not given."""
        last = first if last is None else last
        begin = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first, last = min(first, self._firsts[begin]), max(last, self._lasts[end - 1])
        self._replace(begin, end, [first], [last])

    def discard(self, number: int) -> None:
        """Take a number out; nothing happens when it is not in."""
        at = bisect_right(self._firsts, number) - 1
        if at < 0 or number > self._lasts[at]:
            return
        first, last = self._firsts[at], self._lasts[at]
        left, right = number > first, number < last
        firsts = [first] * left + [number + 1] * right
        lasts = [number - 1] * left + [last] * right
        self._replace(at, at + 1, firsts, lasts)

    def clear(self) -> None:
        """Take all numbers out."""
        self._firsts, self._lasts, self._size = [], [], 0

    def take_all(self, other: "Runs") -> None:
        """Put all numbers of another set in, which is empty then."""
        for first, last in other.runs():
            self.add(first, last)
        other.clear()

    def _replace(self, begin: int, end: int, firsts: list[int], lasts: list[int]) -> None:
        gone = sum(self._lasts[begin:end]) - sum(self._firsts[begin:end]) + end - begin
        self._size += sum(lasts) - sum(firsts) + len(firsts) - gone
        self._firsts[begin:end] = firsts
        self._lasts[begin:end] = lasts
