from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from ext.value import Value

Exact: TypeAlias = int | Decimal | Fraction

class Series:
    def __init__(
        self,
        number: int,
        *,
        multiplier: int = 1,
        addend: int = 0,
        exponent: int = 0,
        sentinels: Sequence[int] = (),
        minimum: float | None = None,
        maximum: float | None = None,
        on_change: bool = False,
        deadband: float = 0.0,
        deadband_percent: float = 0.0,
        min_interval: int = 0,
        max_interval: int = 0,
        counter: tuple[Exact | None, Exact | None] | None = None,
        window: int = 0,
        aggregates: Sequence[Series | None] = (),
    ) -> None: ...
    @property
    def number(self) -> int: ...
    @property
    def windowed(self) -> bool: ...
    @property
    def last(self) -> tuple[int, Value, int] | None: ...
