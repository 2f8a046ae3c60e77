"""What is read of a file, and what never is: against what others read of the same bytes."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError
from drivers.sml.decode import decode
from drivers.sml.framing import START, Framer
from drivers.sml.messages import obis, parse
from drivers.sml.tlv import Reader
from tests.drivers.sml.files import CASES, HOLLEY, ISKRA, file

VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "sml"

# What felixwrt/sml-rs reads of the dumps of devZer0/libsml-testing (its tests/snapshots): how many files, the server's
# id, the numbers of the first file and of the last one.
MT175 = "1.8.0=10732309.1 1.8.1=10732309.1 1.8.2=0.0 2.8.0=282753{} 2.8.1=282753{} 2.8.2=0.0 "
EXPECTED = {
    "DZG_DVS-7420.2V.G2_mtr1": (
        4, "0a01445a4700039e2055",
        "1.8.0=2353656.9 1.8.1=38610.0 1.8.2=2315046.9 2.8.0=0.0 16.7.0=6.22",
        "1.8.0=2353656.9 1.8.1=38610.0 1.8.2=2315046.9 2.8.0=0.0 16.7.0=5.79",
    ),
    "DZG_DVS-7420.2V.G2_mtr2_neg": (
        3, "0a01445a4700039e2053",
        "1.8.0=13232.9 2.8.0=1500321.3 16.7.0=-105.50", "1.8.0=13232.9 2.8.0=1500321.4 16.7.0=-104.38",
    ),
    "EMH-ED300L_delivery": (
        2, "06454d4801027156cd45",
        "1.8.0=17243675.6 1.8.1=17243675.6 1.8.2=0.0 15.7.0=126.6",
        "1.8.0=17243675.6 1.8.1=17243675.6 1.8.2=0.0 15.7.0=126.5",
    ),
    "EMH_eHZ-HW8E2A5L0EK2P_1": (
        12, "06454d4801001d4615ca",
        "1.8.0=15141809.0 1.8.1=15141809.0 1.8.2=0.0 15.7.0=1213.3",
        "1.8.0=15141814.5 1.8.1=15141814.5 1.8.2=0.0 15.7.0=1217.5",
    ),
    "EMH_eHZ-IW8E2A5L0EK2P_with_error": (
        11, "06454d480107197c2456",
        "1.8.0=2795692.7 1.8.1=2795692.7 1.8.2=0.0 16.7.0=136.7",
        "1.8.0=2795693.7 1.8.1=2795693.7 1.8.2=0.0 16.7.0=136.4",
    ),
    "EMH_eHZ361L5R_1": (1, "31303031313835", "2.8.1=114427402.0 1.7.1=-769.7170", "2.8.1=114427402.0 1.7.1=-769.7170"),
    "HOLLEY_DTZ541-BDBA_with_PIN": (
        2, "0a01484c5902000d6be6", "1.8.0=2355929.0 16.7.0=376", "1.8.0=2355929.1 16.7.0=374",
    ),
    "ISKRA_MT175_D1A52-V22-K0t": (
        8, "0649534b010e1f66299a",
        MT175.format("24.5", "24.5") + "16.7.0=-4308 36.7.0=-1392 56.7.0=-1432 76.7.0=-1482",
        MT175.format("33.2", "33.2") + "16.7.0=-4297 36.7.0=-1393 56.7.0=-1429 76.7.0=-1476",
    ),
    "ISKRA_MT631-D1A52-K0z-H01_without_PIN": (
        5, "0a0149534b00047a5544", "1.8.0=2043000 2.8.0=0", "1.8.0=2043000 2.8.0=0",
    ),
    "ISKRA_MT691_eHZ-MS2020": (
        18, "0a0149534b0004325ec5", "1.8.0=198927.3 16.7.0=26", "1.8.0=198927.5 16.7.0=28",
    ),
    "ITRON_OpenWay-3.HZ_without_PIN": (2, "0a01495452000347f040", "1.8.0=25688000", "1.8.0=25688000"),
    "eBZ_DD3_DD32R06DTA-SMZ1": (
        4, "090145425a010002ec3b",
        "1.8.0=13024000 1.8.1=13023000 1.8.2=1000 2.8.0=1000", "1.8.0=13024000 1.8.1=13023000 1.8.2=1000 2.8.0=1000",
    ),
}  # fmt: skip

ENERGY_AND_POWER = re.compile(r"1-0:([0-9]+\.[78]\.[0-9]+)")
SERVERS = ("1-0:0.0.9", "1-0:96.1.0", "1-0:0.0.0")
GOOD_CASES = sorted(path.name for path in CASES.iterdir() if not path.name.startswith("bad-"))


def readings(data: bytes) -> list[list[Reading]]:
    """The readings of each file that is whole."""
    files = [one for one in Framer().feed(data) if isinstance(one, bytes)]
    return [[Reading(e.code, e.quantity[0], e.quantity[1]) for e in parse(one)] for one in files]


def numbers(one: list[Reading]) -> dict[str, object]:
    """Energies and powers by the last three groups of their codes."""
    return {m[1]: r.value for r in one if (m := ENERGY_AND_POWER.fullmatch(r.point)) and r.unit in ("W", "Wh")}


def table(text: str) -> dict[str, object]:
    return {code: Decimal(value) for code, _, value in (part.partition("=") for part in text.split())}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_dump_says_what_others_read_of_it(name: str) -> None:
    dump = VECTORS / f"{name}.bin"
    if not dump.is_file():
        pytest.skip("the folder ../shared/vectors/sml is not here")
    count, server, first, last = EXPECTED[name]
    found = readings(dump.read_bytes())
    assert len(found) == count
    assert numbers(found[0]) == table(first)
    assert numbers(found[-1]) == table(last)
    assert {r.value for one in found for r in one if r.point in SERVERS} == {bytes.fromhex(server)}


def test_every_dump_is_expected() -> None:
    if not VECTORS.is_dir():
        pytest.skip("the folder ../shared/vectors/sml is not here")
    assert {path.stem for path in VECTORS.glob("*.bin")} == set(EXPECTED)


@pytest.mark.parametrize("case", GOOD_CASES)
def test_decode_says_all_of_a_file(case: str) -> None:
    found = list(decode(file(case)))
    assert not [error for error in found if isinstance(error, DeviceError)]
    assert "1-0:1.8.0" in [reading.point for reading in found if isinstance(reading, Reading)]


def test_decode_names_units_and_status() -> None:
    found = {reading.point: reading for reading in decode(HOLLEY) if isinstance(reading, Reading)}
    assert found["1-0:1.8.0"] == Reading("1-0:1.8.0", Decimal("4499896.2"), "Wh")
    assert found["1-0:1.8.0.status"].value == 0x1C8104
    assert found["1-0:32.7.0"] == Reading("1-0:32.7.0", Decimal("234.4"), "V")
    assert found["1-0:81.7.1"] == Reading("1-0:81.7.1", 240, "deg")


def test_a_code_is_written_as_people_write_it() -> None:
    assert obis(bytes.fromhex("0100010800ff")) == "1-0:1.8.0"
    assert obis(bytes.fromhex("010060320101")) == "1-0:96.50.1*1"
    assert obis(bytes.fromhex("8181c78203ff")) == "129-129:199.130.3"


@given(st.binary(max_size=200))
def test_any_bytes_are_entries_or_an_error(data: bytes) -> None:
    try:
        entries = parse(data)
    except BadAnswer:
        return
    assert entries == []  # a message needs a checksum that fits


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    reader = Reader(data)
    try:
        reader.value()
    except BadAnswer:
        return
    assert 0 < reader.at <= len(data)


(CONTENT,) = (one for one in Framer().feed(ISKRA) if isinstance(one, bytes))


@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_an_altered_byte_in_a_file_is_told_by_its_messages(at: int, flip: int) -> None:
    """Even where the checksum of the file fits, each message has its own."""
    try:
        found = parse(CONTENT[:at] + bytes([CONTENT[at] ^ flip]) + CONTENT[at + 1 :])
    except BadAnswer:
        return
    assert found == parse(CONTENT)


@given(st.binary(max_size=300))
def test_decode_never_raises(data: bytes) -> None:
    for found in decode(data + ISKRA[:100] + data):
        assert isinstance(found, Reading | DeviceError)


def test_decode_tells_a_file_that_is_cut_unless_another_came_whole() -> None:
    for at in range(len(START), len(HOLLEY)):
        (error,) = decode(HOLLEY[:at])
        assert isinstance(error, DeviceError)
    assert list(decode(HOLLEY + HOLLEY[:-1])) == list(decode(HOLLEY))
