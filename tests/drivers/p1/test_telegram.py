"""What is read of a telegram, and what never is."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError
from drivers.obis import DataObject
from drivers.p1.decode import decode
from drivers.p1.telegram import EQUIPMENT, READ, measured, parse
from ext import BAD_ANSWER, GOOD, SENSOR_FAULT
from tests.drivers.p1.telegrams import CASES, XS210, telegram

GAS = EQUIPMENT["gas"]
GOOD_CASES = sorted(path.name for path in CASES.iterdir() if not path.name.startswith(("bad-", "error-", "optional-")))


def one(text: str) -> DataObject:
    return parse(f"/XXX5\r\n\r\n{text}\r\n!").objects[0]


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("1-0:1.8.1(000051.775*kWh)", (Decimal("51.775"), "kWh", GOOD)),
        ("1-0:1.8.1(000051.775*KWH)", (Decimal("51.775"), "kWh", GOOD)),
        ("1-0:1.8.1(-1.5*kW)", (Decimal("-1.5"), "kW", GOOD)),
        ("1-0:1.8.1(00123)", (Decimal(123), "", GOOD)),
        ("1-0:1.8.1()", (None, "", SENSOR_FAULT)),
        ("1-0:1.8.1(1.2.3*kWh)", (None, "", BAD_ANSWER)),
        ("1-0:1.8.1(1e3*kWh)", (None, "", BAD_ANSWER)),
        ("1-0:1.8.1(1111111111111111111)", (None, "", BAD_ANSWER)),
        ("1-0:1.8.1(5*kWh)(6*kWh)", (None, "", BAD_ANSWER)),
        ("0-1:24.2.1(171105201000W)(00016.713*m3)", (Decimal("16.713"), "m3", GOOD)),
        ("0-1:24.2.1(171105201000W)()", (None, "", SENSOR_FAULT)),
        ("0-1:24.3.0(161107190000)(04)(60)(1)(0-1:24.2.1)(m3)\r\n(00001.001)", (None, "", SENSOR_FAULT)),
        ("0-1:24.3.0(161107190000)(08)(60)(1)(0-1:24.2.1)(m3)\r\n(00001.001)", (Decimal("1.001"), "m3", GOOD)),
        ("0-1:24.3.0(161107190000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n()", (None, "", SENSOR_FAULT)),
    ],
)
def test_a_number_is_read_exactly_or_not_at_all(text: str, quantity: object) -> None:
    assert measured(one(text)) == quantity


@pytest.mark.parametrize(
    ("way", "text", "value"),
    [
        ("text", "0-0:96.1.1(4B38)", ("K8", GOOD)),
        ("text", "0-0:96.1.1(4B3)", (None, BAD_ANSWER)),
        ("text", "0-0:96.1.1()", (None, SENSOR_FAULT)),
        ("plain", "1-3:0.2.8(50)", ("50", GOOD)),
        ("time", "0-0:1.0.0(101209113020W)", ("101209113020W", GOOD)),
        ("time", "0-0:1.0.0(yesterday)", (None, BAD_ANSWER)),
    ],
)
def test_texts_and_times(way: str, text: str, value: tuple[object, int]) -> None:
    found, _, quality = READ[way](one(text))
    assert (found, quality) == value


def channels(*lines: str) -> str:
    return "/XXX5\r\n\r\n" + "".join(f"{line}\r\n" for line in lines) + "!"


def test_after_an_exchange_the_meter_that_was_read_last_counts() -> None:
    both = parse(
        channels(
            "0-1:24.1.0(003)", "0-1:96.1.0(41)", "0-1:24.2.1(700101010000W)(00000000)",
            "0-2:24.1.0(003)", "0-2:96.1.0(42)", "0-2:24.2.1(201022191006S)(00847.336*m3)",
        ).replace("700101", "190101")
    )  # fmt: skip
    assert both.find("0-n:24.2.1", GAS) == DataObject("0-2:24.2.1", ("201022191006S", "00847.336*m3"))
    assert both.find("0-n:96.1.0", GAS) == DataObject("0-2:96.1.0", ("42",))


def test_a_channel_of_another_kind_is_not_taken() -> None:
    assert parse(channels("0-1:24.1.0(007)", "0-1:24.2.1(201022191006S)(1*m3)")).find("0-n:24.2.1", GAS) is None
    assert parse(channels("0-1:24.1.0(xyz)", "0-1:24.2.1(201022191006S)(1*m3)")).find("0-n:24.2.1", GAS) is None


@pytest.mark.parametrize(
    "line", ["1-0:1.8.1", "(1)", "1-0:1.8.1(1", "1-0:1.8.1)1(", "x" * 25 + "(1)", "a b(1)", "a(1)b"]
)
def test_a_line_that_is_no_object_spoils_the_telegram(line: str) -> None:
    with pytest.raises(BadAnswer, match="no data set"):
        parse(channels(line))


@pytest.mark.parametrize("code", ["18.1", "1-0:.18.1", "-0:1.8.1", "1-0:1.8", "1-0:2.:2.7.0", "1-0:1.8.1*"])
def test_a_code_that_is_none_spoils_the_telegram(code: str) -> None:
    with pytest.raises(BadAnswer, match="without an OBIS code"):
        parse(channels(f"{code}(1*kWh)"))


@given(st.text(max_size=300))
def test_any_text_is_objects_or_an_error(text: str) -> None:
    try:
        found = parse("/" + text)
    except BadAnswer:
        return
    for data in found.objects:
        for read in READ.values():
            value, _, quality = read(data)
            assert (value is None) == (quality != GOOD)


@given(st.binary(max_size=400))
def test_decode_never_raises(data: bytes) -> None:
    for found in decode(data + XS210[:200] + data):
        assert isinstance(found, Reading | DeviceError)


@pytest.mark.parametrize("case", GOOD_CASES)
def test_decode_says_all_of_a_telegram(case: str) -> None:
    found = list(decode(telegram(case)))
    assert not [error for error in found if isinstance(error, DeviceError)]
    codes = [reading.point for reading in found if isinstance(reading, Reading)]
    assert "1-0:1.8.1" in codes
    assert len(codes) >= 15


def test_decode_names_units_and_texts() -> None:
    found = {reading.point: reading for reading in decode(XS210) if isinstance(reading, Reading)}
    assert found["1-0:1.8.1"] == Reading("1-0:1.8.1", Decimal("51.775"), "kWh", GOOD)
    assert found["0-0:96.1.1"] == Reading("0-0:96.1.1", "E0047000007630817", "", GOOD)
    assert found["0-0:1.0.0"] == Reading("0-0:1.0.0", "171105201324W", "", GOOD)
    assert found["0-1:24.2.1"] == Reading("0-1:24.2.1", Decimal("16.713"), "m3", GOOD)


def test_decode_says_what_a_log_holds() -> None:
    found = {reading.point: reading for reading in decode(telegram("dsmr-4-2-kaifa")) if isinstance(reading, Reading)}
    log = [(name[len("1-0:99.97.0") :], one.value, one.unit) for name, one in found.items() if "99.97" in name]
    assert log == [
        ("", 3, ""),
        ("#1.time", "000104180320W", ""), ("#1", Decimal(237126), "s"),
        ("#2.time", "000101000001W", ""), ("#2", Decimal(2147583646), "s"),
        ("#3.time", "000102000003W", ""), ("#3", Decimal(2317482647), "s"),
    ]  # fmt: skip


def test_decode_says_digits_that_are_no_characters_as_they_are() -> None:
    found = {reading.point: reading for reading in decode(telegram("dsmr-4-2-kaifa")) if isinstance(reading, Reading)}
    assert found["0-0:96.1.1"].value == "3960221976967177082151037881335713"


@pytest.mark.parametrize("case", GOOD_CASES)
def test_decode_reads_what_a_file_has_left_of_the_line_ends(case: str) -> None:
    sent = telegram(case)
    assert list(decode(sent.replace(b"\r\n", b"\n"))) == list(decode(sent))


def test_decode_tells_a_telegram_that_is_cut() -> None:
    for at in range(1, len(XS210) - 6):
        (error,) = decode(XS210[:at])
        assert isinstance(error, BadAnswer)


def test_decode_says_the_state_of_a_breaker_as_it_is() -> None:
    found = list(decode(b"/AUX59902759025\r\n\r\n0-0:96.50.68(ON)\r\n0-0:96.3.10(1)\r\n!\r\n"))
    assert found == [Reading("0-0:96.50.68", "ON"), Reading("0-0:96.3.10", Decimal(1))]
