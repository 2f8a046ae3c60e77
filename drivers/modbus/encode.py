"""A value becomes what is written: the inverse of reading, exact, pure.

APP is the Modbus Application Protocol Specification V1.1b3.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from drivers.errors import ValueRefused
from drivers.modbus.pdu import Table
from drivers.modbus.point import PointOptions
from drivers.modbus.raw import Raw, bits_of, mask, registers_of
from drivers.modbus.values import MAX_EXPONENT, text
from drivers.numbers import Scaling
from ext import Layout, Value

WRITE_COIL, WRITE_REGISTER = 5, 6  # APP 6.5, 6.6
WRITE_COILS, WRITE_REGISTERS = 15, 16  # APP 6.11, 6.12
MASK_WRITE = 22  # APP 6.16

MAX_WRITTEN = 123  # registers of one request: APP 6.12

_WHOLE = 0xFFFF
_MAX_POWER = 400  # of two and ten: beyond every double, and far below what takes long to compute


@dataclass(frozen=True, slots=True)
class Writing:
    """One request that writes: a coil (0 or 1), whole registers, or with `mask` those bits of one register."""

    function: int
    table: Table
    address: int
    values: tuple[int, ...]
    mask: int = _WHOLE

    @property
    def and_mask(self) -> int:
        """The bits that stay, as function 22 has it."""
        return _WHOLE & ~self.mask

    def merged(self, register: int) -> "Writing":
        """The same by function 6, where a device has no 22: of `register`, just read, the other bits stay."""
        return Writing(WRITE_REGISTER, self.table, self.address, (register & self.and_mask | self.values[0],))


def encode(
    point: PointOptions, scaling: Scaling, value: Value, *, exponent: int | None = None, multiple: bool = False
) -> Writing:
    """The request that makes `point` say `value`; raises `ValueRefused`.

    `exponent` is what the point's scale register says now. With `multiple` it is function 15 or 16 for one coil or
    register too: some devices have no 5 or 6.
    """
    if point.table not in (Table.COIL, Table.HOLDING):
        raise ValueRefused(f"{point.table}: only coils and holding registers can be written")
    if point.stored == "string":
        return _registers(point, _words(point, value), multiple=multiple)
    layout = point.layout(point.address)
    bits = _bits(layout, _raw(point, scaling, value, exponent))
    if any(bits == sentinel & mask(layout) for sentinel in scaling.sentinels):
        raise ValueRefused(f'{value!r} is written as {bits}, which means "no value"')
    if point.table is Table.COIL:
        return Writing(WRITE_COILS if multiple else WRITE_COIL, point.table, point.address, (bits,))
    if layout.type == "bool" or layout.bits or point.half:
        return _masked(point, layout, bits)
    return _registers(point, registers_of(layout, bits), multiple=multiple)


def _registers(point: PointOptions, words: tuple[int, ...], *, multiple: bool) -> Writing:
    if len(words) > MAX_WRITTEN:
        raise ValueRefused(f"{len(words)} registers cannot be written in one go, {MAX_WRITTEN} can")
    function = WRITE_REGISTERS if multiple or len(words) > 1 else WRITE_REGISTER
    return Writing(function, point.table, point.address, words)


def _masked(point: PointOptions, layout: Layout, bits: int) -> Writing:
    """Bits of one register, whose other bits stay."""
    if layout.width == 1:
        shift = (point.bit or 0) if layout.type == "bool" else 8 * (layout.offset == 0)
        ones = mask(layout) << shift
        return Writing(MASK_WRITE, point.table, point.address, (bits << shift,), ones)
    words = registers_of(layout, bits << layout.shift)
    touched = registers_of(layout, mask(layout) << layout.shift)
    (at, *more) = [place for place, ones in enumerate(touched) if ones]
    if more:
        raise ValueRefused("the bits lie in more than one register: they cannot be written in one go")
    return Writing(MASK_WRITE, point.table, point.address + at, (words[at],), touched[at])


def _bits(layout: Layout, raw: Raw) -> int:
    try:
        if layout.bits and not 0 <= raw <= mask(layout):
            raise ValueError(f"{raw} does not fit {layout.bits} bits")
        return int(raw) if layout.bits else bits_of(layout, raw)
    except ValueError as error:
        raise ValueRefused(str(error)) from error


def _raw(point: PointOptions, scaling: Scaling, value: Value, exponent: int | None) -> Raw:
    """The raw value that says `value`."""
    if point.values is not None:
        return _number_of_name(point.values, value)
    if point.stored == "bool":
        if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
            return bool(value)
        raise ValueRefused(f"{value!r} is neither true nor false")
    raw = (_exact(value) - Fraction(scaling.offset)) / Fraction(scaling.scale)
    if point.stored.startswith("float"):
        return _float(raw)
    if point.scale_register is not None:
        raw /= _power(exponent)
    if raw.denominator != 1:
        raise ValueRefused(f"{value!r} lies between two steps of the point's scale")
    return int(raw)


def _exact(value: Value) -> Fraction:
    """The number as it is written: a float 0.1 is a tenth."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueRefused(f"{value!r} is no number")
    if isinstance(value, int):
        if value.bit_length() > _MAX_POWER:
            raise ValueRefused("too large")
        return Fraction(value)
    exact = Decimal(repr(value)) if isinstance(value, float) else value
    _, digits, exponent = exact.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > _MAX_POWER or len(digits) > _MAX_POWER:
        raise ValueRefused(f"{value!r} is no number that can be written")
    return Fraction(exact)


def _float(raw: Fraction) -> float:
    try:
        return float(raw)
    except OverflowError as error:
        raise ValueRefused("too large for a float") from error


def _power(exponent: int | None) -> Fraction:
    if exponent is None or abs(exponent) > MAX_EXPONENT:
        raise ValueRefused(f"the scale register says {exponent}, which is no power of ten")
    return Fraction(10) ** exponent


def _number_of_name(names: dict[int, str], value: Value) -> int:
    for number, name in names.items():
        if name == value:
            return number
    raise ValueRefused(f"{value!r} is none of: {', '.join(names.values())}")


def _words(point: PointOptions, value: Value) -> tuple[int, ...]:
    """The registers of a string, filled up with NUL."""
    if not isinstance(value, str):
        raise ValueRefused(f"{value!r} is no text")
    size = point.count if point.wide_chars else 2 * point.count
    data = value.encode("utf-8", "replace")
    if len(data) > size:
        raise ValueRefused(f"{len(data)} bytes do not fit {size}")
    data = data.ljust(size, b"\0")
    if point.wide_chars:
        data = b"".join(bytes((0, char)) for char in data)
    words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    if point.order == "BADC":
        words = [word >> 8 | (word & 0xFF) << 8 for word in words]
    if text(point, b"".join(word.to_bytes(2, "big") for word in words)) != value:
        raise ValueRefused(f"{value!r} has characters that cannot be written")
    return tuple(words)
