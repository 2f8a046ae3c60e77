"""A recording of the corpora, and the steps that pack it."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from ext import BAD, Layout, Packer, ScanPlan, Series, Value

DIGITS = 6  # decimals tried for a register
NO_READING = -(1 << 63)  # what a register says where the recording has no value

Sample = tuple[int, int, Value, int]
Step = Callable[[Packer], object]


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


def scans(samples: Sequence[Sample], known: dict[int, Register]) -> Iterator[tuple[int, Step]]:
    """The steps that pack the samples, and how many each packs: a scan where the samples of one time can be one."""
    plans: dict[tuple[int, ...], ScanPlan] = {}
    for ts, equal in groupby(samples, itemgetter(1)):
        group = list(equal)
        numbers = tuple(map(itemgetter(0), group))
        codes = "".join(known[number].code for number in numbers)
        missing = any(value is None and known[number].code == "d" for number, _, value, _ in group)
        if missing or any(quality and value is not None for _, _, value, quality in group):
            yield len(group), one_by_one(group, known)
            continue
        if numbers not in plans:
            layout = {"q": "int64", "d": "float64"}
            fields = [(Layout(8 * i, layout[known[n].code]), known[n].series) for i, n in enumerate(numbers)]
            plans[numbers] = ScanPlan(fields)
        payload = struct.pack(">" + codes, *(known[number].raw(value) for number, _, value, _ in group))
        yield len(group), _scan(plans[numbers], payload, ts)


def one_by_one(group: list[Sample], known: dict[int, Register]) -> Step:
    def step(packer: Packer) -> None:
        for number, ts, value, quality in group:
            packer.append(known[number].series, ts, value, quality)

    return step


def _scan(plan: ScanPlan, payload: bytes, ts: int) -> Step:
    return lambda packer: packer.append_scan(plan, payload, ts)
