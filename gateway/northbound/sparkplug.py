"""Payloads of Sparkplug B (Eclipse Sparkplug 3.0, chapter 6): metrics, births, deaths, commands."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from ext import Value
from ext.quality import GOOD, UNCERTAIN, quality_class
from gateway.errors import WireError
from gateway.northbound import protobuf

REBIRTH = "Node Control/Rebirth"
"""6.4.9; it never has an alias (tck-id-operational-behavior-data-commands-rebirth-name-aliases)."""
BD_SEQ = "bdSeq"
MAX_COMMAND_BYTES = 65_536


class DataType(IntEnum):
    """Of a metric (6.4.16); what a gateway's values need."""

    INT64 = 4
    UINT64 = 8
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    BYTES = 17


class _Payload(IntEnum):
    """Fields of Payload (6.4.1)."""

    TIMESTAMP = 1
    METRICS = 2
    SEQ = 3


class _Field(IntEnum):
    """Fields of Metric (6.4.1)."""

    NAME = 1
    ALIAS = 2
    TIMESTAMP = 3
    DATATYPE = 4
    IS_HISTORICAL = 5
    IS_NULL = 7
    PROPERTIES = 9
    LONG_VALUE = 11
    DOUBLE_VALUE = 13
    BOOLEAN_VALUE = 14
    STRING_VALUE = 15
    BYTES_VALUE = 16


KEYS, VALUES = 1, 2
"""Fields of PropertySet."""
PROPERTY_TYPE, PROPERTY_INT, PROPERTY_STRING = 1, 3, 8
"""Fields of PropertyValue."""
INT32 = 3
"""The type of the property Quality (6.4.13)."""
QUALITY_BAD, QUALITY_GOOD, QUALITY_STALE = 0, 192, 500
"""The codes of the property Quality (6.4.13); there is none for uncertain."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a message; `name` in births, `alias` alone in data."""

    timestamp: int
    datatype: DataType
    value: Value
    name: str = ""
    alias: int | None = None
    quality: int = GOOD
    historical: bool = False
    unit: str = ""

    def encode(self) -> bytes:
        """The message Metric."""
        out = protobuf.text(_Field.NAME, self.name) if self.name else b""
        if self.alias is not None:
            out += protobuf.unsigned(_Field.ALIAS, self.alias)
        out += protobuf.unsigned(_Field.TIMESTAMP, max(self.timestamp, 0))
        out += protobuf.unsigned(_Field.DATATYPE, self.datatype)
        if self.historical:
            out += protobuf.unsigned(_Field.IS_HISTORICAL, 1)
        if self.value is None:
            out += protobuf.unsigned(_Field.IS_NULL, 1)
        if properties := self._properties():
            out += protobuf.octets(_Field.PROPERTIES, properties)
        return out if self.value is None else out + _value(self.datatype, self.value)

    def _properties(self) -> bytes:
        """Quality where it is not good, and the unit in births (engUnit, as host applications know it)."""
        keys, values = b"", b""
        if self.quality != GOOD:
            stale = quality_class(self.quality) == UNCERTAIN
            said = protobuf.unsigned(PROPERTY_TYPE, INT32)
            said += protobuf.unsigned(PROPERTY_INT, QUALITY_STALE if stale else QUALITY_BAD)
            keys, values = protobuf.text(KEYS, "Quality"), protobuf.octets(VALUES, said)
        if self.unit:
            said = protobuf.unsigned(PROPERTY_TYPE, DataType.STRING) + protobuf.text(PROPERTY_STRING, self.unit)
            keys, values = keys + protobuf.text(KEYS, "engUnit"), values + protobuf.octets(VALUES, said)
        return keys + values


def payload(timestamp: int, metrics: Iterable[bytes], seq: int | None) -> bytes:
    """The message Payload; `seq` is None in a death of the node (6.4.24)."""
    body = protobuf.unsigned(_Payload.TIMESTAMP, max(timestamp, 0))
    body += b"".join(protobuf.octets(_Payload.METRICS, metric) for metric in metrics)
    return body if seq is None else body + protobuf.unsigned(_Payload.SEQ, seq)


def type_of(value: Value, known: DataType | None) -> DataType:
    """The type that a metric needs, to say this value as well as those before; it changes as rarely as can be."""
    if isinstance(value, bool):
        return DataType.BOOLEAN
    if isinstance(value, str):
        return DataType.STRING
    if isinstance(value, bytes):
        return DataType.BYTES
    if isinstance(value, int) and not -(1 << 53) <= value <= 1 << 53:  # a double no longer holds it
        return DataType.INT64 if value < 1 << 63 else DataType.UINT64
    if (
        isinstance(value, int)
        and known in {DataType.INT64, DataType.UINT64}
        and (value >= 0 or known == DataType.INT64)
    ):
        return known
    if value is None and known is not None:
        return known
    return DataType.DOUBLE


def asks_rebirth(message: bytes) -> bool:
    """Whether a command of the host asks for births; raises `WireError` for what is none."""
    if len(message) > MAX_COMMAND_BYTES:
        raise WireError(f"a command of {len(message)} bytes")
    for field, metric in protobuf.fields(message):
        if field == _Payload.METRICS and isinstance(metric, bytes):
            found = dict(protobuf.fields(metric))
            if found.get(_Field.NAME) == REBIRTH.encode() and found.get(_Field.BOOLEAN_VALUE) == 1:
                return True
    return False


def _value(datatype: DataType, value: Value) -> bytes:
    if isinstance(value, bool):
        return protobuf.unsigned(_Field.BOOLEAN_VALUE, value)
    if isinstance(value, str):
        return protobuf.text(_Field.STRING_VALUE, value)
    if isinstance(value, bytes):
        return protobuf.octets(_Field.BYTES_VALUE, value)
    if isinstance(value, int) and datatype in {DataType.INT64, DataType.UINT64}:
        return protobuf.unsigned(_Field.LONG_VALUE, value)  # Int64: its two's complement (6.4.16)
    return protobuf.double(_Field.DOUBLE_VALUE, _nearest(value))


def _nearest(value: float | Decimal | None) -> float:
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.copysign(math.inf, value or 0)
