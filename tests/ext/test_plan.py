"""Layouts, plans and series: what is read from where, and what makes no sense."""

import struct
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext import BAD, LIMITS, MAX_PAYLOAD, SENSOR_FAULT, SENTINEL, STALE, Layout, Packer, ScanPlan, Series, Value, unpack


def read(layout: Layout, payload: bytes, **series: Any) -> tuple[Value, int]:
    """Value and quality of one point, by the packer and the unpacker."""
    packer, point = Packer(), Series(1, **series)
    assert packer.append_scan(ScanPlan([(layout, point)]), payload, 7) == 1
    ((number, time, value, quality),) = unpack([packer.commit()])
    assert (number, time) == (1, 7)
    assert repr(point.last) == repr((7, value, quality))
    return value, quality


# Modbus leaves the order of registers open; the four that devices use, on the value 0x01020304 and 0x0102030405060708.
ORDERS = [
    ("uint16", "", "0102", 0x0102),
    ("uint16", "BA", "0201", 0x0102),
    ("uint16", "DCBA", "0201", 0x0102),
    ("uint16", "BADC", "0201", 0x0102),
    ("uint16", "CDAB", "0102", 0x0102),
    ("uint24", "CBA", "030201", 0x010203),
    ("uint32", "ABCD", "01020304", 0x01020304),
    ("uint32", "CDAB", "03040102", 0x01020304),
    ("uint32", "BADC", "02010403", 0x01020304),
    ("uint32", "DCBA", "04030201", 0x01020304),
    ("uint64", "ABCDEFGH", "0102030405060708", 0x0102030405060708),
    ("uint64", "GHEFCDAB", "0708050603040102", 0x0102030405060708),
    ("uint64", "CDAB", "0708050603040102", 0x0102030405060708),
    ("uint64", "BADC", "0201040306050807", 0x0102030405060708),
    ("uint64", "DCBA", "0807060504030201", 0x0102030405060708),
]


@pytest.mark.parametrize(("kind", "order", "data", "value"), ORDERS)
def test_orders(kind: str, order: str, data: str, value: int) -> None:
    assert read(Layout(0, kind, order), bytes.fromhex(data)) == (value, 0)


@pytest.mark.parametrize("order", ["".join(letters) for letters in permutations("ABCD")])
def test_every_order_of_four_bytes(order: str) -> None:
    payload = bytes("ABCD".index(letter) + 1 for letter in order)
    assert read(Layout(0, "uint32", order), payload) == (0x01020304, 0)


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from([8, 16, 24, 32, 64]), st.integers(0, 9))
def test_integers_of_every_width(value: int, bits: int, offset: int) -> None:
    value >>= 64 - bits
    payload = bytes(offset) + value.to_bytes(bits // 8, "big", signed=True) + b"\xff"
    assert read(Layout(offset, f"int{bits}"), payload) == (value, 0)
    assert read(Layout(offset, f"uint{bits}"), payload) == (value % (1 << bits), 0)


@pytest.mark.parametrize("kind", ["uint16", "int16", "uint64", "int64", "int24"])
def test_bit_fields_are_unsigned(kind: str) -> None:
    width = Layout(0, kind).width
    payload = bytes([0xFF] * (width - 2)) + b"\xb7\xe1"
    assert read(Layout(0, kind, shift=5, bits=7), payload) == (0xB7E1 >> 5 & 0x7F, 0)
    assert read(Layout(0, kind, bits=8 * width), b"\xff" * width) == (2 ** (8 * width) - 1, 0)


def test_coils() -> None:
    assert [read(Layout(1, "bool", shift=bit), b"\x00\xa5")[0] for bit in range(8)] == [
        True, False, True, False, False, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "value"),
    [
        ((1, 0, -2), "-12.34"),
        ((25, 0, -2), "-308.50"),
        ((1, -27315, -2), "-285.49"),
        ((1, 0, 3), "-1.234E+6"),
        ((1, 1234, 0), "0"),
        ((-10, 0, 0), "12340"),
        ((2**63 - 1, -(2**63) + 1, -127), None),
    ],
)
def test_scales_are_exact(scale: tuple[int, int, int], value: str | None) -> None:
    multiplier, addend, exponent = scale
    got, _ = read(Layout(0, "int16"), struct.pack(">h", -1234), multiplier=multiplier, addend=addend, exponent=exponent)
    number = -1234 * multiplier + addend
    assert isinstance(got, Decimal)
    assert got.as_tuple() == (int(number < 0), tuple(map(int, str(abs(number)))), exponent)
    assert value is None or str(got) == value


@pytest.mark.parametrize(
    ("raw", "scale", "value"),
    [
        (0.1, (1, 0, -1), 0.01),
        (21.5, (9, 160, -1), 35.35),
        (1e308, (10, 0, 0), float("inf")),
        (-1e308, (10, 0, 0), float("-inf")),
        (5e-324, (-1, 0, -1), -0.0),
        (-0.0, (10, 0, 0), 0.0),
        (float("inf"), (-1, 0, 0), float("-inf")),
    ],
)
def test_scaled_floats_are_the_nearest(raw: float, scale: tuple[int, int, int], value: float) -> None:
    multiplier, addend, exponent = scale
    layout, payload = Layout(0, "float64"), struct.pack(">d", raw)
    got, _ = read(layout, payload, multiplier=multiplier, addend=addend, exponent=exponent)
    assert repr(got) == repr(value)


@pytest.mark.parametrize(
    ("kind", "payload", "sentinel"),
    [
        ("int16", "8000", 0x8000),
        ("int16", "8000", -0x8000),
        ("uint16", "ffff", 0xFFFF),
        ("uint16", "ffff", -1),
        ("int32", "7fffffff", 0x7FFFFFFF),
        ("uint64", "ff" * 8, 2**64 - 1),
        ("int64", "80" + "00" * 7, -(2**63)),
        ("float32", "c61c3c00", -9999),
        ("float64", "c0c3878000000000", -9999),
    ],
)
def test_sentinels_have_no_value(kind: str, payload: str, sentinel: int) -> None:
    assert read(Layout(0, kind), bytes.fromhex(payload), sentinels=[1, sentinel]) == (None, SENTINEL)
    other = bytes.fromhex(payload)[:-1] + bytes([int(payload[-2:], 16) ^ 2])
    assert read(Layout(0, kind), other, sentinels=[1, sentinel])[1] == 0


@pytest.mark.parametrize("bits", ["7fc00000", "ffc12345", "7f800001"])
def test_nan_is_a_fault_and_keeps_its_bits(bits: str) -> None:
    value, quality = read(Layout(0, "float32"), bytes.fromhex(bits), maximum=5)
    assert quality == SENSOR_FAULT
    assert isinstance(value, float)
    raw = int(bits, 16)
    wide = (raw >> 31) << 63 | 0x7FF << 52 | (raw & 0x7FFFFF) << 29
    assert struct.pack(">d", value) == wide.to_bytes(8, "big")


def test_the_worse_quality_counts() -> None:
    packer, series = Packer(), Series(1, sentinels=[9], maximum=5)
    plan = ScanPlan([(Layout(0, "uint8"), series)])
    for raw, quality, expected in ((6, 0, LIMITS), (6, STALE, STALE), (9, STALE, SENTINEL), (9, BAD, BAD)):
        packer.append_scan(plan, bytes([raw]), 0, quality)
        assert series.last is not None
        assert series.last[2] == expected


def test_a_plan_needs_its_bytes() -> None:
    packer, series = Packer(), Series(1)
    plan = ScanPlan([(Layout(0), series), (Layout(6, "float32"), Series(2))], period=1000)
    assert (plan.size, plan.period) == (10, 1000)
    with pytest.raises(ValueError, match="9 bytes; the plan needs 10"):
        packer.append_scan(plan, bytes(9), 0)
    assert (series.last, packer.pending, packer.commit()) == (None, 0, b"")
    assert packer.append_scan(plan, memoryview(bytearray(11)), 0) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "int12"}, "type 'int12' is not one of"),
        ({"offset": -1}, "offset -1"),
        ({"offset": MAX_PAYLOAD - 1}, "offset 65535"),
        ({"order": "AC"}, "order 'AC' does not fit"),
        ({"order": "ABCDEFGH"}, "does not fit uint16"),
        ({"type": "uint32", "order": "AABB"}, "does not fit"),
        ({"type": "uint24", "order": "BADC"}, "does not fit"),
        ({"shift": 3}, "no bit field"),
        ({"shift": 10, "bits": 7}, "no bit field"),
        ({"shift": -1, "bits": 2}, "no bit field"),
        ({"type": "float32", "bits": 3}, "float32 has no bit field"),
        ({"type": "bool", "shift": 8}, "bool is one bit"),
    ],
)
def test_layouts_that_make_no_sense(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout(**{"offset": 0, **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"number": -1}, "series number -1"),
        ({"number": 2**32}, "series number 4294967296"),
        ({"multiplier": 0}, "scale 0"),
        ({"addend": 2**63}, "offset 9223372036854775808"),
        ({"exponent": 128}, "exponent 128"),
        ({"sentinels": range(17)}, "17 sentinels"),
        ({"minimum": 2, "maximum": 1}, "limits 2..1"),
        ({"minimum": float("nan")}, "limits nan"),
        ({"deadband": -1.0}, "deadband -1.0"),
        ({"deadband_percent": float("inf")}, "inf %"),
        ({"min_interval": -1}, "intervals -1"),
        ({"min_interval": 2, "max_interval": 1}, "intervals 2 ms, 1 ms"),
    ],
)
def test_series_that_make_no_sense(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Series(**{"number": 1, **fields})


@pytest.mark.parametrize(
    ("layout", "sentinel"), [(Layout(0), 65536), (Layout(0, "int8"), -129), (Layout(0, bits=4, shift=2), 16)]
)
def test_a_sentinel_that_never_comes(layout: Layout, sentinel: int) -> None:
    with pytest.raises(ValueError, match=f"sentinel {sentinel} does not fit"):
        ScanPlan([(layout, Series(1, sentinels=[sentinel]))])


def test_plans_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="a plan of 0 points"):
        ScanPlan([])
    with pytest.raises(ValueError, match="a plan of 2049 points"):
        ScanPlan([(Layout(0), Series(1))] * 2049)
    with pytest.raises(ValueError, match="period -1 ms"):
        ScanPlan([(Layout(0), Series(1))], period=-1)
    with pytest.raises(TypeError):
        ScanPlan([(Layout(0), None)])  # type: ignore[list-item]
