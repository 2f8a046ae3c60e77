"""The drivers line, query and frame: no bytes make a value that was not sent; a wrong configuration is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config import ConfigErrors
from drivers.base import BusSetup, Driver, Sink
from drivers.conformance import Heard
from drivers.errors import SetupError
from drivers.frame import FrameDriver
from drivers.line import LineDriver
from drivers.query import QueryDriver
from tests.drivers.support import make

# the examples of the makers and of the standard: see the golden cases of the drivers
LINES = [b"\n$WIMWV,39,R,1.3,M,A*06\r", b"$WIMWV,282,R,0.1,M,A*37\r\n"]
ANSWERS = [b"00012\r\n", b"0\r\n", b"0+3.14+2.718IWO\r\n"]
FRAMES = [bytes.fromhex("aac00600060058d93dab"), bytes.fromhex("aac00900090058d943ab")]

LINE = """
[buses]
x = { driver = "line", port = "/dev/null" }
[devices.one]
bus = "x"
checksum = "nmea"
pattern = '\\$WIMWV,(?P<angle>[^,]+),R,(?P<speed>[^,]+),M,A'
points.angle = { field = "angle" }
points.speed = { field = "speed", scale = 10 }
"""
QUERY = """
[buses]
x = { driver = "query", port = "/dev/null" }
[devices]
one = { bus = "x", address = "0", profile = "sdi12-meter-teros21" }
"""
FRAME = """
[buses]
x = { driver = "frame", port = "/dev/null" }
[devices]
one = { bus = "x", profile = "nova-sds011" }
"""


class Capturing(Protocol):
    setup: BusSetup

    def capture(self, data: bytes, sink: Sink) -> Iterator[None]: ...


noise = st.binary(max_size=60)


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Capturing]:
    folder = tmp_path_factory.mktemp("drivers")
    return {
        "line": make(LineDriver, folder, LINE),
        "query": make(QueryDriver, folder, QUERY),
        "frame": make(FrameDriver, folder, FRAME),
    }


@pytest.mark.parametrize(
    ("name", "sent", "values"),
    [
        ("line", LINES, {"one/angle": {"39", "282"}, "one/speed": {"13", "1"}}),
        ("query", ANSWERS, {"one/water-potential": {"3.14"}, "one/temperature": {"2.718"}}),
    ],
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_make_a_value_that_was_not_sent(
    drivers: dict[str, Capturing], name: str, sent: list[bytes], values: dict[str, set[str]], data: st.DataObject
) -> None:
    stream = b"".join(data.draw(st.lists(noise | st.sampled_from(sent), max_size=8)))
    heard = Heard(drivers[name].setup)
    list(drivers[name].capture(stream, heard))
    for point, value, quality in heard.samples:
        assert quality == "good"
        assert value in values[str(point)]


@given(data=st.lists(noise | st.sampled_from(FRAMES), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_frame_is_never_made_of_other_bytes(drivers: dict[str, Capturing], data: list[bytes]) -> None:
    """A sum of eight bits holds for one in 256 by chance: every value stands in the bytes, beside what frames it."""
    stream = b"".join(data)
    heard = Heard(drivers["frame"].setup)
    list(drivers["frame"].capture(stream, heard))
    said = [heard.samples[at : at + 2] for at in range(0, len(heard.samples), 2)]
    for fine, coarse in said:
        raw = [round(float(str(value[1])) * 10).to_bytes(2, "little") for value in (fine, coarse)]
        assert b"\xaa\xc0" + b"".join(raw) in stream


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (LineDriver, LINE.replace('"nmea"', '"crc9"'), "no checksum is called 'crc9'"),
        (LineDriver, LINE.replace("pattern", "columns = ['a']\npattern"), "by one of template, pattern"),
        (LineDriver, LINE.replace('field = "angle"', 'field = "angel"'), "devices.one.points.angle.field: no line has"),
        (LineDriver, LINE.replace("[^,]+", ".*", 1), ". repeated takes all the rest of the line"),
        (LineDriver, LINE.replace("checksum", "max_line = 4096\nchecksum"), "devices.one.max_line"),
        (LineDriver, LINE.replace("checksum", 'start = "\\r"\nchecksum'), "start cannot be one of the terminators"),
        (QueryDriver, QUERY.replace('address = "0", ', ""), "give address"),
        (QueryDriver, QUERY.replace('port = "/dev/null"', 'port = "/dev/null", timeout = "1m"'), "buses.x.timeout"),
        (QueryDriver, QUERY.replace("profile", 'ask = [{ send = "x", template = "{a}", wait_field = "b" }], profile'),
         "wait_field names no field"),
        (QueryDriver, QUERY.replace("profile", 'ask = [{ send = "x", template = "{a}", until = "b" }], profile'),
         "until ends a wait"),
        (FrameDriver, FRAME.replace("profile", 'start = "4", profile'), "must be bytes in hex"),
        (FrameDriver, FRAME.replace("profile", "length = { at = 2 }, profile"), "give either size, or length"),
        (FrameDriver, FRAME.replace("profile", "points.x = { byte = 9 }, profile"), "no frame is longer than 10 bytes"),
        (FrameDriver, FRAME.replace("profile", 'points.x = { byte = 1, type = "int5" }, profile'), "'int5' is not"),
        (FrameDriver, FRAME.replace("profile", 'escape = { byte = "7d" }, profile'), "a start and an end of one byte"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_told(tmp_path: Path, kind: type[Driver], text: str, told: str) -> None:
    with pytest.raises((SetupError, ConfigErrors)) as caught:
        make(kind, tmp_path, text)
    assert told in str(caught.value)
