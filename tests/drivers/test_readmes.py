"""The README of each driver of a serial port begins with a configuration that works as it stands."""

import re
from pathlib import Path

import pytest

from config import load as load_config
from drivers.base import points_of
from drivers.registry import load
from drivers.setup import prepare

DRIVERS = Path(__file__).parents[2] / "drivers"
NAMES = ["nmea", "line", "query", "frame", "frame-query", "mbus", "p1", "iec62056", "sml"]
LINES = 10


@pytest.mark.parametrize("name", NAMES)
def test_ten_lines_from_nothing_to_values(tmp_path: Path, name: str) -> None:
    folder = DRIVERS / name.replace("-", "_")
    found = re.search(r"```toml\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert found is not None
    lines = [line for line in found[1].splitlines() if line and not line.startswith("#")]
    assert len(lines) <= LINES
    file = tmp_path / "lamppost.toml"
    file.write_text(found[1])
    (driver,) = prepare(load_config(file, profiles=[folder / "profiles"]), load)
    assert driver.setup.bus.driver == name
    assert {device.device.id for device, _ in points_of(driver.setup)} == {d.device.id for d in driver.setup.devices}
    assert driver.setup.devices
