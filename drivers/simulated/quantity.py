"""Quantities as registers: what a simulated unit serves and how what it served reads back."""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from drivers.simulated.log import Served

_FORMATS = {"uint16": "H", "int16": "h", "uint32": "I", "uint64": "Q", "float32": "f"}

Source = Callable[[int], int | float]
"""The raw value of the n-th read; n grows by one with each read of the unit."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity at `address`; `digits` behind the point of its decimal; `low_first` puts the low register first."""

    point: str
    address: int
    type: str
    source: Source
    digits: int = 0
    low_first: bool = False
    bit: int | None = None
    bits: int = 1

    @property
    def count(self) -> int:
        """Registers (or coils) that it takes."""
        return 1 if self.type == "bool" else struct.calcsize(">" + _FORMATS[self.type]) // 2

    def registers(self, n: int) -> list[int]:
        """What it says at the n-th read."""
        data = struct.pack(">" + _FORMATS[self.type], self.source(n))
        words = [word for (word,) in struct.iter_unpack(">H", data)]
        return words[::-1] if self.low_first else words

    def value(self, registers: Sequence[int]) -> Served:
        """The value that these registers say, exactly."""
        words = registers[::-1] if self.low_first else registers
        if self.bit is not None:
            field = words[0] >> self.bit & (1 << self.bits) - 1
            return bool(field) if self.bits == 1 else field
        raw = struct.unpack(">" + _FORMATS[self.type], struct.pack(f">{len(words)}H", *words))[0]
        return Decimal(raw).scaleb(-self.digits) if self.digits else raw


def wave(middle: float, swing: float, period: int, phase: float = 0.0) -> Source:
    """A slow wave with a fine ripple on it, so that no two neighbours are equal."""

    def at(n: int) -> float:
        ripple = (n * 40503 + int(phase * 1000)) % 65536 / 65536  # 40503: odd, so 65536 reads in a row all differ
        return middle + swing * (0.9 * math.sin(2 * math.pi * n / period + phase) + 0.1 * ripple)

    return at


def count_up(start: int, step: int = 1) -> Source:
    """A counter."""
    return lambda n: start + step * n


def sweep(low: int, high: int) -> Source:
    """Whole numbers up and down between two bounds, a step each time."""
    span = high - low
    return lambda n: low + (n % (2 * span) if n % (2 * span) <= span else 2 * span - n % (2 * span))


def covered(quantities: Sequence[Quantity], address: int, count: int) -> Iterator[Quantity]:
    """The quantities that a read of these addresses holds as a whole."""
    return (q for q in quantities if address <= q.address and q.address + q.count <= address + count)
