"""What may be written to a point: the gateway's own last word, whoever signs the command."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, model_validator

from config.scalars import ID_PATTERN, Number, number, plain_text
from config.table import Table
from config.units import DAY, DURATION_PATTERN, SECOND, duration_between, format_duration, parse_duration

MAX_REVERT = 30 * DAY  # longer than any works on a street; beyond it nobody remembers what was written
MAX_ALLOWED = 64  # values of a mode register; more of them have a range
MAX_REQUIRES = 8  # conditions of one point
MAX_PER_RATE = 10_000  # writes of one rate; more is no limit
MAX_RATE_MS = 7 * DAY

_ID = ID_PATTERN.strip("^$")
_RATE = re.compile(r"([0-9]{1,5})/([0-9]{1,9}(?:ms|s|m|h|d))")
_CONDITION = re.compile(rf"({_ID}/{_ID}) *(==|!=|<=|>=|<|>) *(true|false|-?[0-9]{{1,18}}(?:\.[0-9]{{1,18}})?)")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` writes in any `ms`."""

    count: int
    ms: int

    def __str__(self) -> str:
        return f"{self.count}/{format_duration(self.ms)}"


@dataclass(frozen=True, slots=True)
class Condition:
    """An interlock: `point` (full id), as it is read now, compares so with `value`."""

    point: str
    operator: str
    value: Decimal | bool

    def holds(self, found: Decimal | bool) -> bool:
        """Whether `found` fulfils it; true and false are 1 and 0."""
        have, want = Decimal(found), Decimal(self.value)
        return {
            "==": have == want, "!=": have != want, "<": have < want,
            "<=": have <= want, ">": have > want, ">=": have >= want,
        }[self.operator]  # fmt: skip

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else f"{self.value:f}"
        return f"{self.point} {self.operator} {value}"


def _rate(value: object) -> Rate:
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a number of writes in a time, for example "6/1h"')
    count, ms = int(match[1]), parse_duration(match[2])
    if not 1 <= count <= MAX_PER_RATE or not SECOND <= ms <= MAX_RATE_MS:
        raise ValueError(f"must be 1 to {MAX_PER_RATE} writes in 1s to 7d")
    return Rate(count, ms)


def _condition(text: object) -> Condition:
    match = _CONDITION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('must be conditions such as "pump/enabled == 1" with ==, !=, <, <=, > or >=')
    value = match[3] == "true" if match[3] in ("true", "false") else Decimal(match[3])
    return Condition(match[1], match[2], value)


def _conditions(value: object, info: ValidationInfo) -> tuple[Condition, ...]:  # noqa: ARG001 - pydantic's signature
    found = value if isinstance(value, list | tuple) else [value]
    if len(found) > MAX_REQUIRES:
        raise ValueError(f"must be at most {MAX_REQUIRES} conditions")
    return tuple(one if isinstance(one, Condition) else _condition(one) for one in found)


def _allowed(value: object) -> tuple[Decimal, ...] | tuple[str, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_ALLOWED:
        raise ValueError(f"must be a list of 1 to {MAX_ALLOWED} numbers, or of as many names")
    if all(isinstance(one, str) for one in value):
        return tuple(plain_text(one) for one in value)
    return tuple(number(one) for one in value)


def _number_or_name(value: object) -> Decimal | str:
    return plain_text(value) if isinstance(value, str) else number(value)


RevertAfter = Annotated[
    int,
    BeforeValidator(duration_between(SECOND, MAX_REVERT)),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
MaxRate = Annotated[
    Rate, BeforeValidator(_rate), WithJsonSchema({"type": "string", "pattern": "^[0-9]+/[0-9]+(ms|s|m|h|d)$"})
]
_TEXT = {"type": "string"}
Requires = Annotated[
    tuple[Condition, ...],
    BeforeValidator(_conditions),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}),
]
Allowed = Annotated[
    tuple[Decimal, ...] | tuple[str, ...],
    BeforeValidator(_allowed),
    WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "string"}]}}),
]
NumberOrName = Annotated[
    Decimal | str,
    BeforeValidator(_number_or_name),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]}),
]


class Writable(Table):
    """What may be written to a point, in its unit. A point without this table is never written."""

    kind: Literal["value", "pulse"] = Field(
        default="value", description='"pulse": each write does something (a reset, a step); never written twice.'
    )
    min: Number | None = Field(default=None, description="Lowest value that may be written.", examples=[0])
    max: Number | None = Field(default=None, description="Highest value that may be written.", examples=[100])
    step: Number | None = Field(default=None, description="Values are this far apart, from min on.", examples=[5])
    allowed: Allowed = Field(
        default=(), description="The only values, or names of values, that may be written.", examples=[[0, 1, 4]]
    )
    tolerance: Number = Field(
        default=Decimal(0), description="How far the value read back may lie beside the one written.", examples=[0.5]
    )
    max_rate: MaxRate | None = Field(default=None, description="At most so many writes in a time.", examples=["6/1h"])
    requires: Requires = Field(
        default=(), description="What must hold, on a fresh good read, for a write.", examples=["pump/enabled == 1"]
    )
    revert_after: RevertAfter | None = Field(
        default=None, description="Back to safe_value after this time without a verified message.", examples=["1h"]
    )
    safe_value: NumberOrName | None = Field(default=None, description="The value that harms nobody.", examples=[100])
    unset_value: NumberOrName | None = Field(
        default=None, description="What a schedule's point gets while nobody has told the time.", examples=[100]
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The names that may be written, where values have names."""
        return tuple(one for one in self.allowed if isinstance(one, str))

    def fault(self, value: Decimal | bool | str) -> str:
        """What is wrong with writing `value`; "" when nothing is."""
        if self.names:
            return "" if value in self.names else f"{_show(value)} is not one of {', '.join(self.names)}"
        if isinstance(value, str):
            return f"{value!r} is a text, and its values have no names: allowed lists none"
        exact = Decimal(value)
        if self.allowed and exact not in self.allowed:
            return f"{exact:f} is not one of {', '.join(map(_show, self.allowed))}"
        if self.min is not None and exact < self.min:
            return f"{exact:f} is below {self.min:f}"
        if self.max is not None and exact > self.max:
            return f"{exact:f} is above {self.max:f}"
        if self.step is not None and self.min is not None and (exact - self.min) % self.step:
            return f"{exact:f} is no multiple of {self.step:f} from {self.min:f} on"
        return ""

    @model_validator(mode="after")
    def _agree(self) -> "Writable":
        if not self.allowed and (self.min is None or self.max is None):
            raise ValueError("give min and max, or allowed")
        if self.names and (self.min is not None or self.max is not None):
            raise ValueError("names have no min and max")
        self._check_range()
        if self.tolerance < 0:
            raise ValueError("tolerance must not be negative")
        for key, value in (("safe_value", self.safe_value), ("unset_value", self.unset_value)):
            if value is not None and (wrong := self.fault(value)):
                raise ValueError(f"{key} {wrong}")
        if self.revert_after is not None and self.safe_value is None:
            raise ValueError("revert_after needs a safe_value to go back to")
        if self.kind == "pulse" and self.revert_after is not None:
            raise ValueError("a pulse leaves nothing to go back from: no revert_after")
        if self.kind == "pulse" and self.unset_value is not None:
            raise ValueError("a schedule writes no pulses: no unset_value")
        return self

    def _check_range(self) -> None:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        if self.step is None:
            return
        if self.min is None or self.max is None:
            raise ValueError("step needs min and max")
        if self.step <= 0 or self.step > self.max - self.min > 0:
            raise ValueError("step must be above 0 and at most max - min")


def _show(value: Decimal | bool | str) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
