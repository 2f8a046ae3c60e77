"""The data types of the application layer (EN 13757-3:2018, annex A): bytes of a record, or of a header, to a value."""

import math
import struct
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from ext import Value

# How many bytes the data fields 0 to F say (EN 13757-3:2018, table 4); D in its first byte, F is no data at all.
LENGTHS = (0, 1, 2, 3, 4, 4, 6, 8, 0, 1, 2, 3, 4, 0, 6, 0)
REAL, SELECTION, VARIABLE, SPECIAL = 5, 8, 13, 15
BCDS = (9, 10, 11, 12, 14)

# LVAR, the first byte of data of variable length (EN 13757-3:2018, table 5)
MAX_TEXT = 0xBF
_LVAR_BCD, _LVAR_NEGATIVE, _LVAR_BINARY, _LVAR_WIDE = 0xC0, 0xD0, 0xE0, 0xF0
_LVAR_WIDE_END = 0xF4
_LVAR_BCD_BYTES = 9  # 18 digits: what an exact decimal holds, and twice what any meter has

MAX_YEAR = 99  # of the seven bits for the year in a century; 127 is every year


class NoValue(ValueError):
    """The bytes are well formed and say no value: digits that are none, a date that is none, an infinite number."""


class Malformed(ValueError):
    """The bytes are not what the standard allows; the telegram cannot be believed."""


@dataclass(frozen=True, slots=True)
class Variable:
    """Data of variable length: how long it is, and how it is read."""

    size: int
    read: Callable[[bytes], Value]


def integer(data: bytes) -> int:
    """Type B: two's complement, the lowest byte first; raises `NoValue` for the least number, which says none."""
    value = int.from_bytes(data, "little", signed=True)
    if value == -1 << (8 * len(data) - 1):
        raise NoValue("the number that stands for none")
    return value


def unsigned(data: bytes) -> int:
    """Type C: the lowest byte first."""
    return int.from_bytes(data, "little")


def bcd(data: bytes) -> int:
    """Type A: two digits a byte, the lowest first; F in the highest place is a minus. Raises `NoValue`."""
    digits = data[::-1].hex()
    sign = 1
    if digits.startswith("f"):
        sign, digits = -1, digits[1:]
    if not digits.isdecimal():
        raise NoValue("digits that are none")
    return sign * int(digits)


def real(data: bytes) -> float:
    """Type H: IEEE 754, 32 bits; raises `NoValue` for what is no finite number."""
    (value,) = struct.unpack("<f", data)
    if not math.isfinite(value):
        raise NoValue("no finite number")
    return float(value)


def text(data: bytes) -> str:
    """Characters of ISO 8859-1, the last one first."""
    return data[::-1].decode("latin-1")


def variable(lvar: int) -> Variable:
    """What the LVAR byte says; raises `Malformed` for reserved ones."""
    if lvar <= MAX_TEXT:
        return Variable(lvar, text)
    if _LVAR_BCD <= lvar <= _LVAR_BCD + _LVAR_BCD_BYTES:
        return Variable(lvar - _LVAR_BCD, _digits)
    if _LVAR_NEGATIVE <= lvar <= _LVAR_NEGATIVE + _LVAR_BCD_BYTES:
        return Variable(lvar - _LVAR_NEGATIVE, lambda data: -_digits(data))
    if _LVAR_BINARY <= lvar < _LVAR_WIDE:
        return Variable(lvar - _LVAR_BINARY, _bytes)
    if _LVAR_WIDE <= lvar <= _LVAR_WIDE_END:
        return Variable(4 * (lvar - 0xEC), _bytes)
    if lvar in (0xF5, 0xF6):
        return Variable(48 if lvar == 0xF5 else 64, _bytes)
    raise Malformed(f"reserved length {lvar:#04x} of variable data")


def date(data: bytes) -> str:
    """Type G: a day (ISO 8601); raises `NoValue` for none, such as a date that comes back every year."""
    year = data[0] >> 5 | data[1] >> 1 & 0x78
    return _day(_century(year), data[1] & 0x0F, data[0] & 0x1F)


def minute(data: bytes) -> str:
    """Type F: a local time to the minute (ISO 8601, no zone: the meter knows none); raises `NoValue`."""
    if data[0] & 0x80:
        raise NoValue("the meter says that its time is invalid")
    year = data[2] >> 5 | data[3] >> 1 & 0x78
    hundreds = data[1] >> 5 & 0x03
    full = _century(year) if hundreds == 0 or year > MAX_YEAR else 1900 + 100 * hundreds + year
    return f"{_day(full, data[3] & 0x0F, data[2] & 0x1F)}T{_clock(data[1] & 0x1F, data[0] & 0x3F)}"


def second(data: bytes) -> str:
    """Type I: a local time to the second (ISO 8601, no zone); raises `NoValue`."""
    if data[1] & 0x80:
        raise NoValue("the meter says that its time is invalid")
    year = data[3] >> 5 | data[4] >> 1 & 0x78
    day = _day(_century(year), data[4] & 0x0F, data[3] & 0x1F)
    return f"{day}T{_clock(data[2] & 0x1F, data[1] & 0x3F, data[0] & 0x3F)}"


def time_of_day(data: bytes) -> str:
    """Type J: a local time without a day; raises `NoValue`."""
    return _clock(data[2] & 0x1F, data[1] & 0x3F, data[0] & 0x3F)


def manufacturer(code: int) -> str:
    """The three letters of FLAG in 15 bits ; raises `NoValue` when they are none."""
    letters = [code >> shift & 0x1F for shift in (10, 5, 0)]
    if code >> 15 or not all(1 <= letter <= 26 for letter in letters):
        raise NoValue("no manufacturer")
    return "".join(chr(64 + letter) for letter in letters)


def scaled(value: Value, exponent: int, factor: int = 1) -> Value:
    """`value` * factor * 10**exponent: exact for integers and decimals, the nearest double for floats."""
    if isinstance(value, float):
        return float(Fraction(value) * factor * Fraction(10) ** exponent)
    if isinstance(value, int) and not isinstance(value, bool):
        return value * factor * 10**exponent if exponent >= 0 else Decimal(value * factor).scaleb(exponent)
    return value


def _digits(data: bytes) -> int:
    digits = data[::-1].hex()
    if not digits.isdecimal():
        raise NoValue("digits that are none")
    return int(digits)


def _bytes(data: bytes) -> bytes:
    return data[::-1]


def _century(year: int) -> int:
    """Two digits of a year, as meters without the bits of the century mean them (EN 13757-3:2018, annex A, type F)."""
    if year > MAX_YEAR:
        raise NoValue("no such year, or every year")
    return 2000 + year if year <= 80 else 1900 + year


def _day(year: int, month: int, day: int) -> str:
    if not 1 <= month <= 12 or not 1 <= day <= monthrange(year, month)[1]:
        raise NoValue("no such day")
    return f"{year:04}-{month:02}-{day:02}"


def _clock(hour: int, minutes: int, seconds: int | None = None) -> str:
    if hour > 23 or minutes > 59 or (seconds or 0) > 59:
        raise NoValue("no such time")
    return f"{hour:02}:{minutes:02}" + ("" if seconds is None else f":{seconds:02}")
