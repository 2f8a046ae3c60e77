"""All our drivers, found through the entry points, keep what drivers keep; and the checks find those that do not."""

import shutil
from importlib.metadata import entry_points
from pathlib import Path
from typing import ClassVar, TextIO, cast

import pytest

from drivers import registry
from drivers.base import BusSetup, Driver, Options, Read
from drivers.conformance import Check, ConformanceError, check, checks
from drivers.errors import UnknownDriver
from drivers.nmea import NmeaDriver
from drivers.nmea.driver import NmeaBus, NmeaDevice
from ext import Layout

NMEA = Path(__file__).parents[2] / "drivers" / "nmea"
OURS = sorted(
    entry.name
    for entry in entry_points(group=registry.GROUP)
    if entry.dist is not None and entry.dist.name == "lamppost"
)
CHECKS = [(name, one) for name in OURS for one in checks(registry.load(name))]


def test_our_drivers_are_installed() -> None:
    assert {"modbus", "nmea", "ble"} <= set(OURS)


@pytest.mark.parametrize(("name", "one"), CHECKS, ids=[f"{name}-{one}" for name, one in CHECKS])
def test_our_drivers_conform(name: str, one: Check) -> None:
    one()


def test_an_unknown_driver_names_those_that_there_are() -> None:
    with pytest.raises(UnknownDriver, match=r"no driver 'knx' is installed; there are: .*ble.*nmea"):
        registry.load("knx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a conforming folder, to be spoilt."""
    return Path(shutil.copytree(NMEA, tmp_path / "nmea"))


def failing(kind: type[Driver], folder: Path) -> str:
    with pytest.raises(ConformanceError) as caught:
        check(kind, folder)
    return str(caught.value)


def test_a_whole_folder_passes(folder: Path) -> None:
    check(NmeaDriver, folder)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("README.md", "", "README.md: there is no README.md"),
        ("sample.toml", "", "sample.toml: sample.toml: "),
        ("sample.toml", '[gateway]\nid = "a"\nsite = "b"\n', "sample.toml has no point"),
        ("testcases/mda/expected.json", "[]", "testcases/mda: samples are"),
        ("testcases/mda/expected.json", '{"error": "nothing"}', "testcases/mda: raised nothing; expected nothing"),
        ("testcases/mda/expected.json", "{", "expected.json is not JSON"),
        ("testcases/mda/expected.json", '{"sample": []}', "expected.json is neither"),
        ("testcases/mda/frames.txt", "", "frames.txt names no source"),
        ("testcases/mda/config.toml", "", "testcases/mda: raised "),
        ("testcases/error-unit/expected.json", '{"error": "another"}', "testcases/error-unit: raised "),
        ("testcases/damaged/expected.json", '{"samples": []}', "testcases/damaged: samples are"),
    ],
)
def test_what_a_folder_lacks_is_told(folder: Path, file: str, text: str, told: str) -> None:
    (folder / file).write_text(text)
    assert told in failing(NmeaDriver, folder)


def test_a_folder_without_cases_is_told(folder: Path) -> None:
    shutil.rmtree(folder / "testcases")
    told = failing(NmeaDriver, folder)
    assert "testcases: there is no testcases/<name>/" in told
    assert "profiles: no test case uses" in told


class Loose(NmeaDevice):
    model_config: ClassVar = {"extra": "allow"}


class LooseOptions(NmeaDriver):
    DeviceOptions: ClassVar[type[Options]] = Loose


class Opener(NmeaDriver):
    opened: ClassVar[list[TextIO]] = []

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self.opened.append(Path("/dev/null").open())  # noqa: SIM115 - left open: that is what must be found


class Unsteady(NmeaDriver):
    def reads(self) -> list[Read]:
        return [Read("wind", (("wind/direction", Layout(id(object()) % 3, "uint8")),), object())]


class Stray(NmeaDriver):
    def reads(self) -> list[Read]:
        return [Read("wind", (("weather/pressure", Layout(0)),))]


class Double(NmeaDriver):
    def reads(self) -> list[Read]:
        return [Read("wind", (("wind/direction", Layout(0)),))] * 2


class Asked(NmeaDriver):
    def reads(self) -> list[Read]:
        return [Read("wind", (("wind/direction", Layout(0)),), every=1000)]


class CloseOnce(NmeaDriver):
    closed = False

    async def close(self) -> None:
        if self.closed:
            raise ConformanceError("closed twice")
        self.closed = True


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (LooseOptions, "options: DeviceOptions takes unknown keys"),
        (Opener, "constructor: the constructor opened a file"),
        (Unsteady, "reads: reads() differs"),
        (Stray, "reads: weather/pressure is no point of wind"),
        (Double, "reads: a point is carried by two reads"),
        (Asked, "reads: a read of wind every 1000 ms"),
        (CloseOnce, "close: closed twice"),
    ],
)
def test_what_a_driver_does_wrong_is_told(kind: type[Driver], told: str, folder: Path) -> None:
    assert told in failing(kind, folder)
    while Opener.opened:
        Opener.opened.pop().close()


def test_options_reach_the_driver_checked(tmp_path: Path) -> None:
    from tests.drivers.support import make

    driver = make(NmeaDriver, tmp_path, '[buses]\nmast = { driver = "nmea", port = "/dev/ttyUSB0" }\n')
    assert cast("NmeaBus", driver.setup.options).baud == 4800
