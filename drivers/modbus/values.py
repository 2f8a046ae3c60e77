"""Values that do not lie at a fixed place by themselves: texts, names of numbers, numbers that a register scales."""

from decimal import Decimal

from drivers.modbus.point import PointOptions
from drivers.modbus.raw import bits_at, number_of
from drivers.numbers import Scaling
from ext import BAD_ANSWER, GOOD, LIMITS, SENSOR_FAULT, SENTINEL, Value

MAX_EXPONENT = 10
"""SunSpec Device Information Model Specification 1.1, scale factors: -10 to 10."""
NO_EXPONENT = -0x8000
"""The same: "not implemented"."""

_PADDING = " \xff"  # blanks, and what erased memory says
_STRANGE = "\N{REPLACEMENT CHARACTER}"

Said = tuple[Value, int]
"""A value and its quality."""


def text(point: PointOptions, data: bytes) -> str:
    """A string up to its first NUL, without padding at its end; UTF-8 where it is that, else Latin-1.

    Characters that do not print are replaced: nothing a device says may steer a terminal.
    """
    if point.order == "BADC":
        data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
    if point.wide_chars:
        data = data[1::2]
    data = data.partition(b"\0")[0]
    try:
        found = data.decode("utf-8")
    except UnicodeDecodeError:
        found = data.decode("latin-1")
    return "".join(c if c.isprintable() else _STRANGE for c in found.rstrip(_PADDING))


def named(point: PointOptions, scaling: Scaling, payload: bytes, first: int) -> Said:
    """The name of a raw value; one without a name as its number, which is out of limits."""
    raw = _raw(point, scaling, payload, first)
    if not isinstance(raw, int):
        return None, SENTINEL if raw is None else SENSOR_FAULT
    name = (point.values or {}).get(raw)
    return (str(raw), LIMITS) if name is None else (name, GOOD)


def scaled(point: PointOptions, scaling: Scaling, payload: bytes, first: int, exponent: int | None) -> Said:
    """raw * 10**exponent, exactly, then the point's own scale and offset.

    `exponent` is what the scale register said, as int16; None when it has not been read.
    """
    if exponent is None:
        return None, BAD_ANSWER
    raw = _raw(point, scaling, payload, first)
    if raw is None or exponent == NO_EXPONENT:
        return None, SENTINEL
    if isinstance(raw, ValueError) or abs(exponent) > MAX_EXPONENT:
        return None, SENSOR_FAULT
    return Scaling(scaling.scale, scaling.offset).apply(Decimal(raw).scaleb(exponent))


def _raw(point: PointOptions, scaling: Scaling, payload: bytes, first: int) -> int | ValueError | None:
    """The raw number; None for a sentinel, the error where the bits say none."""
    layout = point.layout(first)
    bits = bits_at(layout, payload)
    size = layout.bits or 8 * layout.width
    if any(bits == sentinel & ((1 << size) - 1) for sentinel in scaling.sentinels):
        return None
    try:
        return int(number_of(layout, bits))
    except ValueError as error:
        return error
