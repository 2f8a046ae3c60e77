"""The application layer against the standard's own examples and libmbus's recordings."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError, ExceptionAnswer
from drivers.mbus import values
from drivers.mbus.decode import decode
from drivers.mbus.frames import Frame, Framer
from drivers.mbus.records import Record, records
from drivers.mbus.telegram import parse
from ext import GOOD, SENSOR_FAULT, UNCERTAIN, Value
from tests.drivers.mbus import libmbus
from tests.drivers.mbus.telegrams import CASES, HEAT, frame

VECTORS = Path(__file__).parents[4] / "shared" / "vectors"
RECORDED = sorted((VECTORS / "mbus").glob("*.hex"))
DAMAGED = sorted((VECTORS / "mbus-errors").glob("*.hex"))

# Where libmbus counts BCD digits above 9 as numbers: error codes of the display, which are no value
# (EN 13757-3, annex A, type A); and a fixed structure, whose counters it leaves unscaled.
NO_VALUE = {
    (file, name) for file in ("ELS_Elster-F96-Plus", "abb_f95") for name in ("power.error", "volume-flow.error")
}
FIXED = "manual_frame2"


def whole(raw: bytes) -> bytes:
    framer = Framer()
    (found,) = (*framer.feed(raw), *framer.end())
    assert isinstance(found, Frame)
    return found.data


@pytest.mark.skipif(not RECORDED, reason="the folder with the published recordings is not here")
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_recordings_of_real_meters(file: Path) -> None:
    telegram, expected = parse(whole(bytes.fromhex(file.read_text()))), libmbus.read(file.with_suffix(".norm.xml"))
    assert int(telegram.header.identification, 16) == int(expected.header["Id"], 16)
    assert telegram.header.manufacturer == expected.header.get("Manufacturer", "").strip("@")
    assert telegram.header.access == int(expected.header["AccessNumber"])
    assert telegram.header.status == int(expected.header["Status"], 16)
    assert len(telegram.records) == len(expected.records)
    if file.stem == FIXED:
        return
    for record, reading in zip(telegram.records, expected.records, strict=True):
        if (file.stem, record.name) in NO_VALUE:
            assert (record.value, record.quality) == (None, SENSOR_FAULT)
        elif reading.function:
            assert not libmbus.differs(record, reading)
    assert telegram.manufacturer_data.hex() == (expected.own or "").replace(" ", "").lower()


@pytest.mark.skipif(not DAMAGED, reason="the folder with the published recordings is not here")
@pytest.mark.parametrize("file", DAMAGED, ids=lambda file: file.stem)
def test_malformed_telegrams_are_errors(file: Path) -> None:
    (found,) = decode(bytes.fromhex(file.read_text()))
    assert isinstance(found, DeviceError)


def test_the_fixed_structure() -> None:
    # "The M-Bus: A Documentation", 6.2: water, 1 l now and 135 l on the fixed day
    telegram = parse(bytes.fromhex("73 78563412 0A 00 E97E 01000000 35010000"))
    assert (telegram.header.identification, telegram.header.medium) == ("12345678", "water")
    assert telegram.records == (
        Record("volume", Decimal("0.001"), "m3"), Record("volume", Decimal("0.135"), "m3", storage=1)
    )  # fmt: skip


@pytest.mark.parametrize("code", range(10))
def test_what_a_meter_refuses(code: int) -> None:
    with pytest.raises(ExceptionAnswer, match=f"exception {code}: "):
        parse(bytes((0x70, code)))


def test_other_headers() -> None:
    record = bytes.fromhex("0413 15310000")
    for start in ("78", "7A 01 00 0000", "72 78563412 2440 01 07 55 00 0000"):
        (found,) = parse(bytes.fromhex(start) + record).records
        assert found == Record("volume", Decimal("12.565"), "m3")
    (found,) = parse(bytes.fromhex("76 12345678 4024 01 07 55 00 0000 0413 00003115")).records
    assert found.value == Decimal("12.565")


def one(text: str) -> Record:
    (found,) = records(bytes.fromhex(text)).records
    return found


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("0C06 27048502", 2850427000, "Wh"),  # OMS specification 2, annex N: 2850427 kWh
        ("0C13 27048502", Decimal("2850.427"), "m3"),  # OMS specification 2, annex N: 2850.427 m3
        ("0B3B 270100", Decimal("0.127"), "m3/h"),  # the same: 127 l/h
        ("0A5A F502", None, "Cel"),  # F5 is no digit
        ("0A5A 05F0", Decimal("-0.5"), "Cel"),  # EN 13757-3, annex A: F in the highest place is a minus
        ("025B E7FF", -25, "Cel"),
        ("055B 0000C841", 25.0, "Cel"),
        ("055B 0000C07F", None, "Cel"),  # not a number
        ("0428 FFFFFF7F", Decimal("2147483.647"), "W"),
        ("0728 FFFFFFFFFFFFFF7F", Decimal("9223372036854775.807"), "W"),
        ("0421 3C000000", 3600, "s"),
        ("03FD17 FFFFFF", 0xFFFFFF, ""),
        ("02FD48 E608", Decimal("227.8"), "V"),
        ("04FD59 E8030000", Decimal("1.000"), "A"),
        ("01FB1A 41", Decimal("6.5"), "%RH"),
        ("02FB2E 8813", Decimal("500.0"), "Hz"),
        ("04FB01 02000000", 2000000, "Wh"),
        ("04FB09 02000000", 2000000000, "J"),
        ("02933A 0100", Decimal("0.001"), "m3"),
        ("029374 0100", Decimal("0.00001"), "m3"),  # a correction of 10**-2
        ("02937D 0100", 1, "m3"),  # and of 1000
        ("426C BF15", "2013-05-31", ""),  # libmbus, ELS_Elster-F96-Plus
        ("026C FFFF", None, ""),
        ("046D 22108D11", "2012-01-13T16:34", ""),  # libmbus, abb_f95
        ("046D A2108D11", None, ""),  # the meter says that it is invalid
        ("0D78 03 434241", "ABC", ""),
        ("0DFD3A C2 3412", 1234, ""),
        ("0DFD3A D2 3412", -1234, ""),
        ("02FC 03 485225 74 D411", Decimal("45.64"), "%RH"),  # a unit in plain text before its VIFE
        ("02FC 74 03 485225 D411", Decimal("45.64"), "%RH"),  # and behind it
        ("0493 15 00000000", None, "m3"),  # EN 13757-3:2018, table 18: no data available
        ("0283 12 0A00", 10, "Wh"),  # EN 13757-3:2018, table 15: an average, which is a value
        ("0183 1D 0A", 10, "Wh"),
        ("0183 01 0A", None, "Wh"),  # table 18: too many DIFEs
        ("0183 0F 0A", None, "Wh"),  # unimplemented action
        ("0183 1C 0A", None, "Wh"),  # premature end of record
        ("0259 0080", None, "Cel"),  # annex A, type B: the least number of its size stands for none
        ("0459 00000080", None, "Cel"),
        ("0259 0180", Decimal("-327.67"), "Cel"),
    ],
)
def test_values(text: str, value: Value, unit: str) -> None:
    found = one(text)
    assert (found.value, found.unit) == (value, unit)
    assert isinstance(found.value, type(value))
    assert found.quality == (GOOD if value is not None else SENSOR_FAULT)


def test_whose_value_it_is() -> None:
    assert one("C4 D3 41 03 00000000").name == "energy.s39.t1.u3"
    assert one("54 2D 00000000").name == "power.maximum.s1"
    assert one("34 2D 00000000").quality == UNCERTAIN
    assert one("04 FFA0 15 00000000").quantity == "manufacturer-20-15"
    assert one("04 83 FF02 00000000").modifier == "manufacturer-02"
    assert one("04 A9 FC01 00000000").modifier == "l1"
    assert one("04 83 3B 00000000").modifier == "positive"
    assert one("04 6F 00000000").quantity == "vif-6f"


def test_an_unknown_extension_is_never_left_out() -> None:
    assert one("04 83 3F 00000000").name == "energy.vife-3f"


@pytest.mark.parametrize("hundreds", range(4))
def test_the_century_of_a_time(hundreds: int) -> None:
    year = {0: 2012, 1: 2012, 2: 2112, 3: 2212}[hundreds]
    assert values.minute(bytes((0x22, 0x10 | hundreds << 5, 0x8D, 0x11))) == f"{year}-01-13T16:34"


@given(st.binary(max_size=255))
def test_garbage_is_a_telegram_or_an_error(data: bytes) -> None:
    try:
        telegram = parse(data)
    except DeviceError:
        return
    assert len(telegram.records) <= len(data)


@given(st.sampled_from([0x72, 0x73, 0x76, 0x77, 0x78, 0x7A]), st.binary(max_size=255))
def test_garbage_behind_a_header(ci: int, data: bytes) -> None:
    try:
        telegram = parse(bytes((ci,)) + data)
    except BadAnswer:
        return
    assert all(record.value is None or record.quality in (GOOD, UNCERTAIN) for record in telegram.records)


@given(st.integers(0, len(HEAT) - 1), st.integers(0, 7), st.binary(max_size=50))
def test_a_flipped_bit_is_no_value(at: int, bit: int, before: bytes) -> None:
    altered = bytearray(HEAT)
    altered[at] ^= 1 << bit
    readings = [one for one in decode(before + bytes(altered)) if isinstance(one, Reading)]
    assert readings in ([], [one for one in decode(HEAT) if isinstance(one, Reading)])


def test_every_shorter_telegram_is_an_error_or_has_fewer_records() -> None:
    data = whole(frame("metrona-ultraheat-xs"))
    all_records = parse(data).records
    for size in range(len(data)):
        try:
            found = parse(data[:size]).records
        except BadAnswer:
            continue
        assert found == all_records[: len(found)]


def test_there_are_as_many_cases_as_promised() -> None:
    names = [case.name for case in CASES.iterdir()]
    assert len([name for name in names if name.startswith("damaged-")]) >= 20
    assert len([name for name in names if not name.startswith("damaged-")]) >= 20
