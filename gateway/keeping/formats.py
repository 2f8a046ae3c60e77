"""Samples as text for other programs: CSV, NDJSON and SenML; what devices said is made harmless, numbers stay exact."""

import base64
import csv
import json
import math
from abc import ABC, abstractmethod
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TextIO

from ext import Value
from ext.cells import cell
from ext.quality import BAD, describe, quality_class
from gateway.keeping.history import Sample

COLUMNS = ("time", "point", "value", "unit", "quality", "clock", "boot", "boot_ms")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Writer(ABC):
    """Writes samples to `out`; `left_out` counts, by reason, those that the form cannot say."""

    def __init__(self, out: TextIO, gateway: str) -> None:
        self._out = out
        self._gateway = gateway
        self.written = 0
        self.left_out: Counter[str] = Counter()

    @abstractmethod
    def write(self, sample: Sample) -> None:
        """One sample."""

    def close(self) -> None:  # noqa: B027 - most forms just end
        """What ends the text."""


class CsvWriter(Writer):
    """RFC 4180, with a head. Texts as in `cell`, bytes in hex, no value as an empty cell."""

    def __init__(self, out: TextIO, gateway: str) -> None:
        super().__init__(out, gateway)
        self._csv = csv.writer(out)
        self._csv.writerow(COLUMNS)

    def write(self, sample: Sample) -> None:
        value = cell(sample.value) if isinstance(sample.value, str) else plain_value(sample.value)
        head = (_time(sample), sample.point, value, cell(sample.unit), describe(sample.quality), sample.clock)
        self._csv.writerow((*head, sample.boot.hex(), sample.boot_ms))
        self.written += 1


class NdjsonWriter(Writer):
    """A JSON object a line, with the names of the CSV columns; a number has all its digits, bytes are hex."""

    def write(self, sample: Sample) -> None:
        before = json.dumps({"time": _time(sample) or None, "point": sample.point})
        after = json.dumps(
            {"unit": sample.unit, "quality": describe(sample.quality), "clock": sample.clock,
             "boot": sample.boot.hex(), "boot_ms": sample.boot_ms}
        )  # fmt: skip
        self._out.write(f'{before[:-1]}, "value": {_json_value(sample.value)}, {after[1:]}\n')
        self.written += 1


class SenmlWriter(Writer):
    """A SenML pack (RFC 8428, JSON). It has no word for a quality, nor for "no value" and NaN: see `unsayable`."""

    def __init__(self, out: TextIO, gateway: str) -> None:
        super().__init__(out, gateway)
        self._base_s = 0
        out.write("[")

    def write(self, sample: Sample) -> None:
        reason, utc_ms = unsayable(sample), sample.utc_ms
        if reason or utc_ms is None:
            self.left_out[reason or "without a time"] += 1
            return
        if not self.written:
            self._base_s = utc_ms // 1000
            base = f'\n{{"bn": {json.dumps(f"lamppost:{self._gateway}/")}, "bt": {self._base_s}, '
        else:
            base = ",\n{"
        unit = f'"u": {json.dumps(sample.unit)}, ' if sample.unit else ""
        time = Decimal(utc_ms - 1000 * self._base_s) / 1000
        self._out.write(f'{base}"n": "{sample.point}", {unit}{_senml_value(sample.value)}, "t": {time:f}}}')
        self.written += 1

    def close(self) -> None:
        self._out.write("\n]\n" if self.written else "]\n")


WRITERS: dict[str, type[Writer]] = {"csv": CsvWriter, "ndjson": NdjsonWriter, "senml": SenmlWriter}


def plain_value(value: Value) -> str:
    """A value that is no text: exact, and nothing for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def _time(sample: Sample) -> str:
    """RFC 3339, UTC, ms; empty when nobody knows, or when the year has no four digits."""
    if sample.utc_ms is None:
        return ""
    try:
        return (EPOCH + timedelta(milliseconds=sample.utc_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return ""


def _number(value: float | Decimal) -> str | None:
    """The JSON number of all its digits (RFC 8259, 6); None when there is none."""
    return plain_value(value) if math.isfinite(value) else None


def _json_value(value: Value) -> str:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _number(value) or json.dumps(str(value))
    return json.dumps(value.hex() if isinstance(value, bytes) else value)


def unsayable(sample: Sample) -> str:
    """Why SenML cannot say this sample: a record has a value and a time, and counts as good."""
    value = sample.value
    if value is None:
        return "without a value"
    if quality_class(sample.quality) == BAD:
        return "of bad quality"
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return "not a finite number"
    return ""


def _senml_value(value: Value) -> str:
    """The value field (RFC 8428, 4.2 and 4.3); data is base64 in the URL's alphabet without padding."""
    if isinstance(value, bytes):
        return f'"vd": "{base64.urlsafe_b64encode(value).decode().rstrip("=")}"'
    name = {bool: "vb", str: "vs"}.get(type(value), "v")
    return f'"{name}": {_json_value(value)}'
