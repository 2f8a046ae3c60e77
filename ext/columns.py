"""The samples of a batch as columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ext.value import Value

NOTHING: Final = 0
INTEGER: Final = 1
UNSIGNED: Final = 2
FLOAT: Final = 3
BOOL: Final = 4
DECIMAL: Final = 5
OBJECT: Final = 6


@dataclass(frozen=True, slots=True)
class Columns:
    """Samples in order, a buffer a column, which numpy and pyarrow take without a copy.

    `kind` says where a value lies: INTEGER, UNSIGNED (the bits of an unsigned number) and BOOL in `integer`; FLOAT in
    `value`; DECIMAL is integer * 10**exponent; OBJECT (text, bytes, numbers too large) in `objects`, by its place.
    `value` is the nearest double of every number and NaN of the rest.
    """

    series: memoryview
    """uint32"""
    boot_ms: memoryview
    """int64"""
    quality: memoryview
    """uint8"""
    kind: memoryview
    """uint8"""
    value: memoryview
    """float64"""
    integer: memoryview
    """int64"""
    exponent: memoryview
    """int8"""
    objects: Mapping[int, Value]

    def __len__(self) -> int:
        return len(self.kind)
