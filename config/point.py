"""A point: what it measures, how it is scaled, when it is reported, and what may be written to it."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from config.scalars import Deadband, Every, Flag, Id, Interval, Number, Sentinels, Unit
from config.units import DAY, DURATION_PATTERN, SECOND, duration_between

MAX_REVERT = 30 * DAY  # longer than any works on a street; beyond it nobody remembers what was written

RevertAfter = Annotated[
    int,
    BeforeValidator(duration_between(SECOND, MAX_REVERT)),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]


class Table(BaseModel):
    """A table of the configuration: frozen, and every unknown key an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    derived: ClassVar[frozenset[str]] = frozenset()
    """Fields that no file sets."""

    @classmethod
    def keys(cls) -> frozenset[str]:
        """The keys that a file may set."""
        return frozenset(cls.model_fields) - cls.derived


class Limits(Table):
    """Where values are plausible, in the unit of the point; one outside keeps its value and gets a worse quality."""

    min: Number | None = Field(default=None, description="Lowest plausible value.", examples=[-40])
    max: Number | None = Field(default=None, description="Highest plausible value.", examples=[85])

    @model_validator(mode="after")
    def _agree(self) -> "Limits":
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class Report(Table):
    """Which samples of a point are kept."""

    on: Literal["always", "change"] = Field(default="always", description="Every sample, or only changes.")
    deadband: Deadband = Field(
        default=Decimal(0), description="Smallest change that counts, in the unit of the point or percent.",
        examples=[0.5],
    )  # fmt: skip
    min_interval: Interval = Field(default=0, description="At most one sample in this time.", examples=["1s"])
    max_interval: Interval = Field(
        default=0, description="At least one fresh sample in this time, changed or not; 0s for never.", examples=["15m"]
    )

    @property
    def absolute(self) -> Decimal:
        """The deadband in the unit of the point, 0 where it is a percentage."""
        return Decimal(0) if isinstance(self.deadband, str) else self.deadband

    @property
    def percent(self) -> Decimal:
        """The deadband in percent of the value last reported, 0 where it is absolute."""
        return Decimal(self.deadband.removesuffix("%")) if isinstance(self.deadband, str) else Decimal(0)

    @model_validator(mode="after")
    def _agree(self) -> "Report":
        if self.on == "always" and self.deadband:
            raise ValueError('a deadband needs on = "change"')
        if self.on == "always" and self.max_interval:
            raise ValueError('max_interval needs on = "change"; without it every sample is kept')
        if 0 < self.max_interval < self.min_interval:
            raise ValueError("max_interval is shorter than min_interval")
        return self


class Writable(Table):
    """What may be written to a point, in its unit. A point without this table is never written."""

    min: Number = Field(description="Lowest value that may be written.", examples=[0])
    max: Number = Field(description="Highest value that may be written.", examples=[100])
    step: Number | None = Field(default=None, description="Values are this far apart, from min on.", examples=[5])
    revert_after: RevertAfter | None = Field(
        default=None, description="Back to safe_value after this time without a verified message.", examples=["1h"]
    )
    safe_value: Number | None = Field(default=None, description="The value that harms nobody.", examples=[100])

    @model_validator(mode="after")
    def _agree(self) -> "Writable":
        if self.min > self.max:
            raise ValueError("min is greater than max")
        if self.step is not None and (self.step <= 0 or self.step > self.max - self.min > 0):
            raise ValueError("step must be above 0 and at most max - min")
        if self.safe_value is not None and not self.min <= self.safe_value <= self.max:
            raise ValueError("safe_value must lie between min and max")
        if self.revert_after is not None and self.safe_value is None:
            raise ValueError("revert_after needs a safe_value to go back to")
        return self


class Point(Table):
    """One quantity of a device. `id` is `device/name`; `options` holds the driver's own keys as they were read."""

    derived = frozenset({"id", "name", "options"})

    id: str
    name: Id
    unit: Unit = Field(default="", description="SenML or UCUM unit.", examples=["Cel"])
    scale: Number = Field(default=Decimal(1), description="value = raw * scale + offset, exact.", examples=[0.1])
    offset: Number = Field(default=Decimal(0), description="Added after scaling.", examples=[-40])
    priority: Literal["critical", "normal", "bulk"] = Field(
        default="normal", description="critical is committed at once and sent first; bulk goes last."
    )
    report: Report = Field(default=Report(), description="Which samples are kept.", examples=[{"on": "change"}])
    sentinel: Sentinels = Field(
        default=(), description='Raw values that mean "no value".', examples=[[0x7FFF, 0x8000]]
    )  # fmt: skip
    limits: Limits | None = Field(default=None, description="Plausible values.", examples=[{"min": -40, "max": 85}])
    every: Every | None = Field(default=None, description="How often it is read; else as its device.", examples=["1s"])
    writable: Writable | None = Field(
        default=None, description="What may be written; absent: nothing.", examples=[{"min": 0, "max": 100}]
    )
    public: Flag = Field(default=False, description="Open data.")
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def scaling(self) -> tuple[int, int, int]:
        """(multiplier, addend, exponent): value = (raw * multiplier + addend) * 10**exponent, exact; exponent <= 0."""
        scale, offset = _integer(self.scale), _integer(self.offset)
        exponent = min(scale[1], offset[1], 0)
        return scale[0] * 10 ** (scale[1] - exponent), offset[0] * 10 ** (offset[1] - exponent), exponent

    @model_validator(mode="after")
    def _fits(self) -> "Point":
        if not self.scale:
            raise ValueError("scale must not be 0")
        if max(abs(part) for part in self.scaling[:2]) >= 2**63:
            raise ValueError("scale and offset together need more than 18 digits")
        return self


def _integer(number: Decimal) -> tuple[int, int]:
    """`number`, which `Number` has bounded, as (mantissa, exponent) with the shortest mantissa."""
    sign, digits, exponent = number.normalize().as_tuple()
    mantissa = int("".join(map(str, digits)))
    return (-mantissa if sign else mantissa), int(exponent)
