"""A sample's value as three columns: a double, its exact text where the double is not it, and text."""

import math
import struct
from decimal import Decimal
from typing import TypeAlias

from ext.value import Value

Columns: TypeAlias = tuple[float | None, str | None, str | None]

EXACT_INTEGERS = 1 << 53  # IEEE 754 binary64 holds every integer up to here
NOTHING: Columns = (None, None, None)


def columns(value: Value) -> Columns:
    """Return (value, exact, text).

    `value` is the nearest finite double; `exact` is filled when that double does not print as the value itself.
    SQLite keeps neither NaN nor the sign of zero: these, and the infinities, are told by `exact`.
    """
    kind = type(value)
    if kind is float:
        return _double(value)  # type: ignore[arg-type]
    if kind is Decimal:
        return _decimal(value)  # type: ignore[arg-type]
    if kind is int:
        return _integer(value)  # type: ignore[arg-type]
    if kind is bool:
        return (1.0 if value else 0.0), None, None
    if kind is str:
        return None, None, value  # type: ignore[return-value]
    if kind is bytes:
        return None, None, value.hex()  # type: ignore[union-attr]
    return NOTHING


def _double(value: float) -> Columns:
    if value - value == 0.0:  # finite
        return (value, None, None) if value or math.copysign(1.0, value) > 0 else (0.0, "-0.0", None)
    if math.isnan(value):
        return None, f"nan:{struct.pack('>d', value).hex()}", None
    return None, repr(value), None


def _integer(value: int) -> Columns:
    if -EXACT_INTEGERS <= value <= EXACT_INTEGERS:
        return float(value), None, None
    return _nearest(value), str(value), None


def _decimal(value: Decimal) -> Columns:
    text = str(value)
    nearest = float(text)  # what float(value) does as well
    if not math.isfinite(nearest):
        return None, text, None
    shortest = repr(nearest)
    return nearest, None if text == shortest or Decimal(shortest) == value else text, None


def _nearest(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None
