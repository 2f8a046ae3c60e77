"""What a configuration may say, and what check tells; points that mean no record, or two."""

from decimal import Decimal
from pathlib import Path

import pytest

from config import ConfigErrors
from config.units import MINUTE
from drivers.conformance import Heard
from drivers.errors import SetupError
from drivers.mbus import MbusDriver
from tests.drivers.mbus.slaves import long_frame
from tests.drivers.mbus.telegrams import HEAT, header
from tests.drivers.support import make

BUS = '[buses]\ncellar = { driver = "mbus", port = "/dev/null" }\n[devices.heat]\nbus = "cellar"\n'
ONE = BUS + 'address = 6\npoints.energy = { quantity = "energy", unit = "kWh" }\n'


def heard(folder: Path, points: str, records: str, more: str = "address = 6\n") -> list[list[str | None]]:
    driver = make(MbusDriver, folder, BUS + more + points)
    sink = Heard(driver.setup)
    driver.replay(long_frame(header(HEAT) + bytes.fromhex(records)).hex(), sink)
    assert not sink.failures
    return sink.samples


def test_a_battery_meter_is_read_every_quarter_of_an_hour(tmp_path: Path) -> None:
    (read,) = make(MbusDriver, tmp_path, ONE).reads()
    assert read.every == 15 * MINUTE


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ('supply = "mains"\nevery = "10s"\n', 10_000),
        ('min_every = "1m"\nevery = "5m"\n', 300_000),
        ('every = "1h"\n', 3_600_000),
        ('min_every = "1h"\n', 3_600_000),
    ],
)
def test_periods(tmp_path: Path, text: str, every: int) -> None:
    (read,) = make(MbusDriver, tmp_path, ONE.replace("address = 6\n", "address = 6\n" + text)).reads()
    assert read.every == every


def test_points_of_other_periods_are_other_reads(tmp_path: Path) -> None:
    text = ONE + 'points.volume = { quantity = "volume", unit = "L", every = "1h" }\n'
    reads = make(MbusDriver, tmp_path, text).reads()
    assert [(read.every, read.values) for read in reads] == [
        (15 * MINUTE, ("heat/energy",)), (60 * MINUTE, ("heat/volume",))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("address = 6\n", 'address = 6\nevery = "14m"\n', "devices.heat.every"),
        ('"kWh" }', '"kWh", every = "1m" }', "devices.heat.points.energy.every"),
        ("address = 6\n", 'address = 6\nmin_every = "1h"\nevery = "30m"\n', "devices.heat.every"),
        ('"kWh"', '"m3"', "devices.heat.points.energy.unit"),
        (', unit = "kWh"', "", "devices.heat.points.energy.unit"),
        ('"energy", unit', '"energie", unit', "devices.heat.points.energy.quantity"),
        ('quantity = "energy", ', "", "give the quantity"),
        ("address = 6\n", "", "give either the primary address"),
        ("address = 6\n", 'address = 6\nsecondary = "12345678"\n', "give either the primary address"),
        ("address = 6\n", "address = 253\n", "a primary address is 0 to 250"),
        ("address = 6\n", 'secondary = "1234567"\n', "devices.heat.secondary"),
        ('"/dev/null"', '"/dev/null", baud = 1000', "buses.cellar.baud"),
        ('"/dev/null"', '"/dev/null", host = "10.0.0.9"', "buses.cellar"),
        ('"/dev/null"', '"/dev/null", transport = "tcp"', "buses.cellar"),
    ],
)
def test_a_wrong_configuration_is_told_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises((SetupError, ConfigErrors)) as caught:
        make(MbusDriver, tmp_path, ONE.replace(old, new))
    assert told in str(caught.value)


def test_two_meters_at_one_address(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"devices\.other\.address: is that of heat too"):
        make(MbusDriver, tmp_path, ONE + '[devices.other]\nbus = "cellar"\naddress = 6\n')


@pytest.mark.parametrize(
    ("point", "records", "value"),
    [
        ('quantity = "energy", unit = "MWh"', "0406 C5910000", "37.317"),
        ('quantity = "energy", unit = "Wh"', "0406 C5910000", "37317000"),
        ('quantity = "energy", unit = "J"', "0406 C5910000", None),
        ('quantity = "volume", unit = "L"', "0414 01000000", "10"),
        ('quantity = "on-time", unit = "h"', "0421 3C000000", "1"),
        ('quantity = "on-time", unit = "d"', "0422 01000000", "0.041666667"),
        ('quantity = "energy", unit = "kWh", scale = 2, offset = 0.5', "0406 01000000", "2.5"),
        ('quantity = "energy", unit = "kWh"', "0406 01000000 0406 02000000", None),
        ('quantity = "energy", unit = "kWh", nth = 2', "0406 01000000 0406 02000000", "2"),
        ('quantity = "energy", unit = "kWh", nth = 3', "0406 01000000 0406 02000000", None),
        ('quantity = "energy", unit = "kWh"', "0406 01000000 040E 02000000", "1"),
        ('quantity = "energy", unit = "kWh"', "04863B 01000000", None),
        ('quantity = "energy", unit = "kWh", modifier = "positive"', "04863B 01000000", "1"),
        ('quantity = "energy", unit = "kWh", storage = 1', "0406 01000000 4406 07000000", "7"),
        ('index = 1, unit = "kWh"', "0413 01000000 0406 07000000", "7"),
        ('index = 2, unit = "kWh"', "0413 01000000 0406 07000000", None),
        ('index = 0, unit = "kWh"', "0413 01000000 0406 07000000", None),
        ('quantity = "flow-temperature", unit = "Cel"', "055B 0000C841", "25.0"),
        ('quantity = "meter-id"', "0406 01000000", "44493951"),
    ],
)
def test_which_record_and_in_which_unit(tmp_path: Path, point: str, records: str, value: str | None) -> None:
    ((_, found, quality),) = heard(tmp_path, f"points.x = {{ {point} }}\n", records)
    assert found == value
    assert quality == ("good" if value is not None else "bad (bad answer)")


def test_a_value_of_the_time_of_an_error_is_not_the_value(tmp_path: Path) -> None:
    power = 'quantity = "power", unit = "W"'
    points = f'points.x = {{ {power} }}\npoints.y = {{ {power}, function = "error" }}\n'
    assert heard(tmp_path, points, "342B 01000000") == [
        ["heat/x", None, "bad (sensor fault)"], ["heat/y", "1", "uncertain"]
    ]  # fmt: skip


def test_another_meter_at_the_address_is_a_stranger(tmp_path: Path) -> None:
    driver = make(MbusDriver, tmp_path, ONE.replace("address = 6\n", 'address = 6\nmanufacturer = "KAM"\n'))
    sink = Heard(driver.setup)
    driver.replay(HEAT.hex(), sink)
    assert (sink.samples, sink.strangers) == ([], ["an M-Bus meter that no device is"])


def test_the_smallest_exact_value_survives(tmp_path: Path) -> None:
    point = 'quantity = "current", unit = "A"'
    ((_, found, _),) = heard(tmp_path, f"points.x = {{ {point} }}\n", "04FD50 01000000")
    assert found is not None
    assert Decimal(found) == Decimal("1e-12")
