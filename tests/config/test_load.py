"""Loading: files, merging, profiles, where things came from."""

import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from config import Broker, Config, ConfigErrors, load, load_profile
from config.source import MAX_FILE_BYTES, MAX_FILES

Write = Callable[[str, str], Path]

GATEWAY = '[gateway]\nid = "gw-1"\nsite = "nord"\n'
BUS = '[buses]\npanel = { driver = "modbus", host = "10.0.0.5" }\n'
PROFILE = """
driver = "modbus"
source = "a public manual"
every = "5s"
gap = 8
[points.voltage]
register = 0
type = "float32"
unit = "V"
every = "2s"
report = { on = "change", deadband = "2%", min_interval = "1s" }
[points.current]
register = 6
unit = "A"
scale = 0.001
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return put


def problems_of(main: Path, conf_d: Path | None = None) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(main, conf_d)
    assert caught.value.exit_code == 78
    return [str(problem) for problem in caught.value.problems]


def with_profile(write: Write, device: str) -> Config:
    folder = write("profiles/meter.toml", PROFILE).parent
    return load(write("lamppost.toml", GATEWAY + BUS + device), profiles=[folder])


def test_the_example_of_the_contract(write: Write, tmp_path: Path) -> None:
    config = load(
        write(
            "lamppost.toml",
            """
[gateway]
id = "gw-0017"
site = "nord"
key = "/etc/lamppost/keys/batch.key"
timezone = "America/Toronto"
[uplink]
brokers = ["mqtts://broker.example:8883"]
root = "lamppost"
tls = { ca = "ca.pem", cert = "gw.pem", key = "gw.key" }
authority = "authority.json"
acknowledge = "platform"        # or "broker"
batch = "10s"
[buffer]
path = "/var/lib/lamppost/buffer.db"
size = "512MB"
commit = "5s"
history = "24h"
[buses]
street = { driver = "modbus", transport = "rtu", port = "/dev/serial/by-id/usb-A", baud = 9600, stop_bits = 2 }
[devices.lamp7]
bus = "street"
address = 7
every = "10s"
labels = { street = "Main" }
[devices.lamp7.points.level]
table = "holding"
register = 12
type = "uint16"
scale = 0.1
unit = "%"
priority = "normal"
report = { on = "change", deadband = 0.5, max_interval = "15m" }
writable = { min = 0, max = 100, step = 5, revert_after = "1h", safe_value = 100 }
""",
        )
    )
    assert config.gateway.key == Path("/etc/lamppost/keys/batch.key")
    assert config.uplink is not None
    assert config.uplink.brokers == (
        Broker(host="broker.example", port=8883, tls=True, url="mqtts://broker.example:8883"),
    )
    assert config.uplink.tls is not None
    assert config.uplink.tls.ca == tmp_path / "ca.pem"
    assert config.uplink.authority == tmp_path / "authority.json"
    assert config.uplink.batch == 10_000
    assert (config.buffer.size, config.buffer.commit, config.buffer.history) == (512_000_000, 5000, 86_400_000)
    assert config.buses["street"].options["baud"] == 9600
    device = config.devices["lamp7"]
    assert (device.every, device.labels, device.options) == (10_000, {"street": "Main"}, {"address": 7})
    point = device.points["level"]
    assert point.id == "lamp7/level"
    assert point.options == {"table": "holding", "register": 12, "type": "uint16"}
    assert (point.scale, point.unit, point.scaling) == (Decimal("0.1"), "%", (1, 0, -1))
    assert point.report.on == "change"
    assert (point.report.absolute, point.report.percent) == (Decimal("0.5"), Decimal(0))
    assert point.report.max_interval == 900_000
    assert point.writable is not None
    assert (point.writable.min, point.writable.max, point.writable.step) == (Decimal(0), Decimal(100), Decimal(5))
    assert (point.writable.revert_after, point.writable.safe_value) == (3_600_000, Decimal(100))


def test_the_least_that_loads(write: Write) -> None:
    config = load(write("lamppost.toml", GATEWAY))
    assert (config.uplink, config.buses, config.devices) == (None, {}, {})
    assert config.gateway.timezone == "UTC"
    assert config.buffer.size == 512_000_000


def test_an_empty_bus_is_fine(write: Write) -> None:
    assert load(write("lamppost.toml", GATEWAY + BUS)).devices == {}


def test_conf_d_is_read_in_order_and_paths_start_at_their_file(write: Write, tmp_path: Path) -> None:
    main = write("lamppost.toml", GATEWAY + BUS)
    write(
        "conf.d/20-b.toml", '[devices]\nb = { bus = "panel" }\n[uplink]\nbrokers = ["mqtt://x"]\nauthority = "a.json"\n'
    )
    write("conf.d/10-a.toml", '[devices]\na = { bus = "panel" }\n')
    write("conf.d/.c.toml.swp.toml", "]]")
    write("conf.d/notes.txt", "]]")
    config = load(main)
    assert list(config.devices) == ["a", "b"]
    assert config.uplink is not None
    assert config.uplink.authority == tmp_path / "conf.d" / "a.json"
    assert config.where("devices.b.address") == str(tmp_path / "conf.d/20-b.toml")
    assert config.where("buses.panel.host") == str(main)
    assert config.where("nothing.known") == str(main)


def test_another_conf_d(write: Write, tmp_path: Path) -> None:
    main = write("lamppost.toml", GATEWAY + BUS)
    write("conf.d/a.toml", "]]")
    write("other/a.toml", '[devices]\na = { bus = "panel" }\n')
    assert list(load(main, conf_d=tmp_path / "other").devices) == ["a"]
    (told,) = problems_of(main, conf_d=tmp_path / "absent")
    assert told == f"{tmp_path / 'absent'}: cannot be read: no such file or directory"


def test_too_many_files(write: Write, tmp_path: Path) -> None:
    main = write("lamppost.toml", GATEWAY)
    for number in range(MAX_FILES + 1):
        write(f"conf.d/{number}.toml", "")
    (told,) = problems_of(main)
    assert f"more than {MAX_FILES} files" in told


def test_profile_points_come_in_and_the_device_wins_key_by_key(write: Write, tmp_path: Path) -> None:
    config = with_profile(
        write,
        """
[devices.m1]
bus = "panel"
address = 3
profile = "meter"
points.voltage = { unit = "kV", scale = 0.001 }
points.extra = { register = 99 }
""",
    )
    device = config.devices["m1"]
    assert device.every == 5000
    assert device.options == {"gap": 8, "address": 3}
    assert set(device.points) == {"voltage", "current", "extra"}
    voltage = device.points["voltage"]
    assert (voltage.id, voltage.unit, voltage.every) == ("m1/voltage", "kV", 2000)
    assert voltage.options == {"register": 0, "type": "float32"}
    assert (voltage.report.percent, voltage.report.absolute) == (Decimal(2), Decimal(0))
    assert voltage.report.min_interval == 1000
    assert device.points["current"].id == "m1/current"
    main, profile = str(tmp_path / "lamppost.toml"), str(tmp_path / "profiles/meter.toml")
    assert config.where("devices.m1.points.current.register") == profile
    assert config.where("devices.m1.points.voltage.register") == profile
    assert config.where("devices.m1.points.voltage.scale") == main
    assert config.where("devices.m1.points.extra.register") == main
    assert config.where("devices.m1.gap") == profile
    assert config.where("devices.m1.address") == main


def test_a_device_overrides_its_profile(write: Write) -> None:
    config = with_profile(write, '[devices.m1]\nbus = "panel"\nprofile = "meter"\nevery = "1s"\ngap = 0\n')
    assert (config.devices["m1"].every, config.devices["m1"].options) == (1000, {"gap": 0})


def test_the_first_folder_wins(write: Write) -> None:
    first = write("a/meter.toml", 'driver = "modbus"\n[points.first]\n').parent
    second = write("b/meter.toml", 'driver = "modbus"\n[points.second]\n').parent
    main = write("lamppost.toml", GATEWAY + BUS + '[devices]\nm1 = { bus = "panel", profile = "meter" }\n')
    assert list(load(main, profiles=[first, second]).devices["m1"].points) == ["first"]
    assert list(load(main, profiles=[first.parent / "absent", second]).devices["m1"].points) == ["second"]


def test_a_profile_alone(write: Write) -> None:
    profile = load_profile(write("meter.toml", PROFILE))
    assert (profile.name, profile.driver, profile.options) == ("meter", "modbus", {"gap": 8})
    with pytest.raises(ConfigErrors, match="driver: is missing"):
        load_profile(write("none.toml", ""))


def test_missing_file(tmp_path: Path) -> None:
    (told,) = problems_of(tmp_path / "lamppost.toml")
    assert told == f"{tmp_path / 'lamppost.toml'}: cannot be read: no such file or directory"


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root reads everything: be somebody else for the test."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_unreadable_file(write: Write, request: pytest.FixtureRequest) -> None:
    main = write("lamppost.toml", GATEWAY)
    main.chmod(0)
    request.getfixturevalue("nobody")
    (told,) = problems_of(main)
    assert told.endswith("cannot be read: permission denied")


def test_unreadable_folder(write: Write, request: pytest.FixtureRequest) -> None:
    main = write("etc/lamppost.toml", GATEWAY)
    main.parent.chmod(0)
    request.addfinalizer(lambda: main.parent.chmod(0o700))
    request.getfixturevalue("nobody")
    (told,) = problems_of(main)
    assert told.endswith("cannot be read: permission denied")


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_file_that_is_none_does_not_block(tmp_path: Path, kind: str) -> None:
    main = tmp_path / "lamppost.toml"
    if kind == "folder":
        main.mkdir()
    else:
        os.mkfifo(main)
    (told,) = problems_of(main)
    assert told == f"{main}: is not usable: it is not a regular file"


def test_a_file_beyond_the_bound(write: Write) -> None:
    main = write("lamppost.toml", GATEWAY + "# comment\n" * (MAX_FILE_BYTES // 10 + 1))
    (told,) = problems_of(main)
    assert told == f"{main}: is not usable: it is larger than {MAX_FILE_BYTES} bytes"


def test_too_many_points(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.build.MAX_POINTS", 3)
    devices = "".join(f'm{n} = {{ bus = "panel", profile = "meter" }}\n' for n in range(2))
    with pytest.raises(ConfigErrors, match=r"devices\.m1: all devices together have more than 3 points"):
        with_profile(write, "[devices]\n" + devices)


def test_points_of_a_profile_share_their_rules(write: Write) -> None:
    devices = '[devices]\nm1 = { bus = "panel", profile = "meter" }\nm2 = { bus = "panel", profile = "meter" }\n'
    config = with_profile(write, devices)
    first, second = (config.devices[name].points["voltage"] for name in ("m1", "m2"))
    assert first.report is second.report
    assert (first.id, second.id) == ("m1/voltage", "m2/voltage")


def test_models_are_frozen(write: Write) -> None:
    config = load(write("lamppost.toml", GATEWAY))
    with pytest.raises(ValueError, match="frozen"):
        config.gateway.id = "other"  # type: ignore[misc]


def test_what_is_sound_can_be_searched_for_more_problems(write: Write) -> None:
    bad = 'm2 = { bus = "panel", every = 1 }\nm3 = { bus = "panel", profile = "none" }\n'
    main = write("lamppost.toml", BUS + '[devices]\nm1 = { bus = "panel", address = 3 }\n' + bad)
    with pytest.raises(ConfigErrors) as caught:
        load(main)
    partial = caught.value.partial
    assert partial is not None
    assert list(partial.devices) == ["m1"]
    assert partial.devices["m1"].options == {"address": 3}
    assert partial.where("devices.m1.address") == str(main)
