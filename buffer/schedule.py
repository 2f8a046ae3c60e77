"""A signed schedule: what a gateway writes by itself, day after day, until the next one (docs/format.md)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Self

import cbor2

from buffer import cbor, cose, order
from buffer.command import MAX_COMMAND_BYTES, Wanted, read_point, read_value
from buffer.cose import Envelope, Kind
from buffer.errors import BatchFormatError
from buffer.keyring import RingKey
from buffer.keys import SigningKey

MAX_ENTRIES = 256  # four a lamp of a feeder pillar with 64 lamps
MAX_POINTS = 64  # of one entry
MAX_DATES = 64  # of one list: the holidays of three years
MAX_LIFE_MS = 7 * 86_400_000  # a gateway that was away longer gets one that is signed anew
MAX_SCHEDULE_BYTES = MAX_COMMAND_BYTES  # so that nobody need know the kind before the signature
MAX_OFFSET_MIN = 12 * 60
EVERY_DAY = "1234567"

_AT = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|(sunrise|sunset)(?:([+-])([01][0-9]):([0-5][0-9]))?")
_DAYS = re.compile(r"1?2?3?4?5?6?7?")
_DATE = re.compile(r"(?:([0-9]{4})-)?([0-9]{2})-([0-9]{2})")
LEAP_YEAR = 2000


@dataclass(frozen=True, slots=True)
class At:
    """A moment of the day: `minute` of local time, or that far from what the `sun` does."""

    minute: int
    sun: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """`22:30`, `sunset`, `sunrise-00:15`; raises `BatchFormatError`."""
        match = _AT.fullmatch(text)
        if match is None:
            cbor.fail("a time", '"22:30", "sunset" or "sunrise-00:15"', text)
        hours, minutes, sun, sign, far, further = match.groups()
        if not sun:
            return cls(60 * int(hours) + int(minutes))
        offset = 60 * int(far or 0) + int(further or 0)
        if offset > MAX_OFFSET_MIN:
            cbor.fail("a time", "at most 12:00 away from the sun", text)
        return cls(-offset if sign == "-" else offset, sun)


@dataclass(frozen=True, slots=True)
class Dates:
    """Days from `first` to `last`; `yearly`: the years in them mean nothing, and last may come before first."""

    first: date
    last: date
    yearly: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2026-12-25`, `12-25`, `2026-12-24/2027-01-02`, `11-01/03-31`; raises `BatchFormatError`."""
        first, slash, last = text.partition("/")
        begin, yearly = _day(first, text)
        end, same = _day(last, text) if slash else (begin, yearly)
        if yearly != same or (not yearly and end < begin):
            cbor.fail("dates", "from a day to a later one, both with a year or both without", text)
        return cls(begin, end, yearly)

    def holds(self, day: date) -> bool:
        """Whether `day` is one of them."""
        if not self.yearly:
            return self.first <= day <= self.last
        first, last, now = ((one.month, one.day) for one in (self.first, self.last, day))
        return first <= now <= last if first <= last else now >= first or now <= last


def _day(text: str, whole: str) -> tuple[date, bool]:
    try:
        year, month, day = _DATE.fullmatch(text).groups()  # type: ignore[union-attr]
        return date(int(year or LEAP_YEAR), int(month), int(day)), year is None
    except (AttributeError, ValueError):
        return cbor.fail("dates", '"2026-12-25", "12-25", or two of these with / between', whole)


@dataclass(frozen=True, slots=True)
class Entry:
    """`value` for `points` at a moment of certain days; where two moments are one, the later entry wins.

    `earliest` and `latest` (`HH:MM`, "" for none) bound a moment of the sun. `days`: ISO weekdays, 1 is Monday.
    """

    points: tuple[str, ...]
    at: str
    value: Wanted
    days: str = EVERY_DAY
    earliest: str = ""
    latest: str = ""
    only: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    when: At = field(init=False, compare=False)
    spans: tuple[tuple[Dates, ...], tuple[Dates, ...]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Raise `BatchFormatError` for a field out of range."""
        if not 1 <= len(self.points) <= MAX_POINTS or len(set(self.points)) != len(self.points):
            raise BatchFormatError(f"an entry is for 1 to {MAX_POINTS} points, none of them twice")
        object.__setattr__(self, "when", At.parse(self.at))
        if not self.days or not _DAYS.fullmatch(self.days):
            cbor.fail("days", "of 1 (Monday) to 7, rising", self.days)
        if (self.earliest or self.latest) and not self.when.sun:
            raise BatchFormatError("earliest and latest bound moments of the sun: a time of day has none")
        bounds = [self.bound(name) for name in ("earliest", "latest") if getattr(self, name)]
        if bounds != sorted(bounds):
            raise BatchFormatError(f"earliest {self.earliest} is after latest {self.latest}")
        lists = tuple(tuple(map(Dates.parse, texts)) for texts in (self.only, self.unless))
        object.__setattr__(self, "spans", lists)

    def bound(self, name: str) -> int:
        """The minute of the day that `earliest` or `latest` is."""
        at = At.parse(getattr(self, name))
        if at.sun:
            raise BatchFormatError(f"{name} is a time of day such as 21:00")
        return at.minute

    def runs_on(self, day: date) -> bool:
        """Whether it has its moment on `day`."""
        only, unless = self.spans
        if str(day.isoweekday()) not in self.days or any(dates.holds(day) for dates in unless):
            return False
        return not only or any(dates.holds(day) for dates in only)


@dataclass(frozen=True, slots=True)
class Schedule:
    """All entries of one gateway, for one life of its store; the next `edition` takes the place of the whole.

    `number` names it for ever, as a command's; it is taken until `expires_ms`, and stays in force without an end.
    """

    gateway: str
    stream: bytes
    number: int
    issued_ms: int
    expires_ms: int
    edition: int
    entries: tuple[Entry, ...]
    who: str
    why: str

    @property
    def dry_run(self) -> bool:
        """Never: what a schedule would do is shown before it is signed."""
        return False

    @property
    def points(self) -> tuple[str, ...]:
        """The points that it writes, each once."""
        return tuple(dict.fromkeys(point for entry in self.entries for point in entry.points))

    @property
    def values(self) -> Iterator[tuple[str, Wanted]]:
        """Every value that some point may get."""
        return ((point, entry.value) for entry in self.entries for point in entry.points)

    def sign(self, key: SigningKey) -> bytes:
        """The message; raises `BatchFormatError` when a field is out of range."""
        items = {
            **order.head(self),
            7: self.edition,
            8: [
                [list(e.points), e.at, e.value, e.days, e.earliest, e.latest, list(e.only), list(e.unless)]
                for e in self.entries
            ],
            9: self.who,
            10: self.why,
        }
        _decode(items)
        payload = cbor2.dumps(items)
        _check_size(payload)
        return cose.sign(payload, Kind.SCHEDULE, key)

    @classmethod
    def read(cls, envelope: Envelope, key: RingKey) -> Self:
        """Verify, then parse; raises `SignatureError` or `BatchFormatError`."""
        return cls.parse(cose.verify_envelope(envelope, Kind.SCHEDULE, key.public))

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """What a payload says; raises `BatchFormatError`."""
        _check_size(payload)
        return cls(*_decode(cbor.loads(payload, "the schedule")))


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_SCHEDULE_BYTES:
        raise BatchFormatError(f"a schedule of {len(payload)} bytes is over the limit of {MAX_SCHEDULE_BYTES}")


def _decode(item: object) -> tuple[str, bytes, int, int, int, int, tuple[Entry, ...], str, str]:
    found, head = order.read(item, "schedule", MAX_LIFE_MS)
    return (
        *head,
        cbor.integer(found[7], "edition", 1),
        tuple(_entry(part) for part in cbor.array(found[8], "entries", MAX_ENTRIES)),
        *order.who_and_why(found[9], found[10]),
    )


def _entry(item: object) -> Entry:
    points, at, value, days, earliest, latest, only, unless = cbor.array(item, "an entry", 8, 8)
    return Entry(
        tuple(read_point(point) for point in cbor.array(points, "points of an entry", MAX_POINTS)),
        cbor.text(at, "time of an entry", 16),
        read_value(value),
        cbor.text(days, "days of an entry", 7),
        cbor.text(earliest, "earliest", 16),
        cbor.text(latest, "latest", 16),
        _texts(only),
        _texts(unless),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(cbor.text(one, "dates", 21) for one in cbor.array(value, "dates of an entry", MAX_DATES))
