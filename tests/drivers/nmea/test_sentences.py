"""Fields are exact or absent; expected values are those of the standard's and the makers' own examples."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.nmea.framing import Framer, Sentence
from drivers.nmea.sentences import FIELDS, Reading, read
from drivers.numbers import MAX_DIGITS
from ext import BAD_ANSWER, GOOD, SENSOR_FAULT, UNCERTAIN, quality_class

FAULT: Reading = (None, SENSOR_FAULT)
WRONG: Reading = (None, BAD_ANSWER)


def sentence(text: str) -> Sentence:
    address, *fields = text.split(",")
    return Sentence(address[:2], address[2:], tuple(fields))


def value(text: str, field: str, letters: str = "") -> Reading:
    one = sentence(text)
    return read(one, FIELDS[one.formatter][field], letters)


def exact(text: str) -> Reading:
    return Decimal(text), GOOD


# u-blox 6 Receiver Description Including Protocol Specification, GPS.G6-SW-10018, GGA and RMC
GGA = "GPGGA,092725.00,4717.11399,N,00833.91590,E,1,8,1.01,499.6,M,48.0,M,,0"
RMC = "GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A"


def test_the_fields_of_the_published_examples() -> None:
    assert value(GGA, "latitude") == exact("47.285233167")
    assert value(GGA, "longitude") == exact("8.565265")
    assert value(GGA, "altitude") == exact("499.6")
    assert value(GGA, "geoid-separation") == exact("48.0")
    assert value(GGA, "fix-quality") == (1, GOOD)
    assert value(GGA, "satellites") == (8, GOOD)
    assert value(RMC, "latitude") == exact("47.2852395")
    assert value(RMC, "speed") == exact("0.004")
    assert value(RMC, "course") == exact("77.52")
    assert value(RMC, "status") == ("A", GOOD)
    assert value(RMC, "variation") == FAULT


@pytest.mark.parametrize(
    ("quality", "expected"),
    [("0", SENSOR_FAULT), ("1", GOOD), ("2", GOOD), ("4", GOOD), ("5", GOOD), ("6", UNCERTAIN), ("7", UNCERTAIN),
     ("8", UNCERTAIN), ("", BAD_ANSWER), ("A", BAD_ANSWER), ("10", BAD_ANSWER)],
)  # fmt: skip
def test_a_position_is_as_good_as_its_fix(quality: str, expected: int) -> None:
    got, judged = value(GGA.replace(",E,1,", f",E,{quality},"), "latitude")
    assert judged == expected
    assert (got is None) == (quality_class(judged) == 2)


@pytest.mark.parametrize(
    ("status", "mode", "expected"),
    [("A", ",A", GOOD), ("A", ",D", GOOD), ("A", "", GOOD), ("A", ",", GOOD), ("A", ",E", UNCERTAIN),
     ("A", ",S", UNCERTAIN), ("A", ",N", SENSOR_FAULT), ("V", ",A", SENSOR_FAULT), ("V", ",N", SENSOR_FAULT),
     ("", ",A", BAD_ANSWER), ("A", ",?", BAD_ANSWER)],
)  # fmt: skip
def test_rmc_is_as_good_as_its_status_and_mode(status: str, mode: str, expected: int) -> None:
    text = f"GPRMC,083559.00,{status},4717.11437,N,00833.91522,E,0.004,77.52,091202,,{mode}"
    assert value(text, "speed")[1] == expected


@pytest.mark.parametrize(
    ("latitude", "side", "expected"),
    [("0000.0000", "N", exact("0")), ("9000.0000", "S", exact("-90")), ("3348.605", "S", exact("-33.810083333")),
     ("38.5", "N", WRONG), ("138.5", "N", exact("1.641666667")),
     ("9000.0001", "N", WRONG), ("8960.0000", "N", WRONG), ("4717.1", "E", WRONG), ("4717.1", "", WRONG),
     ("-4717.1", "N", WRONG), ("47 17.1", "N", WRONG), ("4717,1", "N", WRONG), ("\u0664717.1", "N", WRONG)],
)  # fmt: skip
def test_latitudes(latitude: str, side: str, expected: Reading) -> None:
    one = Sentence("GP", "GGA", ("", latitude, side, "00833.91590", "E", "1"))
    got = read(one, FIELDS["GGA"]["latitude"])
    assert got == expected
    assert str(got[0]) != "-0E-9"


@given(st.integers(0, 89), st.integers(0, 59), st.text("0123456789", max_size=9), st.sampled_from("NS"))
def test_degrees_are_the_nearest_with_nine_decimals(degrees: int, minutes: int, decimals: str, side: str) -> None:
    text = f"{degrees:02}{minutes:02}.{decimals}"
    got, quality = value(f"GPGGA,,{text},{side},,,1", "latitude")
    wanted = degrees + Fraction(f"{minutes}.{decimals or 0}") / 60
    assert quality == GOOD
    assert isinstance(got, Decimal)
    assert abs(abs(Fraction(got)) - wanted) <= Fraction(1, 2 * 10**9)
    assert (got < 0) == (side == "S" and round(wanted * 10**9) > 0)


@pytest.mark.parametrize(
    "text", ["1e3", "nan", "inf", "1_0", " 1", "1 ", "0x1", "--1", ".", "1.2.3", "+", "\u0661", "1" * 19]
)
def test_only_plain_decimals_are_numbers(text: str) -> None:
    assert value(f"WIMDA,,,{text},B", "pressure") == WRONG


@given(st.from_regex(r"[0-9]{1,9}(\.[0-9]{0,9})?", fullmatch=True))
def test_numbers_are_exact(text: str) -> None:
    assert value(f"WIMDA,,,{text},B", "pressure") == exact(text)


def test_wind() -> None:
    # Vaisala WMT700 User's Guide, E.3
    one = "WIMWV,045,R,011.63,N,A"
    assert value(one, "angle") == exact("45")
    assert value(one, "speed", "N") == exact("11.63")
    assert value(one, "speed", "M") == WRONG
    assert value("WIMWV,,R,,M,V", "speed", "M") == FAULT  # the guide: V and empty fields when data are missing
    assert value("WIMWV,999.9,R,5.2,M,A", "angle") == WRONG  # Lambrecht met[LOG] manual: 999.9 is an error code
    assert value("WIMWV,45,R,-1,M,A", "speed", "M") == WRONG
    assert value("WIMWV,045,R,011.63,N", "speed", "N") == WRONG


def test_another_unit_is_never_taken_for_the_fields_own() -> None:
    # marine-api's example of MDA: pascals in the place of inches of mercury
    assert value("IIMDA,99700.0,P,1.00,B,3.2,C", "pressure-inches") == WRONG
    assert value("IIMDA,99700.0,P,1.00,F,3.2,F", "air-temperature") == WRONG


@pytest.mark.parametrize(("formatter", "field"), [(f, name) for f, fields in FIELDS.items() for name in fields])
@given(fields=st.lists(st.text(max_size=12) | st.sampled_from(["A", "V", "1", "12.5", "4717.1", "N", "E", "M", "C"])))
def test_no_text_breaks_a_field_and_what_is_good_is_what_was_sent(
    formatter: str, field: str, fields: list[str]
) -> None:
    where = FIELDS[formatter][field]
    got, quality = read(Sentence("GP", formatter, tuple(fields)), where, "M" if field == "speed" else "")
    assert (got is None) == (quality_class(quality) == 2)
    if got is None:
        return
    sent = fields[where.at - 1]
    assert sent.isascii()
    if isinstance(got, Decimal) and field not in ("latitude", "longitude", "variation"):
        assert Fraction(got) == Fraction(Decimal(sent))
        assert len(got.as_tuple().digits) <= MAX_DIGITS


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    for one in Framer(checksum_required=False).feed(data + b"\r\n"):
        if isinstance(one, Sentence):
            for field in FIELDS.get(one.formatter, {}).values():
                read(one, field)
