"""A recording of the corpora, and how it is packed."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from ext import BAD, Layout, ScanPlan, Series, Value

DIGITS = 6  # decimals tried for a register
NO_READING = -(1 << 63)  # what a register says where the recording has no value

Sample = tuple[int, int, Value, int]
Row = tuple[Series, int, Value, int]
Scan = tuple[ScanPlan, bytes, int]
Step = Scan | list[Row]


@dataclass(frozen=True, slots=True)
class Run:
    """Scans one after the other, then single values."""

    scans: list[Scan]
    rows: list[Row]


Block = list[Run]


@dataclass(frozen=True, slots=True)
class Register:
    """How a series stands in a payload: struct code, and the point."""

    code: str
    digits: int
    series: Series

    def raw(self, value: Value) -> int | float:
        """The number that the device would have sent."""
        if self.code == "d":
            assert isinstance(value, float)
            return value
        return NO_READING if value is None else round(float(value) * 10**self.digits) if self.digits else int(value)


def load(path: Path) -> list[Sample]:
    """The recording in order of arrival; a sample without value is None."""
    data = import_module("numpy").load(path)
    columns = (data[name].tolist() for name in ("series", "ts_ms", "is_int", "int_value", "float_value", "quality"))
    return [
        (series, ts, None if value != value and quality == BAD else integer if is_int else value, quality)
        for series, ts, is_int, integer, value, quality in zip(*columns, strict=True)
    ]


def registers(samples: Sequence[Sample]) -> dict[int, Register]:
    """For each series the register that holds all its values exactly."""
    values: dict[int, list[Value]] = {}
    for number, _, value, _ in samples:
        values.setdefault(number, []).append(value)
    return {number: _register(number, [v for v in each if v is not None]) for number, each in values.items()}


def _register(number: int, values: Sequence[Any]) -> Register:
    for digits in range(DIGITS + 1):
        if all(abs(v) < 2**53 / 10**digits and round(v * 10**digits) / 10**digits == v for v in values):
            return Register("q", digits, Series(number, exponent=-digits, sentinels=[NO_READING]))
    return Register("d", 0, Series(number))


def steps(samples: Sequence[Sample], known: dict[int, Register]) -> Iterator[tuple[int, Step]]:
    """How the recording is packed by scans, and the samples of each step: a scan where those of one time can be one."""
    plans: dict[tuple[int, ...], ScanPlan] = {}
    for ts, equal in groupby(samples, itemgetter(1)):
        group = list(equal)
        numbers = tuple(map(itemgetter(0), group))
        codes = "".join(known[number].code for number in numbers)
        missing = any(value is None and known[number].code == "d" for number, _, value, _ in group)
        if missing or any(quality and value is not None for _, _, value, quality in group):
            yield len(group), rows(group, known)
            continue
        if numbers not in plans:
            layout = {"q": "int64", "d": "float64"}
            fields = [(Layout(8 * i, layout[known[n].code]), known[n].series) for i, n in enumerate(numbers)]
            plans[numbers] = ScanPlan(fields)
        payload = struct.pack(">" + codes, *(known[number].raw(value) for number, _, value, _ in group))
        yield len(group), (plans[numbers], payload, ts)


def rows(samples: Sequence[Sample], known: dict[int, Register]) -> list[Row]:
    """The samples as `Packer.extend` takes them."""
    return [(known[number].series, ts, value, quality) for number, ts, value, quality in samples]


def runs(steps: Iterable[tuple[int, Step]], batch: int, every: int) -> list[list[Block]]:
    """What each block of each batch holds: a commit at least every `every` samples, nothing reordered."""
    batches: list[list[Block]] = [[[]]]
    packed = pending = 0
    for count, step in steps:
        if packed and packed + count > batch:
            batches.append([[]])
            packed = pending = 0
        elif pending + count > every:
            batches[-1].append([])
            pending = 0
        _add(batches[-1][-1], step)
        packed += count
        pending += count
    return batches


def _add(block: Block, step: Step) -> None:
    """One more step of a block; scans behind single values begin another run."""
    if not block or (isinstance(step, tuple) and block[-1].rows):
        block.append(Run([], []))
    if isinstance(step, tuple):
        block[-1].scans.append(step)
    else:
        block[-1].rows.extend(step)
