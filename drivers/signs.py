"""What a bus shows beside its answers, for who looks for what is wrong with it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Signs:
    """`echo`: whether the line gives back what is sent, None where that is not known.

    `followed`: for each device the part (0 to 1) of its last answers that more bytes followed, as of a second device.
    """

    echo: bool | None = None
    followed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where a silent device may be by mistake: `ask` returns when something answers, and raises as a read does."""

    kind: Literal["address", "baud"]
    value: int
    ask: Callable[[], Awaitable[object]]
