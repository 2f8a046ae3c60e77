"""Profiles that stand on others, and what profiles say of their tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config import ConfigErrors, Profile, Shelf, load, load_profile

Write = Callable[[str, str], Path]

METER = """
driver = "modbus"
source = "the manual"
every = "10s"
gap = 8
[identify]
vendor = "Example"
[points.voltage]
table = "input"
scale = 0.1
[points.current]
table = "input"
[[tests]]
source = "the manual, 8.1"
values = { voltage = 230.2 }
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return put


def told(file: Path, *folders: Path) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_profile(file, folders)
    return [str(problem).removeprefix(f"{file}: ") for problem in caught.value.problems]


def on_top(write: Write, text: str) -> Profile:
    """A user's `meter` beside ours."""
    ours = write("ours/meter.toml", METER).parent
    mine = write("mine/meter.toml", text)
    return load_profile(mine, [mine.parent, ours])


def test_a_profile_adds_to_ours_of_the_same_name(write: Write) -> None:
    found = on_top(write, 'base = "meter"\ngap = 4\n[points.voltage]\nscale = 0.01\n[points.power]\ntable = "input"\n')
    assert list(found.points) == ["voltage", "current", "power"]
    assert str(found.points["voltage"].scale) == "0.01"
    assert found.points["voltage"].options == {"table": "input"}
    assert (found.driver, found.every, found.options) == ("modbus", 10_000, {"gap": 4})
    assert found.identify == {"vendor": "Example"}


def test_the_tests_of_a_base_are_its_own(write: Write) -> None:
    assert on_top(write, 'base = "meter"\n').tests == ()
    own = '[[tests]]\nsource = "my meter"\nmissing = ["current"]\nframe = "00"\n'
    (test,) = on_top(write, 'base = "meter"\n' + own).tests
    assert (test.source, test.names, test.given) == ("my meter", ("current",), {"frame": "00"})


def test_a_profile_of_the_same_name_stands_for_ours(write: Write) -> None:
    found = on_top(write, 'driver = "modbus"\n[points.power]\ntable = "input"\n')
    assert list(found.points) == ["power"]


def test_a_device_has_the_points_of_all(write: Write) -> None:
    ours = write("ours/meter.toml", METER).parent
    mine = write("mine/meter.toml", 'base = "meter"\n[points.power]\ntable = "input"\n').parent
    write("mine/mine.toml", 'base = "meter"\n')
    text = '[gateway]\nid = "gw"\nsite = "s"\n[buses.b]\ndriver = "modbus"\n[devices.m]\nbus = "b"\nprofile = "mine"\n'
    config = load(write("lamppost.toml", text), profiles=[mine, ours])
    assert list(config.devices["m"].points) == ["voltage", "current", "power"]
    assert Shelf([mine, ours]).files("meter") == [mine / "meter.toml", ours / "meter.toml"]


def test_what_is_wrong_is_told_with_file_and_key(write: Write) -> None:
    ours = write("ours/meter.toml", METER).parent
    mine = write("mine/meter.toml", 'base = "meter"\n[points.voltage]\nscale = "x"\n')
    assert told(mine, ours) == ['points.voltage.scale: must be a number, without quotes (found "x")']
    broken = write("ours/meter.toml", METER.replace("scale = 0.1", 'scale = "y"'))
    (problem,) = told(mine, ours)
    assert problem.startswith(f"{broken}: points.voltage.scale: must be a number")


@pytest.mark.parametrize("base", ["meter", "other"])
def test_no_profile_stands_on_itself(write: Write, base: str) -> None:
    folder = write("other.toml", 'base = "meter"\ndriver = "modbus"\n').parent
    file = write("meter.toml", f'base = "{base}"\ndriver = "modbus"\n')
    assert "base: no other profile has this name" in told(file, folder)[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tests = 3", "tests: must be tables, each under [[tests]] (found 3)"),
        ("[[tests]]\nvalues = { voltage = 1 }", "tests[0].source: is missing; for example source ="),
        ('[[tests]]\nsource = "m"', "tests[0]: give values, for example values = { voltage = 230.2 }, or missing"),
        ('[[tests]]\nsource = "m"\nvalues = { volts = 1 }', "tests[0].volts: no such point; did you mean"),
        ('[[tests]]\nsource = "m"\nvalues = { voltage = nan }', "tests[0].values.voltage: must be a finite number"),
        ('[[tests]]\nsource = "m"\nvalues = { voltage = 1 }\nmissing = ["voltage"]', "has a value and is missing"),
    ],
)
def test_a_test_that_tries_nothing_is_told(write: Write, text: str, problem: str) -> None:
    file = write("meter.toml", f'driver = "modbus"\n{text}\n[points.voltage]\n')
    assert any(problem in line for line in told(file))
