"""Which device gets which sentence, and what its points make of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ConfigErrors
from drivers.conformance import Heard
from drivers.errors import BadAnswer, SetupError
from drivers.nmea import NmeaDriver
from tests.drivers.support import make

# Vaisala M210822EN-F (MWV); u-blox 6 protocol specification, GPS.G6-SW-10018 (RMC)
WIND = "$WIMWV,39,R,1.3,M,A*06"
PLACE = "$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57"

BUS = '[buses]\nmast = { driver = "nmea", port = "/dev/null" }\n[devices]\n'
ONE = BUS + 'wind = { bus = "mast", profile = "nmea-mwv" }\n'


def replayed(folder: Path, config: str, recording: str) -> Heard:
    driver = make(NmeaDriver, folder, config)
    heard = Heard(driver.setup)
    driver.replay(recording, heard)
    return heard


def test_devices_are_told_apart_by_their_talker(tmp_path: Path) -> None:
    config = (
        BUS
        + """
wind = { bus = "mast", profile = "nmea-mwv", talker = "WI" }
other = { bus = "mast", profile = "nmea-mwv", talker = "II" }
all = { bus = "mast", profile = "nmea-mwv" }
"""
    )
    heard = replayed(tmp_path, config, WIND)
    assert [sample[0] for sample in heard.samples] == ["wind/direction", "wind/speed", "all/direction", "all/speed"]


def test_only_the_wanted_reference_counts(tmp_path: Path) -> None:
    config = (
        BUS
        + """
wind = { bus = "mast", points.true = { sentence = "MWV", field = "angle", reference = "T" } }
"""
    )
    heard = replayed(tmp_path, config, WIND)
    assert heard.samples == []
    assert heard.strangers == []


def test_sentences_that_no_point_wants_are_nobodys_fault(tmp_path: Path) -> None:
    heard = replayed(tmp_path, ONE, PLACE)
    assert (heard.samples, heard.failures, heard.strangers) == ([], [], [])


def test_another_talker_is_a_stranger(tmp_path: Path) -> None:
    heard = replayed(tmp_path, ONE.replace("nmea-mwv", 'nmea-mwv", talker = "WI'), WIND + "\n" + PLACE)
    assert heard.strangers == ["NMEA sentence of another talker"]
    assert len(heard.samples) == 2


def test_damage_is_nobodys_when_a_port_has_several_devices(tmp_path: Path) -> None:
    config = ONE + 'place = { bus = "mast", profile = "nmea-gnss" }\n'
    heard = replayed(tmp_path, config, WIND[:-1] + "7")
    assert heard.strangers == ["damaged NMEA sentence"]
    assert heard.failures == []


def test_scale_offset_and_limits_apply(tmp_path: Path) -> None:
    point = 'sentence = "MWV", field = "angle", reference = "R", scale = 0.0174532925, offset = -0.1'
    heard = replayed(
        tmp_path, BUS + f'wind = {{ bus = "mast", points.angle = {{ {point}, limits = {{ max = 0.5 }} }} }}\n', WIND
    )
    assert heard.samples == [["wind/angle", "0.5806784075", "uncertain (limits)"]]  # 39 * 0.0174532925 - 0.1


@given(recording=st.lists(st.text(max_size=100) | st.sampled_from([WIND, PLACE])).map("\n".join))
def test_no_recording_makes_a_value_that_was_not_sent(tmp_path_factory: pytest.TempPathFactory, recording: str) -> None:
    try:
        heard = replayed(tmp_path_factory.mktemp("nmea"), ONE, recording)
    except BadAnswer:
        return
    for name, value, quality in heard.samples:
        assert quality == "good"
        assert value == {"wind/direction": "39", "wind/speed": "1.3"}[str(name)]


def test_a_recording_of_bytes_must_be_hex(tmp_path: Path) -> None:
    with pytest.raises(BadAnswer, match="not hex"):
        replayed(tmp_path, ONE, "0x24zz")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (ONE.replace(', port = "/dev/null"', ""), "buses.mast.port"),
        (ONE.replace("/dev/null", ""), "buses.mast.port"),
        (ONE.replace('"/dev/null"', '"/dev/null", baud = 0'), "buses.mast.baud"),
        (ONE.replace('"/dev/null"', '"/dev/null", checksum = "no"'), "buses.mast.checksum"),
        (ONE.replace('"/dev/null"', '"/dev/null", bits = 7'), "buses.mast.bits"),
        (ONE.replace('"nmea-mwv"', '"nmea-mwv", talker = "wi"'), "devices.wind.talker"),
        (ONE.replace('"nmea-mwv"', '"nmea-mwv", address = 1'), "devices.wind.address"),
        (ONE.replace('"nmea-mwv"', '"nmea-mwv", points.x = { sentence = "DPT", field = "a" }'), "points.x.sentence"),
        (ONE.replace('"nmea-mwv"', '"nmea-mwv", points.x = { sentence = "GGA" }'), "points.x: say which field of GGA"),
        (ONE.replace('"nmea-mwv"', '"nmea-mwv", points.x = { sentence = "XDR", field = "a" }'), "transducer"),
        (ONE.replace('"nmea-mwv"', '"nmea-mwv", points.x = { sentence = "GGA", transducer = "C/0" }'), "transducer"),
        (ONE.replace('"nmea-mwv"', '"nmea-mwv", points.speed = { unit = "kt" }'), "devices.wind.points.speed.unit"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_told_with_its_place(tmp_path: Path, config: str, told: str) -> None:
    with pytest.raises((SetupError, ConfigErrors)) as caught:
        make(NmeaDriver, tmp_path, config)
    assert told in str(caught.value)
