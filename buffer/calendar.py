"""The calendar of a schedule: which switch is in force, and which come next. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from buffer.command import Wanted
from buffer.schedule import At, Entry

if TYPE_CHECKING:
    from buffer.sun import Place, SunDay

LOOK_DAYS = 366
"""What was switched longer ago, or will be later, counts as never."""
REACH_DAYS = 2
"""A moment of the sun, 12 hours off, may lie so many days beside its own."""
DAYS_KEPT = 512
"""Days of the sun that are remembered: two dozen places for the days around now."""


@dataclass(frozen=True, slots=True)
class Switch:
    """`point` gets `value` at `utc_ms`, which is the moment of `entry` (its place in the schedule) on `day`."""

    utc_ms: int
    point: str
    value: Wanted
    entry: int
    day: date
    minute: int

    @property
    def order(self) -> tuple[int, date, int, int]:
        """Of switches of one point the last by this wins."""
        return self.utc_ms, self.day, self.minute, self.entry


class Calendar:
    """The entries of a schedule in the gateway's time zone, at the places of its points."""

    def __init__(
        self, entries: Sequence[Entry], zone: ZoneInfo, place: "Callable[[str], Place | None]",
        usable: Callable[[str, Entry], bool] = lambda _point, _entry: True,
    ) -> None:  # fmt: skip
        """`usable` says of a point's entry whether it counts."""
        self._zone = zone
        self._place = place
        self._entries: dict[str, list[tuple[int, Entry]]] = {}
        for index, entry in enumerate(entries):
            for point in entry.points:
                if usable(point, entry):
                    self._entries.setdefault(point, []).append((index, entry))

    @property
    def points(self) -> tuple[str, ...]:
        """The points that it switches."""
        return tuple(self._entries)

    def unplaced(self) -> list[str]:
        """The points that ask for the sun and lie nowhere."""
        return [
            point
            for point, entries in self._entries.items()
            if any(entry.when.sun for _, entry in entries) and self._place(point) is None
        ]

    def on(self, point: str, day: date) -> list[Switch]:
        """The switches that belong to one local day of a point, in no order."""
        found = ((index, entry, self._moment(point, entry, day)) for index, entry in self._entries[point])
        return [
            Switch(at, point, entry.value, index, day, 0 if entry.when.sun else entry.when.minute)
            for index, entry, at in found
            if at is not None
        ]

    def in_force(self, point: str, utc_ms: int) -> Switch | None:
        """The last switch of a point up to `utc_ms`."""
        found: Switch | None = None
        for day in self._days(utc_ms, -1):
            past = [one for one in self.on(point, day) if one.utc_ms <= utc_ms]
            found = max([*past, *([found] if found else [])], key=lambda one: one.order, default=None)
            if found is not None and found.day - day > timedelta(days=2 * REACH_DAYS):
                break
        return found

    def following(self, utc_ms: int, count: int, points: Sequence[str] | None = None) -> list[Switch]:
        """The next switches after `utc_ms`, the first first."""
        found: list[Switch] = []
        for day in self._days(utc_ms, +1):
            for point in self._entries if points is None else points:
                found += [one for one in self.on(point, day) if one.utc_ms > utc_ms]
            found = sorted(found, key=lambda one: (one.order, one.point))
            if len(found) >= count and found[count - 1].day < day - timedelta(days=2 * REACH_DAYS):
                break
        return found[:count]

    def between(self, from_ms: int, to_ms: int) -> list[Switch]:
        """All switches from `from_ms` on and before `to_ms`, the first first."""
        first, last = (datetime.fromtimestamp(ms / 1000, self._zone).date() for ms in (from_ms, to_ms))
        days = (first + timedelta(days=n) for n in range(-REACH_DAYS, (last - first).days + REACH_DAYS + 1))
        found = (one for day in days for point in self._entries for one in self.on(point, day))
        return sorted((one for one in found if from_ms <= one.utc_ms < to_ms), key=lambda one: (one.order, one.point))

    def _days(self, utc_ms: int, step: int) -> Iterator[date]:
        """Local days from the other side of `utc_ms` on, as far as one looks."""
        today = datetime.fromtimestamp(utc_ms / 1000, self._zone).date()
        return (today + timedelta(days=step * far) for far in range(-REACH_DAYS, LOOK_DAYS + 1))

    def _moment(self, point: str, entry: Entry, day: date) -> int | None:
        if not entry.runs_on(day):
            return None
        if not entry.when.sun:
            return instant(day, entry.when.minute, self._zone)
        place = self._place(point)
        return None if place is None else self._of_sun(entry, day, place)

    def _of_sun(self, entry: Entry, day: date, place: "Place") -> int | None:
        """Within its bounds; a bound stands in for what the sun does not do that day."""
        at = _sun(entry.when, place, instant(day, 12 * 60, self._zone))
        if entry.latest:
            latest = instant(day, entry.bound("latest"), self._zone)
            at = latest if at is None else min(at, latest)
        if entry.earliest and at is not None:
            at = max(at, instant(day, entry.bound("earliest"), self._zone))
        return at


def _sun(when: At, place: "Place", noon_ms: int) -> int | None:
    """A day without night has its sunrise at solar midnight and no sunset, one without sun its sunset at noon."""
    day = _sun_day(place, noon_ms)
    if when.sun == "sunrise":
        at = day.rise or (day.noon - timedelta(hours=12) if day.up else None)
    else:
        at = day.set or (None if day.up else day.noon)
    return None if at is None else _ms(at + timedelta(minutes=when.minute))


@lru_cache(DAYS_KEPT)
def _sun_day(place: "Place", noon_ms: int) -> "SunDay":
    from buffer.sun import sun_day  # loads astral

    return sun_day(place, datetime.fromtimestamp(noon_ms / 1000, UTC))


def instant(day: date, minute: int, zone: ZoneInfo) -> int:
    """UTC ms of a local time: of one that comes twice the first, of one that is left out the moment it would begin."""
    naive = datetime(day.year, day.month, day.day, minute // 60, minute % 60)  # noqa: DTZ001 - the zone comes below
    first, second = (_ms(naive.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if second >= first:  # there once, or twice
        return first
    low, high, before = second, first, _offset(second, zone)  # PEP 495: left out, it lies between
    while high - low > 1000:  # zones change at whole seconds
        middle = (low + high) // 2000 * 1000
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return high


def _offset(utc_ms: int, zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(utc_ms / 1000, zone).utcoffset()


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
