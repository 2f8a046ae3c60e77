"""Rows on their way into the database: a batch, and the samples of one as the columns they were unpacked to."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from collector.tables.values import EXACT_INTEGERS
from collector.tables.values import Columns as ValueColumns
from collector.tables.values import columns as value_columns
from ext import GOOD
from ext.columns import BOOL as BOOLEAN
from ext.columns import DECIMAL, FLOAT, INTEGER, NOTHING, OBJECT, UNSIGNED, Columns
from ext.value import Value

SampleRow: TypeAlias = tuple[int, int, float | None, str | None, str | None, int, int]
"""Series id, UTC in ms, value, exact, text, quality, batch."""

EXACT_DIGITS = 10**15  # a decimal of 15 digits comes back from a binary64 (DBL_DIG of C, 5.2.4.2.2)


class BatchRow(NamedTuple):
    """A row of `batches`."""

    gateway: str
    stream: str
    number: int
    hash: str
    previous: str
    kind: str
    boot: str
    received_at: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Ids:
    """The series ids of a stream, as a dictionary and as sorted arrays."""

    by_number: Mapping[int, int]
    numbers: "array[int]"
    ids: "array[int]"

    @classmethod
    def of(cls, found: Mapping[int, int]) -> "Ids":
        """From (number, id)."""
        order = sorted(found)
        return cls(found, array("q", order), array("q", [found[number] for number in order]))


@dataclass(frozen=True, slots=True)
class Piece:
    """The samples of one batch that are to be entered.

    `offset` makes UTC of their times; `judged` is a quality and what it becomes by what dates them; `kept` are the
    places of those that are entered, when not all are.
    """

    gateway: str
    stream: str
    number: int
    columns: Columns
    ids: Ids
    offset: int
    judged: tuple[int, int] | None = None
    kept: Sequence[int] | None = None

    def rows(self) -> Iterator[SampleRow]:
        """One by one, in order."""
        found, ids = self.columns, self.ids.by_number
        series, times, qualities = found.series, found.boot_ms, found.quality
        was, becomes = self.judged or (GOOD, GOOD)
        for at in range(len(found)) if self.kept is None else self.kept:
            quality = qualities[at]
            if quality == was:
                quality = becomes
            yield ids[series[at]], times[at] + self.offset, *value_row(found, at), quality, self.number

    def spans(self, period_ms: int) -> set[int]:
        """Which periods since 1970 the samples are of."""
        times = self.columns.boot_ms
        if not len(times):
            return set()
        first, last = (min(times) + self.offset) // period_ms, (max(times) + self.offset) // period_ms
        return {first} if first == last else {(at + self.offset) // period_ms for at in times}

    def chosen(self) -> "Piece":
        """The same with columns of what is kept only."""
        if self.kept is None:
            return self
        found, kept = self.columns, self.kept
        columns = Columns(
            series=_some(found.series, kept),
            boot_ms=_some(found.boot_ms, kept),
            quality=_some(found.quality, kept),
            kind=_some(found.kind, kept),
            value=_some(found.value, kept),
            integer=_some(found.integer, kept),
            exponent=_some(found.exponent, kept),
            objects={place: found.objects[at] for place, at in enumerate(kept) if at in found.objects},
        )
        return replace(self, columns=columns, kept=None)


def _some(column: memoryview, places: Sequence[int]) -> memoryview:
    return memoryview(array(column.format, [column[place] for place in places]))


def value_row(found: Columns, at: int) -> ValueColumns:
    """Value, exact and text of one sample; what a double holds needs no object of its own."""
    kind, whole = found.kind[at], found.integer[at]
    if kind == DECIMAL and -EXACT_DIGITS < whole < EXACT_DIGITS:
        return found.value[at], None, None
    if kind == INTEGER and -EXACT_INTEGERS <= whole <= EXACT_INTEGERS:
        return found.value[at], None, None
    return value_columns(value_at(found, at))


def value_at(found: Columns, at: int) -> Value:
    """The value of one sample."""
    kind = found.kind[at]
    if kind == FLOAT:
        return float(found.value[at])
    if kind == OBJECT:
        return found.objects[at]
    if kind == NOTHING:
        return None
    whole = int(found.integer[at])
    if kind == DECIMAL:
        return Decimal((int(whole < 0), tuple(map(int, str(abs(whole)))), found.exponent[at]))
    if kind == UNSIGNED:
        return whole & 0xFFFF_FFFF_FFFF_FFFF
    return bool(whole) if kind == BOOLEAN else whole
