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


PROFILED = """\
[gateway]
id = "gw"
site = "nord"
key = "batch.key"
[buses]
panel = { driver = "modbus", transport = "tcp", host = "127.0.0.1" }
[devices]
"""
PROFILE = """\
driver = "modbus"
title = "A meter"
points.power = { table = "holding", register = 1, type = "uint16", unit = "W" }
points.level = { table = "holding", register = REGISTER, type = "uint16" }
"""


def _profiled(folder: Path, devices: str, register: str = "5") -> Path:
    (folder / "profiles").mkdir()
    (folder / "profiles" / "meter.toml").write_text(PROFILE.replace("REGISTER", register))
    file = folder / "lamppost.toml"
    file.write_text(PROFILED + devices)
    return file


def test_devices_of_one_profile_share_what_was_checked_and_not_what_they_changed(tmp_path: Path) -> None:
    devices = """\
one = { bus = "panel", address = 1, profile = "meter" }
two = { bus = "panel", address = 2, profile = "meter" }
odd = { bus = "panel", address = 3, profile = "meter", points.power.register = 7 }
"""
    config = load(_profiled(tmp_path, devices), profiles=[tmp_path / "profiles"])
    (driver,) = prepare(config, registry.load)
    one, two, odd = ({p.point.name: p.options for p in device.points} for device in driver.setup.devices)
    assert one["power"] is two["power"]
    assert one["level"] is two["level"] is odd["level"]
    assert (one["power"].model_dump()["address"], odd["power"].model_dump()["address"]) == (1, 7)


def test_each_device_of_a_profile_is_told_of_its_mistake(tmp_path: Path) -> None:
    devices = "".join(f'm{n} = {{ bus = "panel", address = {n}, profile = "meter" }}\n' for n in (1, 2))
    config = load(_profiled(tmp_path, devices, register="70000"), profiles=[tmp_path / "profiles"])
    with pytest.raises(SetupError) as caught:
        prepare(config, registry.load)
    paths = {path for path, _, _ in caught.value.problems}
    assert paths == {f"devices.{name}.points.level.register" for name in ("m1", "m2")}
