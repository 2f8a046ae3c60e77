"""Integers that are written in other ways than binary: their kernels against plain arithmetic, and manuals."""

import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext import BAD, BAD_ANSWER, LIMITS, SENSOR_FAULT, SENTINEL, Layout, Packer, ScanPlan, Series, Value, unpack

ORDERS = st.sampled_from(["", "ABCD", "CDAB", "BADC", "DCBA"])


def read(layout: Layout, payload: bytes, quality: int = 0, **series: Any) -> tuple[Value, int]:
    """Value and quality of one point, by the packer and the unpacker."""
    packer, point = Packer(), Series(1, **series)
    assert packer.append_scan(ScanPlan([(layout, point)]), payload, 7, quality) == 1
    ((_, _, value, judged),) = unpack([packer.commit()])
    assert point.last == (7, value, judged)
    return value, judged


def ordered(registers: bytes, order: str) -> bytes:
    """Big-endian bytes as a device with this order sends them."""
    words = [registers[at : at + 2] for at in range(0, len(registers), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    return b"".join(word[::-1] if order in ("BADC", "DCBA") else word for word in words)


@given(st.integers(-(2**47), 2**47 - 1), ORDERS, st.integers(0, 5))
def test_integers_of_three_registers(value: int, order: str, offset: int) -> None:
    payload = bytes(offset) + ordered(value.to_bytes(6, "big", signed=True), order) + b"\xff"
    assert read(Layout(offset, "int48", order), payload) == (value, 0)
    assert read(Layout(offset, "uint48", order), payload) == (value % (1 << 48), 0)


@given(st.data(), st.sampled_from([1, 2, 3, 4]), ORDERS)
def test_bcd_is_the_number_that_its_hex_digits_spell(data: st.DataObject, words: int, order: str) -> None:
    digits = data.draw(st.text("0123456789", min_size=4 * words, max_size=4 * words))
    assert read(Layout(0, f"bcd{16 * words}", order), ordered(bytes.fromhex(digits), order)) == (int(digits), 0)


@given(st.data(), st.sampled_from([1, 2, 3, 4]))
def test_a_digit_beyond_nine_is_a_fault_and_no_value(data: st.DataObject, words: int) -> None:
    digits = data.draw(st.text("0123456789abcdef", min_size=4 * words, max_size=4 * words))
    expected = (int(digits), 0) if digits.isdigit() else (None, SENSOR_FAULT)
    assert read(Layout(0, f"bcd{16 * words}"), bytes.fromhex(digits)) == expected


@given(st.data(), st.sampled_from([2, 3, 4]), ORDERS, st.booleans())
def test_words_of_ten_thousand(data: st.DataObject, count: int, order: str, signed: bool) -> None:
    near = st.integers(-10_001, 10_001) if signed else st.integers(0, 10_001)
    words = data.draw(st.lists(near | st.integers(-(2**15), 2**15 - 1), min_size=count, max_size=count))
    kind = f"{'sm10k' if signed else 'm10k'}{16 * count}"
    payload = ordered(struct.pack(f">{count}h", *words), order)
    if all((-9999 if signed else 0) <= word <= 9999 for word in words):
        value = sum(word * 10_000**power for power, word in enumerate(reversed(words)))
        assert read(Layout(0, kind, order), payload) == (value, 0)
    else:
        assert read(Layout(0, kind, order), payload) == (None, SENSOR_FAULT)


@given(st.sampled_from([16, 32]), st.booleans(), st.data())
def test_a_sign_above_a_magnitude(bits: int, negative: bool, data: st.DataObject) -> None:
    magnitude = data.draw(st.integers(0, 2 ** (bits - 1) - 1))
    payload = (magnitude | negative << (bits - 1)).to_bytes(bits // 8, "big")
    assert read(Layout(0, f"sm{bits}"), payload) == (-magnitude if negative else magnitude, 0)


@pytest.mark.parametrize(
    ("kind", "order", "registers", "value"),
    [
        # Schneider Electric, FAQ FA146443 (PM800, registers 1700 to 1703, the lowest first): 1,234,567 Wh
        ("m10k64", "CDAB", [4567, 123, 0, 0], 1_234_567),
        # The most that its formula gives
        ("m10k64", "CDAB", [9999, 9999, 9999, 9999], 9_999_999_999_999_999),
        # Schneider Electric, PowerLogic: 48-bit signed, registers of -9,999 to 9,999, R3*10,000^2 + R2*10,000 + R1
        ("sm10k48", "CDAB", [0xFFFF, 0xD8F1, 0], -99_990_001),
    ],
)
def test_numbers_of_manuals(kind: str, order: str, registers: list[int], value: int) -> None:
    assert read(Layout(0, kind, order), struct.pack(f">{len(registers)}H", *registers)) == (value, 0)


def test_scales_limits_and_sentinels_apply_to_coded_numbers() -> None:
    layout = Layout(0, "bcd16")
    assert read(layout, b"\x23\x01", exponent=-1) == (Decimal("230.1"), 0)
    assert read(layout, b"\x23\x01", exponent=-1, maximum=230) == (Decimal("230.1"), LIMITS)
    assert read(layout, b"\xff\xff", sentinels=[0xFFFF]) == (None, SENTINEL)  # the bits, which spell no number
    assert read(layout, b"\xff\xff", sentinels=[0xFFFE]) == (None, SENSOR_FAULT)
    assert read(layout, b"\x00\x1a", quality=BAD_ANSWER) == (None, BAD_ANSWER)
    assert read(layout, b"\x00\x1a", quality=BAD) == (None, BAD)


@pytest.mark.parametrize("kind", ["bcd16", "m10k32", "sm10k64", "sm32"])
def test_coded_numbers_have_no_bit_fields(kind: str) -> None:
    with pytest.raises(ValueError, match=f"{kind} has no bit field"):
        Layout(0, kind, bits=4)
