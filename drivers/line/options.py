"""What a configuration or profile says of a protocol of lines."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from drivers.base import Options
from drivers.line.formats import MAX_FIELDS, Columns, Format, Pairs, Pattern, template
from drivers.line.framing import Framing
from drivers.line.pattern import linear
from drivers.line.sums import line_sum

MAX_LINE = 1024  # bytes; the longest line of a published protocol (Linky's PJOURF+1) has 112
DEFAULT_LINE = 256
MAX_FORMATS = 64  # shapes of line of one device: Linky's standard mode has 77 labels, a device's points name some


class Shape(Options):
    """How lines look: one of `template`, `pattern` (several may be given) `columns` and `pairs`."""

    template: tuple[str, ...] = Field(default=(), max_length=MAX_FORMATS)
    pattern: tuple[str, ...] = Field(default=(), max_length=MAX_FORMATS)
    columns: tuple[str, ...] = Field(default=(), max_length=MAX_FIELDS)
    separator: str = Field(default=",", max_length=1)
    pairs: str = Field(default="", max_length=4)
    """What stands between key and value."""
    checksum: str = Field(default="none", max_length=40)
    checksum_mark: str = Field(default="", max_length=4, pattern="^[!-~]*$")

    @field_validator("template", "pattern", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if sum(map(bool, (self.template, self.pattern, self.columns, self.pairs))) != 1:
            raise ValueError("say how the lines look by one of template, pattern, columns and pairs")
        if self.columns and not self.separator:
            raise ValueError("columns need a separator of one character")
        line_sum(self.checksum, self.checksum_mark)
        self.formats()
        return self

    def formats(self, address: str = "") -> tuple[Format, ...]:
        """The shapes for the device at `address`; raises `ValueError`."""
        if self.columns:
            return (Columns(self.separator, self.columns),)
        if self.pairs:
            return (Pairs(self.separator, self.pairs),)
        if self.pattern:
            return tuple(Pattern(linear(one)) for one in self.pattern)
        return tuple(template(one, address) for one in self.template)


class Framed(Options):
    """Where lines begin and end."""

    terminators: str = Field(default="\r\n", min_length=1, max_length=8)
    """Each of these characters ends a line."""
    start: str = Field(default="", max_length=1)
    max_line: int = Field(default=DEFAULT_LINE, ge=1, le=MAX_LINE)
    encoding: Literal["ascii", "latin-1", "utf-8"] = "ascii"

    @model_validator(mode="after")
    def _single_bytes(self) -> Self:
        if not (self.terminators + self.start).isascii():
            raise ValueError("terminators and start are characters of ASCII")
        if self.start and self.start in self.terminators:
            raise ValueError("start cannot be one of the terminators")
        return self

    def framing(self, checksum: str = "none", mark: str = "") -> Framing:
        """The same for a framer."""
        ends, start = self.terminators.encode("ascii"), self.start.encode("ascii")
        return Framing(ends, start, self.max_line, self.encoding, line_sum(checksum, mark))


class LineDevice(Shape, Framed):
    """`[devices.x]`: a device that prints lines, or its profile."""

    address: str = Field(default="", max_length=32, pattern="^[!-~]*$")
    others: Literal["error", "ignore"] = "error"
    """What lines are that have none of the shapes."""
