"""Texts, names and numbers that a register scales; and that what is written reads back."""

import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.errors import ValueRefused
from drivers.modbus.answers import Answers
from drivers.modbus.encode import Writing, encode
from drivers.modbus.pdu import Request, Table
from drivers.modbus.point import PointOptions
from drivers.modbus.raw import bits_at, number_of
from drivers.modbus.values import named, scaled, text
from drivers.numbers import Scaling
from ext import BAD_ANSWER, GOOD, LIMITS, SENSOR_FAULT, SENTINEL, Packer, ScanPlan, Series, Value, unpack
from tests.drivers.modbus.support import Values, device, make

PLAIN = Scaling(Decimal(1), Decimal(0))
WHOLE = (
    *(f"{sign}{bits}" for sign in ("int", "uint") for bits in (8, 16, 32, 48, 64)),
    *(f"bcd{bits}" for bits in (16, 32, 48, 64)),
    *(f"{sign}{bits}" for sign in ("m10k", "sm10k") for bits in (32, 48, 64)),
    "sm16",
    "sm32",
)


def point(**keys: Any) -> PointOptions:
    return PointOptions.model_validate({"table": "holding", "register": 100, **keys})


def words(*registers: int) -> bytes:
    return struct.pack(f">{len(registers)}H", *registers)


# Texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "data", "value"),
    [
        # SunSpec Device Information Model Specification 1.1, common model: "SunS" is 0x53756e53; strings end with NUL
        ({"length": 2}, b"\x53\x75\x6e\x53", "SunS"),
        ({"length": 4}, b"SunS\0\0\0\0", "SunS"),
        ({"length": 2, "order": "BADC"}, b"uSSn", "SunS"),
        ({"length": 4, "wide_chars": True}, b"\0S\0u\0n\0S", "SunS"),
        ({"length": 4, "wide_chars": True, "order": "BADC"}, b"S\0u\0n\0S\0", "SunS"),
        ({"length": 4}, b"AB 12   ", "AB 12"),
        ({"length": 4}, b"AB\0rests", "AB"),
        ({"length": 4}, b"AB\xff\xff\xff\xff\xff\xff", "AB"),
        ({"length": 2}, b"\xff\xff\xff\xff", ""),
        ({"length": 2}, b"\0\0\0\0", ""),
        ({"length": 3}, "Z\u00fcrich".encode("latin-1"), "Z\u00fcrich"),
        ({"length": 4}, "Z\u00fcrich".encode() + b"\0", "Z\u00fcrich"),
        ({"length": 4}, b"\x1b[2Jab\r\n", "\ufffd[2Jab\ufffd\ufffd"),
    ],
)
def test_texts(keys: dict[str, Any], data: bytes, value: str) -> None:
    assert text(point(type="string", **keys), data) == value


@given(
    st.binary(min_size=1, max_size=125).map(lambda data: data + data), st.booleans(), st.sampled_from([None, "BADC"])
)
def test_any_bytes_are_a_text_that_prints(data: bytes, wide: bool, order: str | None) -> None:
    found = text(point(type="string", length=len(data) // 2, wide_chars=wide, order=order), data)
    assert all(c.isprintable() or c == "\ufffd" for c in found)
    assert len(found) <= len(data)


# Names ------------------------------------------------------------------------------------------------------------


def test_names_of_values() -> None:
    mode = point(values={"0": "off", "1": "on", "0x10": "fault"})
    assert named(mode, PLAIN, words(1), 100) == ("on", GOOD)
    assert named(mode, PLAIN, words(16), 100) == ("fault", GOOD)
    assert named(mode, PLAIN, words(7), 100) == ("7", LIMITS)
    assert named(mode, Scaling(Decimal(1), Decimal(0), (0xFFFF,)), words(0xFFFF), 100) == (None, SENTINEL)
    assert named(point(bit=4, bits=2, values={"2": "dim"}), PLAIN, words(0xFFEF), 100) == ("dim", GOOD)
    assert named(point(bit=9, values={"0": "shut", "1": "open"}), PLAIN, words(0x0200), 100) == ("open", GOOD)
    assert named(point(type="int16", values={"-1": "none"}), PLAIN, words(0xFFFF), 100) == ("none", GOOD)
    assert named(point(type="bcd16", values={"1": "one"}), PLAIN, words(0xA), 100) == (None, SENSOR_FAULT)


def test_the_catalogue_says_what_the_values_are() -> None:
    kinds = [point(values={"0": "off"}), point(type="string", length=1), point(), point(bit=1), point(scale_register=1)]
    assert [one.kind for one in kinds] == ["string", "string", "uint16", "bool", "uint16"]


# Scale registers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "registers", "exponent", "value"),
    [
        # SunSpec Device Information Model Specification 1.1, scale factors: value * 10**sf; -32768 not implemented
        ("int16", [2301], -1, (Decimal("230.1"), GOOD)),
        ("int16", [0xFFFF], 2, (Decimal(-100), GOOD)),
        ("uint16", [7], -10, (Decimal("7E-10"), GOOD)),
        ("uint16", [7], 11, (None, SENSOR_FAULT)),
        ("uint16", [7], -32768, (None, SENTINEL)),
        ("uint16", [0xFFFF], -1, (None, SENTINEL)),
        ("uint16", [7], None, (None, BAD_ANSWER)),
        ("bcd16", [0xA], 0, (None, SENSOR_FAULT)),
        # Schneider Electric, FAQ FA132170 (PM700): registers 0x0012, 0xABCD and the scale factor 2 are 122,362,900
        ("uint32", [0x0012, 0xABCD], 2, (Decimal(122_362_900), GOOD)),
    ],
)
def test_numbers_that_a_register_scales(
    kind: str, registers: list[int], exponent: int | None, value: tuple[Value, int]
) -> None:
    scaling = Scaling(Decimal(1), Decimal(0), (0xFFFF,) if kind == "uint16" else ())
    assert scaled(point(type=kind, scale_register=99), scaling, words(*registers), 100, exponent) == value


def test_a_scale_register_is_read_with_its_point_and_kept_where_it_is_far(tmp_path: Path) -> None:
    text = device("d", 1, 'a holding 10 type="int16" scale_register=50 scale=2', "b holding 20 scale_register=900")
    driver = make(tmp_path, text)
    sink, answers = Values(driver), Answers(driver.setup.devices)
    far, near = driver.reads()
    assert (far.names, far.request) == ((), Request(1, Table.HOLDING, 900, 1))
    assert (near.names, near.request) == (("d/a", "d/b"), Request(1, Table.HOLDING, 10, 41))
    registers = words(-215 & 0xFFFF, *[5] * 39, -1 & 0xFFFF)
    answers.give(near, registers, sink)
    assert sink.beside == {"d/a": (Decimal("-43.0"), GOOD), "d/b": (None, BAD_ANSWER)}
    answers.give(far, words(3), sink)
    answers.give(near, registers, sink)
    assert sink.beside["d/b"] == (Decimal("5E+3"), GOOD)
    assert sink.decoded() == {}


# Raw numbers and writing ------------------------------------------------------------------------------------------


def decoded(options: PointOptions, payload: bytes) -> Value:
    """By the scan plan in C."""
    packer = Packer()
    packer.append_scan(ScanPlan([(options.layout(options.address), Series(1))]), payload, 0)
    ((_, _, value, _),) = unpack([packer.commit()])
    return value


@given(
    st.sampled_from(WHOLE), st.sampled_from([None, "ABCD", "CDAB", "BADC", "DCBA"]), st.binary(min_size=8, max_size=8)
)
def test_raw_numbers_are_what_the_scan_plan_reads(kind: str, order: Any, payload: bytes) -> None:
    options = point(type=kind, order=None if kind.endswith("int8") else order)
    layout = options.layout(options.address)
    try:
        found: Value = number_of(layout, bits_at(layout, payload))
    except ValueError:
        found = None
    assert found == decoded(options, payload)


def written(writing: Writing, options: PointOptions, before: bytes) -> bytes:
    """What the point's registers hold after the write."""
    held = list(struct.unpack(f">{len(before) // 2}H", before))
    for at, value in enumerate(writing.values, writing.address - options.address):
        held[at] = held[at] & writing.and_mask | value
    return words(*held)


numbers = st.integers(-(2**64), 2**64) | st.integers(-300, 300) | st.integers(-(10**8), 10**8)


@given(
    st.sampled_from(WHOLE),
    st.sampled_from([None, "CDAB", "BADC", "DCBA"]),
    numbers,
    st.sampled_from([Decimal(1), Decimal("0.1"), Decimal("-2.5"), Decimal(1000)]),
    st.sampled_from([Decimal(0), Decimal(-40), Decimal("0.05")]),
    st.sampled_from([0, 8]),
)
def test_what_is_written_reads_back(
    kind: str, order: Any, raw: int, scale: Decimal, offset: Decimal, half: int
) -> None:
    short = kind.endswith("int8")
    options = point(type=kind, order=None if short else order, bit=half if short else None)
    scaling = Scaling(scale, offset)
    value, _ = scaling.apply(raw)
    try:
        writing = encode(options, scaling, value)
    except ValueRefused:
        with pytest.raises(OverflowError):  # it must be out of range: by what Python packs
            _fits(kind, raw)
        return
    payload = written(writing, options, b"\xa5" * 2 * options.count)
    assert decoded(options, payload) == raw
    if short:  # the other half stays
        assert payload[1 if half == 8 else 0] == 0xA5


def _fits(kind: str, raw: int) -> None:
    name, bits = kind.rstrip("0123456789"), int(kind.lstrip("abcdefghijklmnopqrstuvwxyz").removeprefix("10k"))
    limits = {
        "int": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
        "uint": (0, 2**bits - 1),
        "bcd": (0, 10 ** (bits // 4) - 1),
        "sm": (-(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1),
        "m10k": (0, 10 ** (bits // 4) - 1),
        "sm10k": (-(10 ** (bits // 4)) + 1, 10 ** (bits // 4) - 1),
    }[name]
    if not limits[0] <= raw <= limits[1]:
        raise OverflowError


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from([None, "CDAB", "BADC", "DCBA"]))
def test_floats_read_back(value: float, order: Any) -> None:
    for kind in ("float32", "float64"):
        options = point(type=kind, order=order)
        assert decoded(options, written(encode(options, PLAIN, value), options, bytes(2 * options.count))) == value


@given(st.integers(0, 15), st.integers(1, 16), st.integers(-1, 2**16), st.binary(min_size=2, max_size=2))
def test_fields_of_bits_read_back_and_leave_the_others(bit: int, bits: int, value: int, before: bytes) -> None:
    assume(bit + bits <= 16)
    options = point(bit=bit, bits=bits)
    if not 0 <= value < 1 << bits:
        with pytest.raises(ValueRefused):
            encode(options, PLAIN, value)
        return
    writing = encode(options, PLAIN, value)
    assert writing.function == 22
    payload = written(writing, options, before)
    assert decoded(options, payload) == value
    changed = int.from_bytes(payload, "big") ^ int.from_bytes(before, "big")
    assert not changed & ~(((1 << bits) - 1) << bit)
    assert words(*writing.merged(int.from_bytes(before, "big")).values) == payload


@given(
    st.text(max_size=12) | st.text("AZ az09", max_size=12),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from([None, "BADC"]),
)
def test_texts_read_back_or_are_refused(value: str, length: int, wide: bool, order: Any) -> None:
    options = point(type="string", length=length, wide_chars=wide, order=order)
    try:
        writing = encode(options, PLAIN, value)
    except ValueRefused:
        fits = len(value.encode("utf-8", "replace")) <= (length if wide else 2 * length)
        assert not fits or not value.isprintable() or value != value.rstrip(" \xff")
        return
    assert len(writing.values) == length
    assert text(options, words(*writing.values)) == value


@pytest.mark.parametrize(
    ("keys", "value", "writing"),
    [
        # Modbus Application Protocol Specification V1.1b3, the examples of 6.5, 6.6 and 6.12
        ({"table": "coil", "register": 172}, True, (5, 172, (1,))),
        ({"register": 1}, 3, (6, 1, (3,))),
        ({"register": 1, "type": "uint32"}, 0x000A0102, (16, 1, (0x000A, 0x0102))),
        ({"register": 4, "bit": 5}, True, (22, 4, (0x20,))),
        ({"register": 4, "type": "uint32", "bit": 16, "bits": 3}, 5, (22, 4, (5,))),
        ({"register": 4, "type": "uint32", "bit": 2, "bits": 3}, 5, (22, 5, (20,))),
        ({"values": {"0": "off", "3": "on"}}, "on", (6, 100, (3,))),
        ({"scale_register": 7}, Decimal("23.1"), (6, 100, (231,))),
        ({"type": "float32"}, 0.1, (16, 100, (0x3DCC, 0xCCCD))),  # IEEE 754-2019: 0.1 is 3DCCCCCD
    ],
)
def test_requests_that_write(keys: dict[str, Any], value: Value, writing: tuple[Any, ...]) -> None:
    found = encode(point(**keys), PLAIN, value, exponent=-1)
    assert (found.function, found.address, found.values) == writing


def test_one_register_or_coil_by_the_function_for_many() -> None:
    assert encode(point(), PLAIN, 3, multiple=True).function == 16
    assert encode(point(table="coil"), PLAIN, False, multiple=True) == encode(
        point(table="coil"), PLAIN, 0, multiple=True
    )
    assert encode(point(table="coil"), PLAIN, False, multiple=True).function == 15


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ({"table": "input"}, 1),
        ({"table": "discrete"}, True),
        ({"table": "coil"}, 2),
        ({"table": "coil"}, "on"),
        ({"bit": 3}, 2),
        ({}, True),
        ({}, "1"),
        ({}, None),
        ({}, b"1"),
        ({}, float("nan")),
        ({}, float("inf")),
        ({}, Decimal("sNaN")),
        ({}, Decimal("1e-999999")),
        ({}, 10**4000),
        ({}, 21.55),
        ({}, 65535),  # the sentinel
        ({"type": "float32"}, 1e39),
        ({"type": "float32"}, 10**100),
        ({"type": "uint32", "bit": 12, "bits": 8}, 1),
        ({"values": {"0": "off"}}, 0),
        ({"values": {"0": "off"}}, "on"),
        ({"type": "string", "length": 1}, "abc"),
        ({"type": "string", "length": 1}, 12),
        ({"type": "string", "length": 124}, "a"),
        ({"scale_register": 7}, Decimal("23.15")),
    ],
)
def test_values_that_are_refused(keys: dict[str, Any], value: Value) -> None:
    with pytest.raises(ValueRefused):
        encode(point(**keys), Scaling(Decimal("0.1"), Decimal(0), (65535,)) if not keys else PLAIN, value, exponent=-1)
    if not keys:
        with pytest.raises(ValueRefused):
            encode(point(), Scaling(Decimal(1), Decimal(0), (65535,)), value)


def test_nothing_is_written_by_a_scale_that_is_not_known() -> None:
    for exponent in (None, -32768, 11):
        with pytest.raises(ValueRefused, match="no power of ten"):
            encode(point(scale_register=7), PLAIN, 1, exponent=exponent)


# Options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        {"type": "string"},
        {"type": "string", "length": 0},
        {"type": "string", "length": 126},
        {"type": "string", "length": 2, "order": "CDAB"},
        {"type": "string", "length": 2, "bit": 1},
        {"type": "string", "length": 2, "values": {"1": "a"}},
        {"type": "string", "length": 2, "scale_register": 1},
        {"type": "string", "length": 2, "table": "coil"},
        {"length": 2},
        {"wide_chars": True},
        {"type": "int8", "bit": 4},
        {"type": "int8", "bits": 4},
        {"type": "uint8", "order": "ABCD"},
        {"type": "bcd16", "bits": 4},
        {"type": "uint48", "order": "ABCDEFGH"},
        {"values": {}},
        {"values": {"one": "a"}},
        {"values": {"1": ""}},
        {"values": {"1": "a", "0x1": "b"}},
        {"values": {"1": "a", "2": "a"}},
        {"values": {"1": "a"}, "scale_register": 3},
        {"values": {str(n): f"v{n}" for n in range(257)}},
        {"type": "float32", "values": {"1": "a"}},
        {"type": "float32", "scale_register": 3},
        {"bit": 1, "scale_register": 3},
        {"scale_register": 65536},
    ],
)
def test_points_that_make_no_sense(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        point(**keys)
