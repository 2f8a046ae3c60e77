"""The profiles and the sample that come with the driver."""

from pathlib import Path

import pytest

from config import ConfigErrors, load_profile
from drivers.modbus import ModbusDriver
from drivers.rehearsal import Outcome, rehearse
from tests.drivers.modbus.support import from_file

FOLDER = Path(__file__).parents[3] / "drivers" / "modbus"
PROFILES = sorted((FOLDER / "profiles").glob("*.toml"))
UNTRIED = {"street-light"}  # the demo's own, which its simulator and a golden case try


def test_the_sample_configuration_is_right() -> None:
    driver = from_file(FOLDER / "sample.toml")
    assert {read.device for read in driver.reads()} == {"meter1", "lamp7"}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda file: file.stem)
def test_a_profile_makes_a_driver(tmp_path: Path, profile: Path) -> None:
    driver = _of_profile(tmp_path, profile.stem)
    assert driver.setup.devices[0].points


@pytest.mark.parametrize("profile", PROFILES, ids=lambda file: file.stem)
def test_a_profile_says_what_its_source_says(profile: Path) -> None:
    found = load_profile(profile, [FOLDER / "profiles"])
    outcomes = list(rehearse(ModbusDriver, found))
    assert not [fault for outcome in outcomes for fault in outcome.faults]
    assert bool(outcomes) != bool(found.untested) or found.name in UNTRIED


def _outcome(folder: Path, name: str, old: str, new: str) -> Outcome:
    """The first test of a profile in which `old` stands as `new`."""
    text = (FOLDER / "profiles" / f"{name}.toml").read_text(encoding="utf-8")
    assert old in text
    file = folder / f"{name}.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return next(iter(rehearse(ModbusDriver, load_profile(file))))


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("carlo-gavazzi-em340", 'order = "CDAB"', 'order = "ABCD"', "voltage-l1 is 15276441.6 (good), expected 233.1"),
        ("eastron-sdm630", "register = 0\n", "register = 2\n", "input 2 to 3 are not given, but wanted for voltage-l1"),
        ("dfrobot-sen0604", 'type = "int16"', 'type = "uint16"', "temperature is 6543.5 (good), expected -10.1"),
        ("abb-b23", "scale = 0.01", "scale = 0.1", "energy-import is 85672 (good), expected 8567.2"),
        ("abb-b23", "sentinel = 0xFFFFFFFFFFFFFFFF", "sentinel = 0xD1290", "energy-import is no value (bad (sent"),
    ],
)  # fmt: skip
def test_a_wrong_profile_is_found(tmp_path: Path, name: str, old: str, new: str, told: str) -> None:
    assert any(told in fault for fault in _outcome(tmp_path, name, old, new).faults)


def test_the_meter_takes_two_requests(tmp_path: Path) -> None:
    driver = _of_profile(tmp_path, "eastron-sdm630")
    # all but the last total lie in 0..75, and the manual allows 80 registers a request (1.1)
    assert [getattr(read.request, "count", 0) for read in driver.reads()] == [76, 2]


def test_the_meter_keeps_its_manual_limit(tmp_path: Path) -> None:
    point = 'points.far = { table = "input", register = 90, type = "float32" }'
    driver = _of_profile(tmp_path, "eastron-sdm630", point)
    assert all(getattr(read.request, "count", 0) <= 80 for read in driver.reads())
    assert len(driver.reads()) == 3


def test_a_meter_of_short_answers_is_asked_in_short_requests(tmp_path: Path) -> None:
    driver = _of_profile(tmp_path, "carlo-gavazzi-em24")
    assert max(getattr(read.request, "count", 0) for read in driver.reads()) <= 11


def _of_profile(folder: Path, name: str, more: str = "") -> ModbusDriver:
    sample = (FOLDER / "testcases" / "read-coils" / "config.toml").read_text().partition("[devices")[0]
    file = folder / "lamppost.toml"
    file.write_text(sample + f'[devices.d]\nbus = "panel"\naddress = 1\nprofile = "{name}"\n{more}\n')
    try:
        return from_file(file)
    except ConfigErrors as error:
        pytest.fail(str(error))
