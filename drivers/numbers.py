"""Numbers in texts of devices: exact, bounded, never guessed; and a point's scale and offset, applied exactly."""

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Self

from config import Point
from ext import GOOD, SENTINEL, Value

MAX_DIGITS = 18  # of one number: what a 64-bit integer holds whatever they are

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_EXACT = Context(prec=60)  # 18 digits of a text, times and plus 19 of a scale and an offset


def number(text: str) -> Decimal:
    """The number as written, exactly; raises `ValueError`."""
    if not _NUMBER.fullmatch(text) or sum(map(str.isdigit, text)) > MAX_DIGITS:
        raise ValueError("no number")
    return Decimal(text)


@dataclass(frozen=True, slots=True)
class Scaling:
    """What a point makes of a raw value: nothing of a sentinel, else value * scale + offset."""

    scale: Decimal
    offset: Decimal
    sentinels: tuple[int, ...] = ()

    @classmethod
    def of(cls, point: Point) -> Self:
        """The point's own."""
        return cls(point.scale, point.offset, tuple(point.sentinel))

    def apply(self, value: Value, quality: int = GOOD) -> tuple[Value, int]:
        """The value in the point's unit with its quality; texts and absent values as they are."""
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return value, quality
        if value in self.sentinels:
            return None, SENTINEL
        if self.scale != 1 or self.offset != 0:
            return _EXACT.fma(Decimal(value), self.scale, self.offset), quality
        return value, quality
