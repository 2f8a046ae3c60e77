"""Which points are read together: the fewest requests that hold all. Pure functions on the addresses of a table."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The addresses that one point takes."""

    address: int
    count: int
    point: str

    @property
    def end(self) -> int:
        """The address behind the last one."""
        return self.address + self.count


def plan(spans: Sequence[Span], cap: int, gap: int) -> list[tuple[Span, ...]]:
    """Groups, in address order, each read by one request; there is no way with fewer.

    No group is longer than `cap` addresses, none bridges more than `gap` addresses that nobody wants, and no span is
    divided. ValueError when a span alone is longer than `cap`.
    """
    groups: list[tuple[Span, ...]] = []
    group: list[Span] = []
    end = 0
    for span in sorted(spans):
        if span.count > cap:
            raise ValueError(f"{span.point} takes {span.count} addresses, a request at most {cap}")
        if group and (span.end > group[0].address + cap or span.address > end + gap):
            groups.append(tuple(group))
            group = []
        end = max(end, span.end) if group else span.end
        group.append(span)
    return [*groups, tuple(group)] if group else groups


def divide(group: Sequence[Span], cap: int) -> list[tuple[Span, ...]]:
    """Narrower groups for one that a device refused: without the gaps when it has some, else its two halves.

    A group of one span (or of spans at one address) comes back whole.
    """
    contiguous = plan(group, cap, 0)
    if len(contiguous) > 1:
        return contiguous
    addresses = sorted({span.address for span in group})
    middle = addresses[len(addresses) // 2]
    halves = [span for span in group if span.address < middle], [span for span in group if span.address >= middle]
    return [part for half in halves for part in plan(half, cap, 0)]


def extent(group: Sequence[Span]) -> tuple[int, int]:
    """First address and count of the request that reads `group`."""
    first = min(span.address for span in group)
    return first, max(span.end for span in group) - first
