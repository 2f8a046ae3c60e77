"""The C-speed kernels: scan plans, the packer and the unpacker, and the words they share."""

from ext.columns import Columns
from ext.errors import FormatError
from ext.layout import MAX_PAYLOAD, Layout
from ext.limits import AGGREGATES, MAX_BATCH_BYTES, MAX_SAMPLES, MAX_TEXT_BYTES, MAX_WORK
from ext.packer import Packer
from ext.plan import ScanPlan
from ext.quality import (
    BAD,
    BAD_ANSWER,
    CLOCK,
    COUNTER_JUMP,
    COUNTER_RESET,
    EXCEPTION,
    GOOD,
    LIMITS,
    MAINTENANCE,
    NO_ANSWER,
    SENSOR_FAULT,
    SENTINEL,
    STALE,
    UNCERTAIN,
    describe,
    quality_class,
)
from ext.series import Series
from ext.unpacker import unpack, unpack_columns
from ext.value import Value

__all__ = [
    "AGGREGATES",
    "BAD",
    "BAD_ANSWER",
    "CLOCK",
    "COUNTER_JUMP",
    "COUNTER_RESET",
    "EXCEPTION",
    "GOOD",
    "LIMITS",
    "MAINTENANCE",
    "MAX_BATCH_BYTES",
    "MAX_PAYLOAD",
    "MAX_SAMPLES",
    "MAX_TEXT_BYTES",
    "MAX_WORK",
    "NO_ANSWER",
    "SENSOR_FAULT",
    "SENTINEL",
    "STALE",
    "UNCERTAIN",
    "Columns",
    "FormatError",
    "Layout",
    "Packer",
    "ScanPlan",
    "Series",
    "Value",
    "describe",
    "quality_class",
    "unpack",
    "unpack_columns",
]
