"""When the sun rises and sets: by the NOAA's method, with declination and equation of time of astral.

astral is loaded here alone, and only for schedules that name the sun.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import acos, cos, degrees, radians, sin

from astral.julian import julianday, julianday_to_juliancentury
from astral.sun import eq_of_time, sun_declination

ZENITH = 90.8333
"""The upper limb at the horizon: 34' of refraction, 16' of half a disk (USNO, Rise, Set, and Twilight Definitions)."""
MAX_LATITUDE = 89.8
"""Nearer to a pole there is no meridian to speak of."""
DAY_MIN = 1440.0

Place = tuple[float, float]
"""Latitude and longitude in degrees, north and east positive."""


@dataclass(frozen=True, slots=True)
class SunDay:
    """The day around one solar noon, in UTC; without sunrise and sunset the sun is up all day or, else, not at all."""

    noon: datetime
    rise: datetime | None
    set: datetime | None
    up: bool


def sun_day(place: Place, noon: datetime) -> SunDay:
    """The day whose solar noon is the nearest to `noon` (UTC)."""
    latitude, longitude = place
    day = (noon + timedelta(minutes=4 * longitude)).date()  # the date of mean solar time there
    transit = _minutes(day, longitude, 0.0, lambda _: 0.0)
    highest = 90.0 - abs(latitude - sun_declination(_century(day, transit)))
    return SunDay(
        _utc(day, transit), _event(day, place, -1), _event(day, place, +1), up=highest > 90.0 - ZENITH
    )  # fmt: skip


def _event(day: date, place: Place, side: int) -> datetime | None:
    """Rising (-1) or setting (+1); None when the sun does not cross the horizon."""
    latitude = radians(max(-MAX_LATITUDE, min(MAX_LATITUDE, place[0])))

    def angle(declination: float) -> float:
        across = (cos(radians(ZENITH)) - sin(latitude) * sin(declination)) / (cos(latitude) * cos(declination))
        return side * degrees(acos(across))

    try:
        return _utc(day, _minutes(day, place[1], side * DAY_MIN / 4, lambda century: angle(_declination(century))))
    except ValueError:  # outside of what an arc cosine knows
        return None


def _minutes(day: date, longitude: float, guess: float, angle: Callable[[float], float]) -> float:
    """Minutes of UTC since `day` began at which the sun stands so many degrees past the meridian."""
    minutes = DAY_MIN / 2 - 4 * longitude + guess
    for _ in range(3):  # the second pass moves it by seconds, the third by less than one
        century = _century(day, minutes)
        minutes = DAY_MIN / 2 - 4 * longitude - eq_of_time(century) + 4 * angle(century)
    return minutes


def _declination(century: float) -> float:
    return radians(sun_declination(century))


def _century(day: date, minutes: float) -> float:
    return julianday_to_juliancentury(julianday(day) + minutes / DAY_MIN)


def _utc(day: date, minutes: float) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minutes)
