"""Exchanged meters: what gateways say of them in `gateway/replacement`, and counters that go on over the exchange."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from collector import query
from collector.query import Row
from collector.tables.database import Database

DEVICE, POINT = "gateway", "replacement"
MAX_EVENTS = 1_000_000
"""A thousand of each of a thousand gateways, which is what a gateway keeps at most."""
NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
"""A reading, as gateways take them."""
AGGREGATES = frozenset(("min", "mean", "max", "last"))
"""Statistics of a window that are in the unit of the counter; `count` is not."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """One event; from `at_ms` (UTC) on, `final` - `start` is added to what the meter says."""

    gateway: str
    device: str
    point: str
    at_ms: int
    final: Decimal
    start: Decimal
    unit: str
    who: str
    why: str
    batch: int
    stream: str

    @property
    def offset(self) -> Decimal:
        """What is added."""
        return self.final - self.start


def read(database: Database, *, gateway: str | None = None, device: str | None = None) -> list[Replacement]:
    """The events that stand, the oldest first. A gateway's last word on an event counts, an odd one nothing."""
    standing: dict[tuple[str, str], Replacement | None] = {}
    rows = query.samples(database, gateway=gateway, device=DEVICE, point=POINT, limit=MAX_EVENTS)
    for row in rows:
        if (found := _event(row)) is not None:
            number, event = found
            standing[row["gateway"], number] = event
    events = [event for event in standing.values() if event is not None and device in (None, event.device)]
    return sorted(events, key=lambda event: (event.gateway, event.at_ms))


class Continuous:
    """Adds to rows of samples what their counters had before."""

    def __init__(self, events: Iterable[Replacement]) -> None:
        self._steps: dict[tuple[str, str, str], list[tuple[int, Decimal]]] = {}
        for event in sorted(events, key=lambda event: event.at_ms):
            steps = self._steps.setdefault((event.gateway, event.device, event.point), [])
            steps.append((event.at_ms, event.offset + (steps[-1][1] if steps else 0)))

    def rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Each row with `continuous`, the exact value as text plus all offsets before its time; None without one."""
        for row in rows:
            value = _number(row)
            yield row | {"continuous": None if value is None else f"{value + self._offset(row):f}"}

    def _offset(self, row: Row) -> Decimal:
        point, _, aggregate = row["point"].partition(".")
        steps = self._steps.get((row["gateway"], row["device"], point), [])
        if aggregate and aggregate not in AGGREGATES:
            return Decimal(0)
        passed = bisect_right(steps, row["utc_ms"], key=lambda step: step[0])
        return steps[passed - 1][1] if passed else Decimal(0)


def _number(row: Row) -> Decimal | None:
    exact, value = row["exact"], row["value"]
    if exact is None and value is None:
        return None
    try:
        found = Decimal(exact if exact is not None else repr(value).removesuffix(".0"))
    except InvalidOperation:  # nan with its bits
        return None
    return found if found.is_finite() else None


def _event(row: Row) -> tuple[str, Replacement | None] | None:
    """The id and the event of a sample, None for one that is withdrawn; nothing where it is not one of ours."""
    try:
        said: dict[str, Any] = json.loads(row["text"] or "")
        names = ("id", "device", "point", "unit", "who", "why", "final", "start")
        texts = [said[name] for name in names]
        ago, withdrawn = said["ago_ms"], said["withdrawn"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    sound = all(type(text) is str for text in texts) and type(ago) is int and type(withdrawn) is bool
    if not sound or ago < 0 or not (NUMBER.fullmatch(said["final"]) and NUMBER.fullmatch(said["start"])):
        return None
    if withdrawn:
        return said["id"], None
    return said["id"], Replacement(
        row["gateway"], said["device"], said["point"], row["utc_ms"] - ago, Decimal(said["final"]),
        Decimal(said["start"]), said["unit"], said["who"], said["why"], row["batch"], row["stream"],
    )  # fmt: skip
