"""What a sample's value may be, and the exact arithmetic of scaled ones."""

from collections.abc import Sequence
from decimal import Context, Decimal
from math import inf, isfinite, isnan
from typing import Final, TypeAlias

from ext.limits import MAX_NUMBER_BYTES, MAX_TEXT_EXPONENT

Value: TypeAlias = bool | int | float | Decimal | str | bytes | None

# A 64-bit raw times a 64-bit multiplier has at most 39 digits; nothing may be rounded here.
_EXACT: Final = Context(prec=60, Emax=999_999, Emin=-999_999)


def scaled_decimal(raw: int, multiplier: int, addend: int, exponent: int) -> Decimal:
    """(raw * multiplier + addend) * 10**exponent, exactly, with that exponent."""
    return _EXACT.multiply(Decimal(raw * multiplier + addend), Decimal((0, (1,), exponent)))


def scaled_float(raw: float, multiplier: int, addend: int, exponent: int) -> float:
    """The double nearest to the exact (raw * multiplier + addend) * 10**exponent; NaN stays, too large is infinite."""
    if isnan(raw):
        return raw
    if not isfinite(raw):
        return raw if multiplier > 0 else -raw
    numerator, denominator = raw.as_integer_ratio()
    numerator = numerator * multiplier + addend * denominator
    if exponent < 0:
        denominator *= 10**-exponent
    else:
        numerator *= 10**exponent
    try:
        return numerator / denominator  # integers: rounded once
    except OverflowError:
        return inf if numerator > 0 else -inf


def number_text(sign: int, digits: Sequence[int], exponent: int) -> bytes:
    """A decimal too large for the fast form, as it travels: digits, E, exponent; ValueError beyond the bounds."""
    if abs(exponent) > MAX_TEXT_EXPONENT or len(digits) > MAX_NUMBER_BYTES:
        raise ValueError(f"a decimal of {len(digits)} digits and exponent {exponent} is too large")
    return f"{'-' if sign else ''}{''.join(map(str, digits))}E{exponent}".encode()
