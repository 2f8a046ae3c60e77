"""Sunrise and sunset against tables that others have published."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from buffer.calendar import Calendar
from buffer.schedule import Entry
from buffer.sun import Place, sun_day

BIRMINGHAM = (33 + 31.8 / 60, -(86 + 48.6 / 60))
"""US Naval Observatory, Rise/Set/Transit Times, Birmingham, Alabama (W 86 48'36", N 33 31'48"), UTC-6, 2013."""
CANYON = (36.08695, -111.86464)
"""US Naval Observatory, API 4.0.1, complete sun and moon data for one day, 2025-05-15, UTC-7."""
SOUTH, NORTH = (-60.0, -150.0), (80.0, 0.0)
"""US Naval Observatory, Rise and Set for the Sun for 2019, W150 S60 and E000 N80, Universal Time."""
GOLDEN = (39.742476, -105.1786)
"""NREL/TP-560-34302, Solar Position Algorithm, example of appendix A.5: 2003-10-17, UTC-7."""

TABLE = [
    (BIRMINGHAM, -6, "2013-11-17", "06:21", "16:43"),
    (BIRMINGHAM, -6, "2013-11-19", "06:23", "16:42"),
    (BIRMINGHAM, -6, "2013-11-21", "06:25", "16:42"),
    (CANYON, -7, "2025-05-15", "05:21", "19:27"),
    (GOLDEN, -7, "2003-10-17", "06:13", None),
    (SOUTH, 0, "2019-01-01", "12:43", "07:24"),
    (SOUTH, 0, "2019-03-20", "16:00", "04:16"),
    (SOUTH, 0, "2019-06-21", "19:06", "00:58"),
    (SOUTH, 0, "2019-09-23", "15:45", "03:59"),
    (SOUTH, 0, "2019-12-21", "12:32", "07:24"),
    (NORTH, 0, "2019-03-01", "09:02", "15:25"),
    (NORTH, 0, "2019-03-20", "05:55", "18:25"),
    (NORTH, 0, "2019-09-20", "05:07", "18:35"),
    (NORTH, 0, "2019-10-10", "08:06", "15:25"),
]


@pytest.mark.parametrize(("place", "zone", "day", "rise", "set_"), TABLE)
def test_the_almanac(place: Place, zone: int, day: str, rise: str, set_: str | None) -> None:
    for side, time in (("rise", rise), ("set", set_)):
        if time is not None:
            wanted = datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC) - timedelta(hours=zone)
            assert abs(nearest(place, side, wanted) - wanted) <= timedelta(minutes=1), (side, time)


def nearest(place: Place, side: str, wanted: datetime) -> datetime:
    """The sunrise or sunset that is nearest to `wanted`."""
    days = [sun_day(place, wanted + timedelta(hours=hours)) for hours in (-24, 0, 24)]
    found: list[datetime] = [getattr(day, side) for day in days]
    return min(found, key=lambda at: abs(at - wanted))


@pytest.mark.parametrize(
    ("first", "last", "up"), [("2019-04-15", "2019-08-28", True), ("2019-10-23", "2020-02-19", False)]
)
def test_the_sun_is_up_or_down_for_months(first: str, last: str, up: bool) -> None:
    """N80 of the same table: **** from 14 April to 29 August, ---- from 22 October to 20 February."""
    day, end = date.fromisoformat(first), date.fromisoformat(last)
    while day <= end:
        found = sun_day(NORTH, datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
        assert (found.rise, found.set, found.up) == (None, None, up), day
        day += timedelta(days=1)


@pytest.mark.parametrize(
    ("latest", "earliest", "day", "on", "off"),
    [
        ("", "", "2019-12-21", ["12:00"], []),  # dark all day: on at noon again, and not off
        ("", "", "2019-06-21", [], ["00:00"]),  # light all day: off at midnight again, and not on
        ("16:00", "15:00", "2019-12-21", ["15:00"], ["16:00"]),
        ("16:00", "15:00", "2019-06-21", ["16:00"], ["15:00"]),
    ],
)
def test_lamps_where_the_sun_does_not_set_or_rise(
    latest: str, earliest: str, day: str, on: list[str], off: list[str]
) -> None:
    entries = [Entry(("a/b",), at, True, latest=latest, earliest=earliest) for at in ("sunset", "sunrise")]
    calendar = Calendar(entries, ZoneInfo("UTC"), lambda _: NORTH)
    found = calendar.on("a/b", date.fromisoformat(day))
    for entry, times in ((0, on), (1, off)):
        said = [datetime.fromtimestamp(one.utc_ms / 1000, UTC) for one in found if one.entry == entry]
        wanted = [datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC) for time in times]
        assert len(said) == len(wanted)
        assert all(abs(one - two) < timedelta(minutes=17) for one, two in zip(said, wanted, strict=True))
