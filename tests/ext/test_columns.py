"""Columns say what tuples say, in buffers that others take as they are."""

import math
import struct
from decimal import Decimal

from hypothesis import given, settings

from ext import BAD, Columns, Layout, Packer, ScanPlan, Series, Value, unpack, unpack_columns
from ext.columns import BOOL, DECIMAL, FLOAT, INTEGER, NOTHING, OBJECT, UNSIGNED
from tests.ext.strategies import Story, stories
from tests.ext.vectors import exact


def value_of(columns: Columns, place: int) -> Value:
    """The value of one sample, from the columns alone."""
    integer = columns.integer[place]
    readers: dict[int, Value] = {
        NOTHING: None,
        INTEGER: integer,
        UNSIGNED: integer % 2**64,
        FLOAT: columns.value[place],
        BOOL: integer != 0,
        OBJECT: columns.objects.get(place),
    }
    if columns.kind[place] == DECIMAL:
        return Decimal((integer < 0, tuple(map(int, str(abs(integer)))), columns.exponent[place]))
    return readers[columns.kind[place]]


@settings(max_examples=150, deadline=None)
@given(stories())
def test_columns_are_the_tuples(story: Story) -> None:
    columns = unpack_columns(story.blocks)
    rows = [
        (columns.series[i], columns.boot_ms[i], value_of(columns, i), columns.quality[i]) for i in range(len(columns))
    ]
    assert exact(rows) == exact(unpack(story.blocks))
    for value, (_, _, expected, _) in zip(columns.value, rows, strict=True):
        assert struct.pack(">d", value) == struct.pack(">d", as_double(expected)) or math.isnan(value)


def as_double(value: Value) -> float:
    """The nearest double; NaN of what is no number."""
    if value is None or isinstance(value, (str, bytes)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def test_buffers() -> None:
    packer = Packer()
    plan = ScanPlan([(Layout(0, "int16"), Series(1, exponent=-1)), (Layout(2, "float32"), Series(2))])
    packer.append_scan(plan, struct.pack(">hf", -5, 1.5), 1000)
    packer.extend([(Series(3), 1001, "on", 0), (Series(4), 1002, None, BAD), (Series(5), 1003, 2**64 - 1, 0)])
    columns = unpack_columns([packer.commit()])
    assert [m.format for m in (columns.series, columns.boot_ms, columns.quality)] == ["I", "q", "B"]
    assert columns.series.tolist() == [1, 2, 3, 4, 5]
    assert columns.boot_ms.tolist() == [1000, 1000, 1001, 1002, 1003]
    assert columns.kind.tolist() == [DECIMAL, FLOAT, OBJECT, NOTHING, UNSIGNED]
    assert columns.value.tolist()[:2] == [-0.5, 1.5]
    assert columns.integer.tolist()[0] == -5
    assert dict(columns.objects) == {2: "on"}
    assert len(unpack_columns([])) == 0
