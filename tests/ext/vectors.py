"""The vectors of docs/format.md, read as they stand."""

import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ext import Value

PAGE = Path(__file__).parents[2] / "docs" / "format.md"


@dataclass(frozen=True, slots=True)
class Vector:
    """Blocks, and the samples that they decode to."""

    name: str
    blocks: list[bytes]
    samples: list[tuple[int, int, Value, int]]


def exact(samples: list[tuple[int, int, Value, int]]) -> list[tuple[int, int, str, int]]:
    """Samples whose equality is that of type and bits: NaN payloads, -0.0 and a decimal's exponent count."""
    return [(number, time, _exact_value(value), quality) for number, time, value, quality in samples]


def _exact_value(value: Value) -> str:
    bits = struct.pack(">d", value).hex() if isinstance(value, float) else repr(value)
    return f"{type(value).__name__} {bits}"


def read_vectors() -> list[Vector]:
    """Every vector of the page."""
    found = re.findall(r"^```vector (\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [_vector(name, text.splitlines()) for name, text in found]


def _vector(name: str, lines: list[str]) -> Vector:
    blocks = [bytes.fromhex(line.removeprefix("block ")) for line in lines if line.startswith("block ")]
    return Vector(name, blocks, [_sample(line) for line in lines if not line.startswith("block ")])


def _sample(line: str) -> tuple[int, int, Value, int]:
    number, time, value, quality = line.split()
    return int(number), int(time), _value(value), int(quality)


def _value(text: str) -> Value:
    kind, _, content = text.partition(":")
    readers: dict[str, Callable[[str], Value]] = {
        "none": lambda _: None,
        "bool": lambda c: c == "true",
        "int": int,
        "decimal": Decimal,
        "float": lambda c: struct.unpack(">d", bytes.fromhex(c))[0],
        "text": json.loads,
        "bytes": bytes.fromhex,
    }
    return readers[kind](content)
