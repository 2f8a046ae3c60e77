"""Every problem of the drivers' part of a configuration is told in one go; a driver that cannot load is one of them."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from config import load
from drivers import registry
from drivers.errors import SetupError, UnknownDriver
from drivers.setup import prepare

CONFIG = """\
[gateway]
id = "gw"
site = "nord"
key = "batch.key"
[buses]
panel = { driver = "modbus", transport = "tcp", host = "127.0.0.1" }
mast = { driver = "nmea", port = "/dev/null", bauds = 4800 }
odd = { driver = "no-such" }
[devices.meter]
bus = "panel"
address = 3
adress = 4
points.power = { table = "holding", register = 40013, type = "uint16" }
points.level = { table = "holding", register = 5, type = "uint17" }
"""


def test_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "lamppost.toml"
    file.write_text(CONFIG)
    with pytest.raises(SetupError) as caught:
        prepare(load(file), registry.load)
    found = {path: message for path, message, _ in caught.value.problems}
    assert set(found) == {
        "devices.meter.adress",
        "devices.meter.points.power.register",
        "devices.meter.points.level.type",
        "buses.mast.bauds",
        "buses.odd.driver",
    }
    assert "baud" in found["buses.mast.bauds"]
    assert "modbus, nmea" in found["buses.odd.driver"]


def test_a_driver_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("acme", "no_such_module_of_acme:Driver", registry.GROUP)
    monkeypatch.setattr(registry, "installed", lambda: {"acme": broken})
    with pytest.raises(UnknownDriver, match=r"'acme' cannot be loaded: ModuleNotFoundError"):
        registry.load("acme")
