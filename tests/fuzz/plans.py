"""Plans out of a script's bytes, up to the widest there are, and what their scans must come out as."""

from dataclasses import dataclass, field
from typing import Final

from ext import Layout, ScanPlan, Series, Value
from ext.limits import MAX_SHAPE_FIELDS
from tests.ext.strategies import TYPES, Point, size_of
from tests.fuzz.bytes import Script
from tests.reference_decoder import scaled_float

SCALES: Final = ((1, 0, 0), (1, 0, 0), (1, 0, -1), (-7, 2**62, 9), (50, -3, -9), (2**62, -(2**62), -127))
WIDTHS: Final[tuple[int, ...]] = (*range(1, 10), 16, 17, 40, 41, 66, 250, 1000, MAX_SHAPE_FIELDS - 1, MAX_SHAPE_FIELDS)
FEW: Final = 17  # points that are each of another type; a wider plan repeats the first of them

Due = tuple[int, Value, int]  # series number, value, quality
Said = tuple[Value | bytes, int]


@dataclass
class Drawn:
    """A plan, the response it had last, and what each of its points that report changes said last."""

    plan: ScanPlan
    points: list[Point]
    places: list[int]
    on_change: bool
    payload: bytearray
    said: dict[int, Said] = field(default_factory=dict)

    def scanned(self, quality: int) -> list[Due]:
        """The samples due for the payload."""
        return self._reported([self._expected(index, quality) for index in range(len(self.points))])

    def failed(self, quality: int) -> list[Due]:
        """The samples due for a scan that failed."""
        return self._reported([(None, quality)] * len(self.points))

    def _expected(self, index: int, quality: int) -> tuple[Value, int]:
        point = self.points[index]
        value, judged = point.expected(self._raw(index), quality)
        if point.code in "fd" and point.scale != (1, 0, 0):
            assert isinstance(value, float)
            value = scaled_float(value, *point.scale)
        return value, judged

    def _raw(self, index: int) -> bytes:
        start = self.places[index]
        return bytes(self.payload[start : start + size_of(self.points[index].code)])

    def _reported(self, found: list[tuple[Value, int]]) -> list[Due]:
        due = []
        for index, (value, quality) in enumerate(found):
            said = (self._raw(index) if isinstance(value, float) else value, quality)
            if not self.on_change or self.said.get(index) != said:
                self.said[index] = said
                due.append((self.points[index].series.number, value, quality))
        return due


def drawn(script: Script, first: int, width: int) -> Drawn:
    """A plan of any types, with scales; its series are numbered from `first`."""
    on_change, period = bool(script.below(2)), 1000 * script.below(2)
    kinds = [_kind(script) for _ in range(min(width, FEW))]
    fields, points, places, offset = [], [], [], 0
    for index in range(width):
        (kind, code), scale, sentinels = kinds[index % len(kinds)]
        multiplier, addend, exponent = scale
        series = Series(
            first + index,
            multiplier=multiplier,
            addend=addend,
            exponent=exponent,
            sentinels=sentinels,
            on_change=on_change,
        )
        points.append(Point(code, series, scale, 127 if sentinels else None))
        places.append(offset)
        fields.append((Layout(offset, kind), series))
        offset += fields[-1][0].width
    return Drawn(ScanPlan(fields, period), points, places, on_change, bytearray(offset))


def _kind(script: Script) -> tuple[tuple[str, str], tuple[int, int, int], tuple[int, ...]]:
    kind, code = TYPES[script.below(len(TYPES))]
    scale = (1, 0, 0) if code == "?" else SCALES[script.below(len(SCALES))]
    return (kind, code), scale, () if code in "fd?" or script.below(3) else (127,)
