"""The calendar of a schedule: each entry once a day, whatever the clocks of a country do."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buffer.calendar import Calendar, Switch, instant
from buffer.schedule import Entry

POINT = "lamp/level"
ZONES = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc"))
BERLIN, TORONTO = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Toronto")
TIMES = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
DAYS = st.dates(date(1990, 1, 1), date(2037, 12, 1))
SUNNY = st.builds("{}{}{:02}:{:02}".format, st.sampled_from(["sunrise", "sunset"]), st.sampled_from("+-"),
                  st.integers(0, 11), st.integers(0, 59))  # fmt: skip


def calendar(*entries: Entry, zone: ZoneInfo = BERLIN) -> Calendar:
    return Calendar(entries, zone, lambda _: (52.5, 13.4))


def entry(at: str, value: int = 1, **more: object) -> Entry:
    return Entry((POINT,), at, Decimal(value), **more)  # type: ignore[arg-type]


def local(ms: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, zone):%Y-%m-%d %H:%M}"


def between(found: Calendar, first: date, last: date) -> list[Switch]:
    """All switches, asked for as the agent does: one after the other."""
    at = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp() * 1000)
    end = at + (last - first).days * 86_400_000
    switches: list[Switch] = []
    while (after := found.following(at, 1)) and after[0].utc_ms < end:
        switches += after
        at = after[0].utc_ms
    return switches


@settings(deadline=None)
@given(st.sampled_from(ZONES), DAYS, TIMES)
def test_a_local_time_is_met_exactly_once_a_day(name: str, first: date, at: str) -> None:
    zone = ZoneInfo(name)
    days = [first + timedelta(days=n) for n in range(8)]
    found = [one for day in days for one in calendar(entry(at), zone=zone).on(POINT, day)]
    assert [one.day for one in found] == days
    moments = [one.utc_ms for one in found]
    assert sorted(moments) == moments
    for one in found:
        said = local(one.utc_ms, zone)
        earlier = local(one.utc_ms - 1000, zone)  # of a time that is left out, the clock goes from before to after it
        assert said == f"{one.day} {at}" or earlier < f"{one.day} {at}" <= said


@settings(deadline=None)
@given(st.sampled_from(ZONES), DAYS, st.lists(TIMES | SUNNY, min_size=1, max_size=4, unique=True))
def test_what_follows_is_what_comes_into_force(name: str, first: date, times: list[str]) -> None:
    found = calendar(*(entry(at, n) for n, at in enumerate(times)), zone=ZoneInfo(name))
    last: int | None = None
    for one in between(found, first, first + timedelta(days=3)):
        assert found.in_force(POINT, one.utc_ms - 1) != one
        now = found.in_force(POINT, one.utc_ms)
        assert now is not None
        assert now.utc_ms == one.utc_ms  # or another of the same moment
        assert last is None or last < one.utc_ms
        last = one.utc_ms


@settings(deadline=None)
@given(st.sampled_from(["Europe/Berlin", "America/Toronto", "Pacific/Auckland", "Asia/Kolkata"]), DAYS, SUNNY)
def test_the_sun_is_met_exactly_once_a_day(name: str, first: date, at: str) -> None:
    place = {"E": (52.5, 13.4), "A": (43.6, -79.6), "P": (-36.8, 174.8)}[name[0]]
    place = (22.6, 88.4) if name == "Asia/Kolkata" else place
    found = Calendar([entry(at)], ZoneInfo(name), lambda _: place)
    moments = [found.on(POINT, first + timedelta(days=n)) for n in range(8)]
    assert all(len(one) == 1 for one in moments)
    apart = [b[0].utc_ms - a[0].utc_ms for a, b in pairwise(moments)]
    assert all(abs(ms - 86_400_000) < 240_000 for ms in apart)  # the sun knows no summer time


@pytest.mark.parametrize(
    ("zone", "day", "at", "utc"),
    [  # directive 2000/84/EC: 01:00 UTC on the last Sundays of March and October
        (BERLIN, "2026-03-29", "01:59", "2026-03-29T00:59"),
        (BERLIN, "2026-03-29", "02:00", "2026-03-29T01:00"),  # there is none: when the clock goes on
        (BERLIN, "2026-03-29", "02:30", "2026-03-29T01:00"),
        (BERLIN, "2026-03-29", "03:00", "2026-03-29T01:00"),
        (BERLIN, "2026-10-25", "02:30", "2026-10-25T00:30"),  # there are two: the first
        (BERLIN, "2026-10-25", "03:00", "2026-10-25T02:00"),
        (TORONTO, "2026-03-08", "02:30", "2026-03-08T07:00"),  # Energy Policy Act of 2005, section 110
        (TORONTO, "2026-11-01", "01:30", "2026-11-01T05:30"),
        (ZoneInfo("Australia/Lord_Howe"), "2026-10-04", "02:15", "2026-10-03T15:30"),  # half an hour
        (ZoneInfo("Pacific/Apia"), "2011-12-30", "20:00", "2011-12-30T10:00"),  # a day that Samoa left out
    ],
)
def test_days_of_23_and_25_hours(zone: ZoneInfo, day: str, at: str, utc: str) -> None:
    minute = int(at[:2]) * 60 + int(at[3:])
    wanted = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert datetime.fromtimestamp(instant(date.fromisoformat(day), minute, zone) / 1000, UTC) == wanted


def test_the_order_stays_where_an_hour_is_left_out() -> None:
    found = calendar(entry("02:45", 3), entry("02:15", 2), entry("03:00", 4), entry("03:10", 5))
    at = instant(date(2026, 3, 29), 180, BERLIN)
    now = found.in_force(POINT, at)
    assert now is not None
    assert now.value == 4
    assert [one.value for one in found.following(at, 1)] == [5]


def runs(one: Entry, first: str, days: int) -> list[str]:
    begin = date.fromisoformat(first)
    return [str(day) for n in range(days) if one.runs_on(day := begin + timedelta(days=n))]


def test_days_and_dates() -> None:
    assert runs(entry("22:00", days="67"), "2026-11-23", 7) == ["2026-11-28", "2026-11-29"]  # a Monday
    leap = entry("22:00", only=("02-29",))
    assert (runs(leap, "2027-01-01", 365), runs(leap, "2028-01-01", 366)) == ([], ["2028-02-29"])
    winter = entry("22:00", only=("12-30/01-02",), unless=("2027-01-01",))
    assert runs(winter, "2026-12-28", 8) == ["2026-12-30", "2026-12-31", "2027-01-02"]
    once = entry("22:00", only=("2026-12-24/2026-12-26",), days="45")
    assert runs(once, "2026-12-20", 400) == ["2026-12-24", "2026-12-25"]


def test_what_is_in_force_may_have_begun_months_ago() -> None:
    found = calendar(entry("12:00", 7, only=("11-01",)), entry("12:00", 8, only=("03-31",)))
    for day, value in (("2026-11-01T10:59", 8), ("2026-11-01T11:01", 7), ("2027-03-30T11:00", 7)):
        now = found.in_force(POINT, int(datetime.fromisoformat(day + "+00:00").timestamp() * 1000))
        assert now is not None
        assert now.value == value
    assert [local(one.utc_ms, BERLIN) for one in found.following(0, 2)] == ["1970-03-31 12:00", "1970-11-01 12:00"]


def test_bounds_of_the_sun() -> None:
    found = calendar(entry("sunset", earliest="17:00", latest="21:00"))
    for day, at in (("2026-12-21", "17:00"), ("2026-06-21", "21:00")):
        (one,) = found.on(POINT, date.fromisoformat(day))
        assert local(one.utc_ms, BERLIN) == f"{day} {at}"
    (one,) = found.on(POINT, date(2026, 3, 20))
    assert "2026-03-20 18:10" < local(one.utc_ms, BERLIN) < "2026-03-20 18:25"


def test_a_point_without_a_place_has_no_sun() -> None:
    found = Calendar([entry("sunset"), entry("22:00")], BERLIN, lambda _: None)
    assert found.unplaced() == [POINT]
    assert len(found.on(POINT, date(2026, 6, 1))) == 1
