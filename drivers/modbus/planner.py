"""Which points are read together: the fewest requests that hold all. Pure functions on the addresses of a table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Range = tuple[int, int]
"""First address and count."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The addresses that one point takes; `point` is "" for what is read only to understand others."""

    address: int
    count: int
    point: str
    apart: "tuple[Span, ...]" = ()
    """What it comes to where the device refuses to give all of it in one answer."""

    @property
    def end(self) -> int:
        """The address behind the last one."""
        return self.address + self.count

    @property
    def range(self) -> Range:
        """Where it lies."""
        return self.address, self.count


Group = tuple[Span, ...]
"""What one request reads, in address order."""


def plan(spans: Iterable[Span], cap: int, gap: int, refused: Sequence[Range] = ()) -> list[Group]:
    """Groups, in address order, each read by one request; there is no way with fewer.

    No group is longer than `cap` addresses, none bridges more than `gap` addresses that nobody wants, none holds a
    range of `refused`, and no span is divided. Spans that hold a refused range themselves stand alone, at the end.
    ValueError when a span alone is longer than `cap`.
    """
    wanted = {part for span in spans for part in (span.apart if _hopeless(span, cap, refused) else (span,))}
    alone = sorted(span for span in wanted if holds(span.range, refused))
    groups: list[Group] = []
    group: list[Span] = []
    end = 0
    for span in sorted(wanted.difference(alone)):
        if span.count > cap:
            raise ValueError(f"{span.point} takes {span.count} addresses, a request at most {cap}")
        if group and not _joins(group[0].address, end, span, cap, gap, refused):
            groups.append(tuple(group))
            group = []
        end = max(end, span.end) if group else span.end
        group.append(span)
    groups += [tuple(group)] if group else []
    return groups + [tuple(s for s in alone if s.range == r) for r in sorted({s.range for s in alone})]


def divide(group: Group, refused: Sequence[Range] = ()) -> list[Group]:
    """Two narrower groups, or more where some of them would hold a range of `refused`, for a group that was refused.

    It is cut where the widest gap is in the middle third, so that each part has at most two thirds of the places. A
    group of one place comes back whole.
    """
    places = sorted({span.range for span in group})
    if len(places) == 1:
        parts = {part for span in group for part in span.apart}
        return plan(parts | {span for span in group if not span.apart}, extent(group)[1], 0) if parts else [group]
    cut = places[_cut(places)]
    halves = tuple(s for s in group if s.range < cut), tuple(s for s in group if s.range >= cut)
    return [part for half in halves for part in (divide(half, refused) if holds(extent(half), refused) else [half])]


def extent(group: Sequence[Span]) -> Range:
    """First address and count of the request that reads `group`."""
    first = min(span.address for span in group)
    return first, max(span.end for span in group) - first


def holds(outer: Range, ranges: Iterable[Range]) -> bool:
    """Whether one of `ranges` lies within `outer`."""
    return any(within(one, outer) for one in ranges)


def within(inner: Range, outer: Range) -> bool:
    """Whether every address of `inner` is one of `outer`."""
    return outer[0] <= inner[0] and inner[0] + inner[1] <= outer[0] + outer[1]


def rest(outer: Range, ranges: Iterable[Range]) -> Range | None:
    """From the first to the last address of `outer` that none of `ranges` holds; None where they hold all of it."""
    first, end = outer[0], outer[0] + outer[1]
    for one in sorted(ranges):
        if one[0] <= first:
            first = max(first, one[0] + one[1])
    for one in sorted(ranges, key=sum, reverse=True):
        if sum(one) >= end:
            end = min(end, one[0])
    return (first, end - first) if first < end else None


def _hopeless(span: Span, cap: int, refused: Sequence[Range]) -> bool:
    return bool(span.apart) and (span.count > cap or holds(span.range, refused))


def _joins(first: int, end: int, span: Span, cap: int, gap: int, refused: Sequence[Range]) -> bool:
    """Whether `span` may be read with what lies from `first` to `end`."""
    count = max(end, span.end) - first
    return count <= cap and span.address <= end + gap and not holds((first, count), refused)


def _cut(places: Sequence[Range]) -> int:
    """The first of the places of the second part: behind the widest gap, or nearest to the middle."""
    middle, third = len(places) // 2, -(-len(places) // 3)
    gaps = {}
    for cut in range(third, len(places) - third + 1):
        end = max(first + count for first, count in places[:cut])
        gaps[cut] = max(places[cut][0] - end, 0)
    return max(gaps, key=lambda cut: (gaps[cut], -abs(cut - middle)))
