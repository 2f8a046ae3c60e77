"""What a configuration or profile says of a protocol of frames."""

from typing import Annotated, Literal, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from drivers.base import Options
from drivers.checksums import named
from drivers.frame.framing import Check, Framing, Length, Order
from ext import Layout

MAX_FRAME = 1024  # bytes: four times the longest of the usual length fields of one byte
MAX_MARK = 8  # bytes of a start or an end


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise ValueError('must be bytes in hex, for example "42 4d"') from None


Hex = Annotated[bytes, BeforeValidator(_bytes)]


class LengthField(Options):
    """Where a frame says how long it is."""

    at: int = Field(ge=0, lt=MAX_FRAME)
    bytes: Literal[1, 2] = 1
    order: Order = "big"
    add: int = Field(default=0, ge=-MAX_FRAME, le=MAX_FRAME)


class ChecksumField(Options):
    """Which checksum, of the bytes `first` up to `end` without it; both count from the frame's end when below 0."""

    name: str
    first: int = Field(default=0, ge=-MAX_FRAME, le=MAX_FRAME)
    end: int = Field(ge=-MAX_FRAME, le=MAX_FRAME)
    at: int = Field(ge=-MAX_FRAME, le=MAX_FRAME)
    order: Order = "big"

    @model_validator(mode="after")
    def _known(self) -> Self:
        named(self.name)
        return self


class Escape(Options):
    """The byte that announces one that is changed, and by what it is changed (exclusive or)."""

    byte: Hex = Field(min_length=1, max_length=1)
    xor: Hex = Field(default=b"\0", min_length=1, max_length=1)


class Match(Options):
    """Bytes that stand at a place in the frames of this device, and in no others."""

    at: int = Field(ge=0, lt=MAX_FRAME)
    bytes: Hex = Field(min_length=1, max_length=MAX_MARK)


class FrameDevice(Options):
    """`[devices.x]`: a device that sends frames, or its profile."""

    start: Hex = Field(min_length=1, max_length=MAX_MARK)
    end: Hex = Field(default=b"", max_length=MAX_MARK)
    size: int | None = Field(default=None, ge=1, le=MAX_FRAME)
    length: LengthField | None = None
    max_size: int = Field(default=256, ge=1, le=MAX_FRAME)
    checksum: ChecksumField | None = None
    escape: Escape | None = None
    match: tuple[Match, ...] = Field(default=(), max_length=MAX_MARK)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.size is None) == (self.length is None):
            raise ValueError("give either size, or length for frames that say how long they are")
        if self.escape is not None and (len(self.start) != 1 or len(self.end) != 1):
            raise ValueError("escapes need a start and an end of one byte")
        return self

    def framing(self) -> Framing:
        """The same for a framer."""
        size: int | Length = cast("int", self.size)
        if self.length is not None:
            length = self.length
            size = Length(length.at, length.bytes, length.order, length.add)
        check = None
        if self.checksum is not None:
            one = self.checksum
            check = Check(named(one.name), one.first, one.end, one.at, one.order)
        longest = self.size or self.max_size
        escape = None if self.escape is None else self.escape.byte[0]
        xor = 0 if self.escape is None else self.escape.xor[0]
        return Framing(self.start, self.end, size, longest, check, escape, xor)


class FramePoint(Options):
    """`[devices.x.points.y]`: where a value lies in the frame, counted from its first byte."""

    byte: int = Field(ge=0, lt=MAX_FRAME)
    type: str = "uint16"
    order: str = ""
    shift: int = Field(default=0, ge=0, lt=64)
    bits: int = Field(default=0, ge=0, le=64)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.layout()
        return self

    def layout(self) -> Layout:
        """For the kernels; raises `ValueError`."""
        return Layout(self.byte, self.type, self.order, self.shift, self.bits)
