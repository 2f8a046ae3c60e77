"""Where each value of a configuration comes from."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONFIG = """\
[gateway]
id = "gw-1"
site = "nord"
[buses]
panel = { driver = "modbus", transport = "tcp", host = "10.0.0.5", timeout = "700ms" }
"""
MORE = """\
[devices.meter1]
bus = "panel"
address = 3
profile = "eastron-sdm630"
every = "1s"
[devices.meter1.points.voltage-l1]
report = { on = "change", deadband = 0.5 }
[devices.lamp7]
bus = "panel"
address = 7
points.level = { table = "holding", register = 12, writable = { min = 0, max = 100, max_rate = "2/1h" } }
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the verb says, by key."""
    tmp_path = tmp_path_factory.mktemp("effective")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "lamppost.toml").write_text(CONFIG)
    (tmp_path / "conf.d" / "meters.toml").write_text(MORE)
    words = ["config", "show", "--effective", "--json", "--config", str(tmp_path / "lamppost.toml")]
    done = subprocess.run([sys.executable, "-m", "gateway", *words], capture_output=True, check=True, text=True)
    return {row["key"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize(
    ("key", "value", "source", "file"),
    [
        ("gateway.id", "gw-1", "file", "lamppost.toml"),
        ("gateway.timezone", "UTC", "default", ""),
        ("buffer.commit", "5s", "default", ""),
        ("buffer.size", "512MB", "default", ""),
        ("buses.panel.driver", "modbus", "file", "lamppost.toml"),
        ("buses.panel.timeout", "700ms", "file", "lamppost.toml"),
        ("buses.panel.port", 502, "default", ""),
        ("devices.meter1.address", 3, "file", "meters.toml"),
        ("devices.meter1.every", "1s", "file", "meters.toml"),
        ("devices.meter1.max_registers", 80, "profile", "eastron-sdm630.toml"),
        ("devices.meter1.points.voltage-l1.unit", "V", "profile", "eastron-sdm630.toml"),
        ("devices.meter1.points.voltage-l1.report.on", "change", "file", "meters.toml"),
        ("devices.meter1.points.voltage-l1.report.max_interval", "0s", "default", ""),
        ("devices.meter1.points.voltage-l2.unit", "V", "profile", "eastron-sdm630.toml"),
        ("devices.lamp7.points.level.writable.max", 100, "file", "meters.toml"),
        ("devices.lamp7.points.level.writable.max_rate", "2/1h", "file", "meters.toml"),
        ("devices.lamp7.points.level.priority", "normal", "default", ""),
        ("devices.lamp7.points.level.register", 12, "file", "meters.toml"),
    ],
)
def test_each_key_says_where_it_is_from(
    rows: dict[str, dict[str, Any]], key: str, value: object, source: str, file: str
) -> None:
    found = rows[key]
    assert (found["value"], found["source"], Path(found["file"]).name) == (value, source, file)
