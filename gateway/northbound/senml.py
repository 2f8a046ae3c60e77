"""SenML packs (RFC 8428), as JSON or CBOR: one or a few for each batch, each complete by itself."""

import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

import cbor2

from buffer.header import ClockState
from ext import Value
from gateway.keeping.formats import SenmlWriter, unsayable
from gateway.keeping.history import Sample
from gateway.northbound.form import MESSAGE_BYTES, Publish

BN, BT, N, U, V, VS, VB, T, VD = -2, -3, 0, 1, 2, 3, 4, 6, 8
"""CBOR labels (RFC 8428, table 4)."""
LABELS = {bool: VB, str: VS, bytes: VD}
RECORD_BYTES = 160
"""Of a record with the longest names, units and numbers; longer texts are counted on top."""


class SenmlForm:
    """Publishes on `<prefix>/senml`. It says no quality: what is bad or no number is left out, and counted."""

    topics: tuple[str, ...] = ()
    chained = False

    def __init__(self, prefix: str, gateway: str, encoding: Literal["json", "cbor"], utc_ms: Callable[[], int]) -> None:
        self._topic = f"{prefix}/senml"
        self._gateway = gateway
        self._utc_ms = utc_ms
        self._pack = _json_pack if encoding == "json" else _cbor_pack
        self.left_out: Counter[str] = Counter()

    def will(self) -> Publish | None:
        """Our own status."""
        return None

    def greeting(self) -> list[Publish]:
        """Nothing: a pack needs no introduction."""
        return []

    def convert(self, samples: Sequence[Sample]) -> list[Publish]:
        """Packs of at most `MESSAGE_BYTES` or so; without a clock, times are told relative to now (4.5.3)."""
        said, relative, now = [], [], self._utc_ms()
        for sample in samples:
            if reason := unsayable(sample):
                self.left_out[reason] += 1
            elif sample.clock == ClockState.UNSET.value:
                relative.append(replace(sample, utc_ms=(sample.utc_ms or 0) - now))
            else:
                said.append(sample)
        parts = [*_parts(said), *_parts(relative)]
        return [Publish(self._topic, self._pack(self._gateway, part)) for part in parts]

    def received(self, topic: str, payload: bytes) -> list[Publish]:  # noqa: ARG002 - nothing is asked of it
        """Nothing is subscribed to."""
        return []

    def farewell(self) -> list[Publish]:
        """Our own status says it."""
        return []


def _parts(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    part: list[Sample] = []
    size = 0
    for sample in samples:
        more = RECORD_BYTES + (len(sample.value) * 6 if isinstance(sample.value, str | bytes) else 0)
        if part and size + more > MESSAGE_BYTES:
            yield part
            part, size = [], 0
        part.append(sample)
        size += more
    if part:
        yield part


def _json_pack(gateway: str, samples: Sequence[Sample]) -> bytes:
    out = io.StringIO()
    writer = SenmlWriter(out, gateway)
    for sample in samples:
        writer.write(sample)
    writer.close()
    return out.getvalue().encode()


def _cbor_pack(gateway: str, samples: Sequence[Sample]) -> bytes:
    base_s = (samples[0].utc_ms or 0) // 1000
    records: list[dict[int, Any]] = []
    for sample in samples:
        record: dict[int, Any] = {} if records else {BN: f"lamppost:{gateway}/", BT: base_s}
        record[N] = sample.point
        if sample.unit:
            record[U] = sample.unit
        record[LABELS.get(type(sample.value), V)] = _plain(sample.value)
        ms = (sample.utc_ms or 0) - 1000 * base_s
        record[T] = ms // 1000 if ms % 1000 == 0 else ms / 1000
        records.append(record)
    return cbor2.dumps(records)


def _plain(value: Value) -> Value:
    """A decimal as the double that prints as it, which every reader takes; else as a decimal fraction (6)."""
    if not isinstance(value, Decimal):
        return value
    nearest = float(value)
    return nearest if math.isfinite(nearest) and Decimal(repr(nearest)) == value else value
