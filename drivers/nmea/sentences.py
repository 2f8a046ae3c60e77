"""What the fields of sentences say. Sans-IO; every value is exact or absent, never guessed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

from drivers.nmea.framing import Sentence
from drivers.numbers import MAX_DIGITS, number
from ext import BAD_ANSWER, GOOD, SENSOR_FAULT, UNCERTAIN, Value

# Minutes of arc divided by 60 have no finite decimal in general: degrees are rounded half to even to this many digits.
# 1e-9 degree is 0.1 mm on the ground, ten times finer than what the finest receivers send (1e-7 minute is 0.2 mm).
DEGREE_DIGITS = 9

Reading = tuple[Value, int]

_FAULT: Reading = (None, SENSOR_FAULT)
_WRONG: Reading = (None, BAD_ANSWER)

_ARC = re.compile(r"([0-9]{1,3})([0-9]{2}(?:\.[0-9]*)?)")
_CONTEXT = Context(prec=60)
_DEGREE = Decimal(1).scaleb(-DEGREE_DIGITS)

# GGA field 6 and RMC field 12 (IEC 61162-1, 8.3): estimated, manual and simulated positions are not measured. A GGA
# quality of 9 is NovAtel's for a fix with satellite-based corrections.
_FIX_QUALITIES = {"0": SENSOR_FAULT} | dict.fromkeys("12345", GOOD) | dict.fromkeys("678", UNCERTAIN) | {"9": GOOD}
_MODES = {"N": SENSOR_FAULT} | dict.fromkeys("ADFPR", GOOD) | dict.fromkeys("EMS", UNCERTAIN)

# MWV field 4 (IEC 61162-1, 8.3): the letter of each unit that a point may have. Nothing is converted.
SPEED_UNITS = {"m/s": "M", "km/h": "K", "kn": "N", "[kn_i]": "N", "[mi_i]/h": "S"}


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field stands (from 1), how it is read, and the letter that must stand in `letter_at`."""

    at: int
    read: Callable[[str, str], Value]
    letter_at: int = 0
    letters: str = ""
    valid: Callable[[Sentence], int] = lambda _: GOOD


def exact(text: str, _: str = "") -> Decimal:
    """The number as written; raises `ValueError`."""
    return number(text)


def count(text: str, _: str = "") -> int:
    """A whole number without a sign."""
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS:
        raise ValueError("no whole number")
    return int(text)


def angle(text: str, _: str = "") -> Decimal:
    """Degrees from 0 to 360; some sensors send 999.9 for a fault."""
    value = number(text)
    if not 0 <= value <= 360:
        raise ValueError("no angle")
    return value


def magnitude(text: str, _: str = "") -> Decimal:
    """A number that cannot be negative."""
    value = number(text)
    if value < 0:
        raise ValueError("negative")
    return value


def variation(text: str, side: str) -> Decimal:
    """Magnetic variation in degrees, east positive; 0 to 180 with its side."""
    value = number(text)
    if not 0 <= value <= 180 or side not in ("E", "W"):
        raise ValueError("no variation")
    return -value if side == "W" else value


def latitude(text: str, side: str) -> Decimal:
    """`ddmm.mmmm` in degrees, north positive, rounded to `DEGREE_DIGITS`."""
    return _degrees(text, side, "NS", 90)


def longitude(text: str, side: str) -> Decimal:
    """`dddmm.mmmm` in degrees, east positive, rounded to `DEGREE_DIGITS`."""
    return _degrees(text, side, "EW", 180)


def letter(text: str, _: str = "") -> str:
    """One capital letter."""
    if len(text) != 1 or not "A" <= text <= "Z":
        raise ValueError("no letter")
    return text


_CLOCK = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9])([0-5][0-9]|60)(\.[0-9]{0,9})?")
_DATE = re.compile(r"([0-3][0-9]),?([01][0-9]),?((?:[0-9]{2})?[0-9]{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(time: str, date: str) -> Decimal:
    """Seconds of UTC since 1970 by `hhmmss.ss` and `ddmmyy` (1980 to 2079) or `dd,mm,yyyy`."""
    clock, day = _CLOCK.fullmatch(time), _DATE.fullmatch(date)
    if clock is None or day is None:
        raise ValueError("no time")
    year = int(day[3])
    if len(day[3]) == 2:
        year += 1900 if year >= 80 else 2000
    midnight = datetime(year, int(day[2]), int(day[1]), tzinfo=UTC)
    whole = midnight - _EPOCH + timedelta(hours=int(clock[1]), minutes=int(clock[2]), seconds=int(clock[3]))
    return Decimal(whole // timedelta(seconds=1)) + Decimal(f"0{clock[4] or '.'}")


def _degrees(text: str, side: str, sides: str, limit: int) -> Decimal:
    match = _ARC.fullmatch(text)
    if match is None or side not in tuple(sides) or len(text) > MAX_DIGITS:
        raise ValueError("no position")
    whole, minutes = Decimal(match[1]), Decimal(match[2])
    exact = _CONTEXT.add(whole, _CONTEXT.divide(minutes, Decimal(60)))
    if minutes >= 60 or exact > limit:
        raise ValueError("no position")
    degrees = exact.quantize(_DEGREE, ROUND_HALF_EVEN)
    return -degrees if side == sides[1] else degrees


def _field(sentence: Sentence, at: int) -> str:
    return sentence.fields[at - 1] if 0 < at <= len(sentence.fields) else ""


def _fix(sentence: Sentence) -> int:
    return _FIX_QUALITIES.get(_field(sentence, 6), BAD_ANSWER)


def _status(sentence: Sentence, at: int) -> int:
    return {"A": GOOD, "V": SENSOR_FAULT}.get(_field(sentence, at), BAD_ANSWER)


def _navigation(sentence: Sentence) -> int:
    """RMC: status, and the mode where there is one (since NMEA 2.3)."""
    status, mode = _status(sentence, 2), _field(sentence, 12)
    return status if status != GOOD or not mode else _MODES.get(mode, BAD_ANSWER)


def _position(sentence: Sentence) -> int:
    """GLL: status, and the mode where there is one (since NMEA 2.3)."""
    status, mode = _status(sentence, 6), _field(sentence, 7)
    return status if status != GOOD or not mode else _MODES.get(mode, BAD_ANSWER)


def _modes(sentence: Sentence) -> int:
    """GNS field 6: a mode for each system of satellites; the position is as good as the best of them."""
    found = [_MODES.get(mode, BAD_ANSWER) for mode in _field(sentence, 6)]
    if not found or BAD_ANSWER in found:
        return BAD_ANSWER
    return next(quality for quality in (GOOD, UNCERTAIN, SENSOR_FAULT) if quality in found)


def _mode(sentence: Sentence) -> int:
    """VTG: the mode where there is one (since NMEA 2.3)."""
    mode = _field(sentence, 9)
    return _MODES.get(mode, BAD_ANSWER) if mode else GOOD


def _dimensions(sentence: Sentence) -> int:
    """GSA field 2: 1 is no fix, 2 and 3 are one in two and three dimensions."""
    return {"1": SENSOR_FAULT, "2": GOOD, "3": GOOD}.get(_field(sentence, 2), BAD_ANSWER)


def _wind(sentence: Sentence) -> int:
    return _status(sentence, 5)


# XDR (NMEA 0183 3.01): the letter of each unit that a point may have; a unit that is not here is not checked.
XDR_UNITS = {
    "deg": "D", "Cel": "C", "m": "M", "m3": "M", "Hz": "H", "N": "N", "bar": "B", "Pa": "P", "l/s": "l",
    "%": "P", "%RH": "P", "A": "A", "V": "V", "m/s": "M", "km/h": "K", "kn": "N",
}  # fmt: skip


def transducers(sentence: Sentence) -> Mapping[str, int]:
    """XDR: where the value of each transducer stands, by type and name (`C/0`); of two that are called alike none."""
    names = [(f"{_field(sentence, at)}/{_field(sentence, at + 3)}", at + 1) for at in range(1, len(sentence.fields), 4)]
    known = [name for name, _ in names]
    return {name: at for name, at in names if known.count(name) == 1}


def transducer(at: int, letter: str) -> "Field":
    """The value at `at`, in the unit of `letter`, or in any when it is ""."""
    return Field(at, exact, at + 1 if letter else 0, letter)


def repeats(sentence: Sentence) -> bool:
    """Whether a sentence only carries on: GSV says how many satellites are in view in each part of the list."""
    return sentence.formatter == "GSV" and _field(sentence, 2).lstrip("0") != "1"


FIELDS: Mapping[str, Mapping[str, Field]] = {
    "GGA": {
        "latitude": Field(2, latitude, 3, "NS", _fix),
        "longitude": Field(4, longitude, 5, "EW", _fix),
        "fix-quality": Field(6, count),
        "satellites": Field(7, count),
        "hdop": Field(8, magnitude, valid=_fix),
        "altitude": Field(9, exact, 10, "M", _fix),
        "geoid-separation": Field(11, exact, 12, "M", _fix),
    },
    "GLL": {
        "latitude": Field(1, latitude, 2, "NS", _position),
        "longitude": Field(3, longitude, 4, "EW", _position),
        "status": Field(6, letter),
    },
    "GNS": {
        "latitude": Field(2, latitude, 3, "NS", _modes),
        "longitude": Field(4, longitude, 5, "EW", _modes),
        "satellites": Field(7, count),
        "hdop": Field(8, magnitude, valid=_modes),
        "altitude": Field(9, exact, valid=_modes),
        "geoid-separation": Field(10, exact, valid=_modes),
    },
    "RMC": {
        "status": Field(2, letter),
        "latitude": Field(3, latitude, 4, "NS", _navigation),
        "longitude": Field(5, longitude, 6, "EW", _navigation),
        "speed": Field(7, magnitude, valid=_navigation),
        "course": Field(8, angle, valid=_navigation),
        "variation": Field(10, variation, 11, "EW", _navigation),
        "time": Field(1, instant, 9, "", _navigation),
    },
    "GSA": {
        "mode": Field(1, letter),
        "fix": Field(2, count),
        "pdop": Field(15, magnitude, valid=_dimensions),
        "hdop": Field(16, magnitude, valid=_dimensions),
        "vdop": Field(17, magnitude, valid=_dimensions),
    },
    "GSV": {
        "satellites-in-view": Field(3, count),
    },
    "VTG": {
        "course": Field(1, angle, 2, "T", _mode),
        "course-magnetic": Field(3, angle, 4, "M", _mode),
        "speed": Field(5, magnitude, 6, "N", _mode),
        "speed-km": Field(7, magnitude, 8, "K", _mode),
    },
    "ZDA": {
        "time": Field(1, instant, 2),
    },
    "MWD": {
        "direction": Field(1, angle, 2, "T"),
        "direction-magnetic": Field(3, angle, 4, "M"),
        "speed-knots": Field(5, magnitude, 6, "N"),
        "speed": Field(7, magnitude, 8, "M"),
    },
    "MWV": {
        "angle": Field(1, angle, valid=_wind),
        "speed": Field(3, magnitude, 4, "", _wind),
        "status": Field(5, letter),
    },
    "MDA": {
        "pressure-inches": Field(1, magnitude, 2, "I"),
        "pressure": Field(3, magnitude, 4, "B"),
        "air-temperature": Field(5, exact, 6, "C"),
        "water-temperature": Field(7, exact, 8, "C"),
        "relative-humidity": Field(9, magnitude),
        "absolute-humidity": Field(10, magnitude),
        "dew-point": Field(11, exact, 12, "C"),
        "wind-direction-true": Field(13, angle, 14, "T"),
        "wind-direction-magnetic": Field(15, angle, 16, "M"),
        "wind-speed-knots": Field(17, magnitude, 18, "N"),
        "wind-speed": Field(19, magnitude, 20, "M"),
    },
}
"""The sentences (IEC 61162-1, 8.3; MDA: NMEA 0183 3.01, withdrawn since but still sent) and their fields by name."""


def read(sentence: Sentence, field: Field, letters: str = "") -> Reading:
    """Value and quality of one field; without a value unless it is good or uncertain.

    An empty field or an invalid status is a sensor fault; text that is not what the field holds, or another unit letter
    than `letters` (the field's own when "") is a bad answer.
    """
    quality = field.valid(sentence)
    if quality not in (GOOD, UNCERTAIN):
        return None, quality
    text, following = _field(sentence, field.at), _field(sentence, field.letter_at)
    if not text:
        return _FAULT
    if field.read is instant:
        if sentence.formatter == "ZDA":
            following = ",".join(sentence.fields[1:4])
        if not following.strip(","):
            return _FAULT
    elif field.letter_at and following not in tuple(letters or field.letters):
        return _WRONG
    try:
        return field.read(text, following), quality
    except ValueError:
        return _WRONG
