"""A point: what it measures, how it is scaled, and when it is reported."""

from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from pydantic import Field, model_validator

from config.scalars import Deadband, Every, Flag, Id, Interval, Number, Rollover, Sentinels, Unit, WindowLength
from config.table import Table
from config.writable import Writable


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


class Counter(Table):
    """What a counter (energy, volume, pulses) may say next; an implausible value is kept with a worse quality."""

    rollover: Rollover | None = Field(
        default=None,
        description="Where it starts again at 0, in the unit of the point, or the register that runs over.",
        examples=["uint16"],
    )
    max_step: Number | None = Field(
        default=None, description="Most that it plausibly grows from one sample to the next.", examples=[10]
    )

    @model_validator(mode="after")
    def _agree(self) -> "Counter":
        if self.max_step is not None and self.max_step <= 0:
            raise ValueError("max_step must be above 0")
        return self


Aggregate = Literal["min", "mean", "max", "count"]


class Report(Table):
    """Which samples of a point are kept, or what is kept instead of them."""

    on: Literal["always", "change", "window"] = Field(
        default="always", description="Every sample, only changes, or what each window comes to."
    )
    window: WindowLength | None = Field(
        default=None, description='With "window": how long one is, on a fixed grid.', examples=["1m"]
    )
    keep: tuple[Aggregate, ...] = Field(
        default=("min", "mean", "max", "count"), description='With "window": what is kept of it.', examples=[["mean"]]
    )
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
        self._check_window()
        if self.on != "change" and self.deadband:
            raise ValueError('a deadband needs on = "change"')
        if self.on != "change" and self.max_interval:
            raise ValueError('max_interval needs on = "change"; without it every sample is kept')
        if 0 < self.max_interval < self.min_interval:
            raise ValueError("max_interval is shorter than min_interval")
        return self

    def _check_window(self) -> None:
        if self.on != "window":
            if self.window is not None or "keep" in self.model_fields_set:
                raise ValueError('window and keep need on = "window"')
            return
        if self.window is None:
            raise ValueError('on = "window" needs its length, for example window = "1m"')
        if not self.keep or len(set(self.keep)) < len(self.keep):
            raise ValueError("keep must name at least one of min, mean, max and count, each once")
        if self.deadband or self.min_interval or self.max_interval:
            raise ValueError('deadband, min_interval and max_interval are for samples; on = "window" keeps none')


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
    counter: Counter | None = Field(
        default=None, description="It counts upwards, and is checked for that.", examples=[{"rollover": "uint16"}]
    )
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

    @property
    def rollover(self) -> Fraction | None:
        """Where a counter starts again, in the unit of the point; None where it does not."""
        value = None if self.counter is None else self.counter.rollover
        if isinstance(value, str):
            return (1 << int(value.removeprefix("uint"))) * Fraction(self.scale)
        return None if value is None else Fraction(value)

    @model_validator(mode="after")
    def _fits(self) -> "Point":
        if not self.scale:
            raise ValueError("scale must not be 0")
        self._check_counter()
        if max(abs(part) for part in self.scaling[:2]) >= 2**63:
            raise ValueError("scale and offset together need more than 18 digits")
        return self

    def _check_counter(self) -> None:
        if self.counter is None:
            return
        if self.scale < 0:
            raise ValueError("a counter needs a scale above 0: it counts upwards")
        if self.rollover is not None and self.counter.max_step is not None and self.counter.max_step >= self.rollover:
            raise ValueError("max_step of a counter must be below its rollover")


def _integer(number: Decimal) -> tuple[int, int]:
    """`number`, which `Number` has bounded, as (mantissa, exponent) with the shortest mantissa."""
    sign, digits, exponent = number.normalize().as_tuple()
    mantissa = int("".join(map(str, digits)))
    return (-mantissa if sign else mantissa), int(exponent)
