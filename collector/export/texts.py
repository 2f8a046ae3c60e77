"""Samples as text: CSV, NDJSON and SenML; what devices said is made harmless, numbers stay exact."""

import base64
import csv
import json
from abc import ABC, abstractmethod
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TextIO

from collector.export.reading import Reading
from ext.cells import cell
from ext.quality import BAD, describe, quality_class

COLUMNS = ("time", "gateway", "device", "point", "asset_id", "value", "unit", "quality")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOT_FINITE = {"inf", "-inf", "nan"}
UNDATED = "a time that no calendar has"


class Writer(ABC):
    """Writes readings to `out`; `left_out` counts, by reason, those that the form cannot say."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.written = 0
        self.left_out: Counter[str] = Counter()

    def write(self, reading: Reading) -> None:
        """One sample."""
        if not (time := moment(reading.ts_ms)):
            self.left_out[UNDATED] += 1
        elif reason := self._put(reading, time):
            self.left_out[reason] += 1
        else:
            self.written += 1

    @abstractmethod
    def _put(self, reading: Reading, time: str) -> str:
        """Write it, or return why it cannot be."""

    def close(self) -> None:  # noqa: B027 - most forms just end
        """What ends the text."""


class CsvWriter(Writer):
    """RFC 4180, with a head; no cell can become a formula, no value is an empty cell."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._csv = csv.writer(out)
        self._csv.writerow(COLUMNS)

    def _put(self, reading: Reading, time: str) -> str:
        line = reading.line
        value = cell(reading.text) if reading.text is not None else plain(reading)
        head = (time, *map(cell, (line.gateway, line.device, line.point, line.asset_id)))
        self._csv.writerow((*head, value, cell(line.unit), describe(reading.quality)))
        return ""


class NdjsonWriter(Writer):
    """A JSON object a line, with the names of the CSV columns; a number has all its digits."""

    def _put(self, reading: Reading, time: str) -> str:
        line = reading.line
        before = json.dumps(
            {"time": time, "gateway": line.gateway, "device": line.device, "point": line.point,
             "asset_id": line.asset_id}
        )  # fmt: skip
        after = json.dumps({"unit": line.unit, "quality": describe(reading.quality)})
        self._out.write(f'{before[:-1]}, "value": {_json_value(reading)}, {after[1:]}\n')
        return ""


class SenmlWriter(Writer):
    """A SenML pack (RFC 8428, JSON), names as `lamppost:<gateway>/<device>/<point>`."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._base_s = 0
        out.write("[")

    def _put(self, reading: Reading, time: str) -> str:  # noqa: ARG002 - SenML counts seconds
        if reason := _unsayable(reading):
            return reason
        line = reading.line
        if not self.written:
            self._base_s = reading.ts_ms // 1000
            base = f'\n{{"bn": "lamppost:", "bt": {self._base_s}, '
        else:
            base = ",\n{"
        name = json.dumps(f"{line.gateway}/{line.device}/{line.point}")
        unit = f'"u": {json.dumps(line.unit)}, ' if line.unit else ""
        offset = Decimal(reading.ts_ms - 1000 * self._base_s) / 1000
        self._out.write(f'{base}"n": {name}, {unit}{_senml_value(reading)}, "t": {offset:f}}}')
        return ""

    def close(self) -> None:
        self._out.write("\n]\n" if self.written else "]\n")


WRITERS: dict[str, type[Writer]] = {"csv": CsvWriter, "ndjson": NdjsonWriter, "senml": SenmlWriter}


def moment(ts_ms: int) -> str:
    """RFC 3339, UTC, ms; empty when the year has no four digits."""
    try:
        return (EPOCH + timedelta(milliseconds=ts_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return ""


def plain(reading: Reading) -> str:
    """A value that is no text: all its digits; `true` or `false`; `nan`, `inf`, `-inf`; nothing for none."""
    if reading.exact is not None:
        return "nan" if reading.exact.startswith("nan") else reading.exact
    if reading.value is None:
        return ""
    if reading.line.type == "bool":
        return "true" if reading.value else "false"
    return repr(reading.value).removesuffix(".0")


def _json_value(reading: Reading) -> str:
    if reading.text is not None:
        return json.dumps(reading.text)
    found = plain(reading)
    return json.dumps(found) if found in NOT_FINITE else found or "null"


def _unsayable(reading: Reading) -> str:
    """Why SenML cannot say this sample: a record has a value, and counts as good."""
    if reading.value is None and reading.exact is None and reading.text is None:
        return "without a value"
    if quality_class(reading.quality) == BAD:
        return "of bad quality"
    return "not a finite number" if reading.text is None and plain(reading) in NOT_FINITE else ""


def _senml_value(reading: Reading) -> str:
    """The value field (RFC 8428, 4.2 and 4.3); data is base64 in the URL's alphabet without padding."""
    if reading.text is not None and reading.line.type == "bytes":
        return f'"vd": "{base64.urlsafe_b64encode(bytes.fromhex(reading.text)).decode().rstrip("=")}"'
    if reading.text is not None:
        return f'"vs": {json.dumps(reading.text)}'
    return f'"{"vb" if reading.line.type == "bool" and reading.exact is None else "v"}": {plain(reading)}'
