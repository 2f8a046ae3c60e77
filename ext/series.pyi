from collections.abc import Sequence

from ext.value import Value

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
    ) -> None: ...
    @property
    def number(self) -> int: ...
    @property
    def last(self) -> tuple[int, Value, int] | None: ...
