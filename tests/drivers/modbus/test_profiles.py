"""The profiles and the sample that come with the driver."""

import struct
import tomllib
from pathlib import Path
from typing import Any

import pytest

from config import ConfigErrors
from drivers.modbus import ModbusDriver
from drivers.modbus.pdu import Request
from tests.drivers.modbus.support import Values, from_file

FOLDER = Path(__file__).parents[3] / "drivers" / "modbus"


def test_the_sample_configuration_is_right() -> None:
    driver = from_file(FOLDER / "sample.toml")
    assert {read.device for read in driver.reads()} == {"meter1", "lamp7"}


@pytest.mark.parametrize("profile", sorted((FOLDER / "profiles").glob("*.toml")), ids=lambda file: file.stem)
def test_a_profile_makes_a_driver(tmp_path: Path, profile: Path) -> None:
    driver = _of_profile(tmp_path, profile.stem)
    assert driver.setup.devices[0].points


def _vectors() -> list[tuple[str, dict[str, Any]]]:
    files = sorted((FOLDER / "profiles").glob("*.toml"))
    return [(file.stem, vector) for file in files for vector in tomllib.loads(file.read_text()).get("vectors", [])]


@pytest.mark.parametrize(("profile", "vector"), _vectors())
def test_a_vector_of_a_profile(tmp_path: Path, profile: str, vector: dict[str, Any]) -> None:
    driver = _of_profile(tmp_path, profile)
    sink = Values(driver)
    first = vector["register"]
    wanted = {f"d/{name}": value for name, value in vector["values"].items()}
    (read,) = (r for r in driver.reads() if wanted.keys() & {point for point, _ in r.points})
    assert isinstance(read.request, Request)
    assert read.request.table == vector["table"]
    words = vector["registers"]
    payload = bytearray(2 * read.request.count)
    start = 2 * (first - read.request.address)
    payload[start : start + 2 * len(words)] = struct.pack(f">{len(words)}H", *words)
    sink.scan(read, bytes(payload))
    got = sink.decoded()
    # a document prints a single-precision number shortened, the last bit is lost
    assert {point: got[point] for point in wanted} == pytest.approx(wanted, rel=2**-22)


def test_the_meter_takes_two_requests(tmp_path: Path) -> None:
    driver = _of_profile(tmp_path, "eastron-sdm630")
    # all but the last total lie in 0..75, and the manual allows 80 registers a request (1.1)
    assert [getattr(read.request, "count", 0) for read in driver.reads()] == [76, 2]


def test_the_meter_keeps_its_manual_limit(tmp_path: Path) -> None:
    point = 'points.far = { table = "input", register = 90, type = "float32" }'
    driver = _of_profile(tmp_path, "eastron-sdm630", point)
    assert all(getattr(read.request, "count", 0) <= 80 for read in driver.reads())
    assert len(driver.reads()) == 3


def _of_profile(folder: Path, name: str, more: str = "") -> ModbusDriver:
    sample = (FOLDER / "testcases" / "read-coils" / "config.toml").read_text().partition("[devices")[0]
    file = folder / "lamppost.toml"
    file.write_text(sample + f'[devices.d]\nbus = "panel"\naddress = 1\nprofile = "{name}"\n{more}\n')
    try:
        return from_file(file)
    except ConfigErrors as error:
        pytest.fail(str(error))
