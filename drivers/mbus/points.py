"""From the records of a read-out to the values of points: selected, in the unit asked for, exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import cast

from drivers.base import PointSetup
from drivers.mbus.options import MbusPoint
from drivers.mbus.records import Record
from drivers.mbus.units import UNITS
from ext import BAD_ANSWER, SENSOR_FAULT, Value

PLACES = 9  # decimals that are kept where a duration is divided into hours or days, which has no end

_EXACT = Context(prec=60)  # 20 digits of a record, its power of ten, and 19 each of a scale and an offset

Said = tuple[str, Value, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One point, and how its value is made."""

    id: str
    selector: MbusPoint
    unit: str
    scale: Decimal
    offset: Decimal

    @classmethod
    def of(cls, setup: PointSetup) -> "Wanted":
        """The point as configured."""
        point = setup.point
        return cls(point.id, cast("MbusPoint", setup.options), point.unit, point.scale, point.offset)

    def take(self, header: Sequence[Record], records: Sequence[Record]) -> Said:
        """Its value; none, with a bad quality, unless exactly one record is meant and its unit can be had."""
        record = self._record(header, records)
        if isinstance(record, int):
            return self.id, None, record
        if record.value is None:
            return self.id, None, record.quality
        return self._said(record)

    def _record(self, header: Sequence[Record], records: Sequence[Record]) -> Record | int:
        """The record that is meant, or the quality of there being none."""
        selector = self.selector
        if selector.index is not None:
            return records[selector.index] if selector.index < len(records) else BAD_ANSWER
        close = [record for record in (*header, *records) if selector.selects(record)]
        found = [record for record in close if record.function == selector.function and self._fits(record)]
        if selector.nth is not None:
            return found[selector.nth - 1] if selector.nth <= len(found) else BAD_ANSWER
        if len(found) == 1:
            return found[0]
        in_error = not found and any(record.function == "error" for record in close)
        return SENSOR_FAULT if in_error else BAD_ANSWER

    def _fits(self, record: Record) -> bool:
        """Whether the record's unit is the one asked for or can be made it; none can be called anything."""
        return record.unit in ("", self.unit, UNITS.get(self.unit, (self.unit,))[0])

    def _said(self, record: Record) -> Said:
        value: Value = record.value
        if not self._fits(record):
            return self.id, None, BAD_ANSWER
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            _, exponent, factor = UNITS[self.unit] if record.unit not in ("", self.unit) else ("", 0, 1)
            value = self._number(value, exponent, factor)
        return self.id, value, record.quality

    def _number(self, value: float | Decimal, exponent: int, factor: int) -> Value:
        if isinstance(value, float):
            exact = Fraction(value) / factor / Fraction(10) ** exponent
            return float(exact * Fraction(self.scale) + Fraction(self.offset))
        number = Decimal(value)
        if factor != 1 and number % factor:
            number = (number / factor).quantize(Decimal(1).scaleb(-PLACES), context=_EXACT)
        elif factor != 1:
            number = number / factor
        number = _EXACT.scaleb(number, -exponent)
        return _EXACT.fma(number, self.scale, self.offset)
