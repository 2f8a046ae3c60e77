"""Raw numbers in the bytes of registers, both ways: what the scan plan does in C, for the few points beside it."""

import struct

from ext import Layout

Raw = bool | int | float

_WORD = 10_000  # of which the words of M10K are digits


def bits_at(layout: Layout, payload: bytes) -> int:
    """The bits that `layout` names, as they stand."""
    places = layout.positions()
    data = bytearray(layout.width)
    for at, place in enumerate(places):
        data[place] = payload[layout.offset + at]
    bits = int.from_bytes(data, "big") >> layout.shift
    return bits & mask(layout)


def mask(layout: Layout) -> int:
    """As many ones as the field has bits."""
    return (1 << (1 if layout.type == "bool" else layout.bits or 8 * layout.width)) - 1


def number_of(layout: Layout, bits: int) -> Raw:
    """What the bits say; raises `ValueError` where no number is written so."""
    size = 8 * layout.width
    if layout.type == "bool":
        return bits != 0
    if layout.type.startswith("float"):
        value: float = struct.unpack(">f" if size == 32 else ">d", bits.to_bytes(layout.width, "big"))[0]
        return value
    if layout.coding:
        return _decoded(layout, bits)
    signed = layout.type.startswith("int") and not layout.bits
    return bits - (1 << size) if signed and bits >> (size - 1) else bits


def bits_of(layout: Layout, number: Raw) -> int:
    """The bits that say `number`; raises `ValueError` where none do."""
    size = 8 * layout.width
    if layout.type == "bool":
        return int(bool(number))
    if layout.type.startswith("float"):
        return _float_bits(layout, float(number))
    number = int(number)
    bits = _coded(layout, number) if layout.coding else number & mask(layout)
    if bits >> size or number_of(layout, bits) != number:
        raise ValueError(f"{number} does not fit {layout.type}")
    return bits


def says(layout: Layout, number: int) -> bool:
    """Whether there are bits that say `number`."""
    if layout.type == "bool" or layout.bits:
        return 0 <= number <= mask(layout)
    try:
        bits_of(layout, number)
    except ValueError:
        return False
    return True


def registers_of(layout: Layout, bits: int) -> tuple[int, ...]:
    """The registers of a whole number: no field of bits, nor half a register."""
    data = bits.to_bytes(layout.width, "big")
    placed = bytes(data[place] for place in layout.positions())
    return struct.unpack(f">{len(placed) // 2}H", placed)


def _float_bits(layout: Layout, number: float) -> int:
    try:
        return int.from_bytes(struct.pack(">f" if layout.width == 4 else ">d", number), "big")
    except OverflowError as error:
        raise ValueError(f"{number} does not fit {layout.type}") from error


def _decoded(layout: Layout, bits: int) -> int:
    size, name = 8 * layout.width, layout.coding
    if name == "sm":
        sign = 1 << (size - 1)
        return sign - bits if bits & sign else bits
    if name == "bcd":
        return int(f"{bits:x}")  # raises for the digits a..f
    value = 0
    for shift in range(size - 16, -1, -16):
        word = bits >> shift & 0xFFFF
        if name == "sm10k" and word & 0x8000:
            word -= 1 << 16
        if abs(word) >= _WORD:
            raise ValueError(f"{word} is no digit of a number of words below {_WORD}")
        value = value * _WORD + word
    return value


def _coded(layout: Layout, number: int) -> int:
    """The bits; some that say another number where `number` does not fit."""
    size, name, low = 8 * layout.width, layout.coding, abs(number)
    if name == "bcd":
        return int(str(low), 16)
    if name == "sm":
        return low | (number < 0) << (size - 1)
    bits = 0
    for shift in range(0, size, 16):
        low, word = divmod(low, _WORD)
        bits |= (word if number >= 0 else -word & 0xFFFF) << shift
    return bits
