"""`lamppost profile`: what there is, and what is told of it."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from drivers import modbus
from gateway.cli.profile import command
from gateway.setup import installation

GUIDE = Path(__file__).parents[2] / "docs" / "drivers.md"
OURS = Path(modbus.__file__).parent / "profiles"
TESTED = '[[tests]]\nsource = "my meter"\ntable = "input"\naddress = 0\nregisters = "4366 3334"\n'


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(installation, "LOCAL_PROFILES", tmp_path)
    return tmp_path


def run(*words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def test_list_says_where_each_comes_from(mine: Path) -> None:
    (mine / "eastron-sdm630.toml").write_text('base = "eastron-sdm630"\ntitle = "Ours, rewired"\n')
    rows = [json.loads(line) for line in run("list", "--json", "--driver", "modbus").stdout.splitlines()]
    assert {row["driver"] for row in rows} == {"modbus"}
    (row,) = [row for row in rows if row["id"] == "eastron-sdm630"]
    assert (row["title"], row["tests"], row["points"]) == ("Ours, rewired", 0, 20)
    assert row["file"] == str(mine / "eastron-sdm630.toml")
    assert row["replaces"] == [str(OURS / "eastron-sdm630.toml")]
    assert "eastron-sdm630.toml stands for" in run("list").stdout.replace("\n", "")


def test_show(mine: Path) -> None:
    (shown,) = [json.loads(line) for line in run("show", "abb-b23", "--json").stdout.splitlines()]
    assert shown["points"][0] == {
        "name": "energy-import", "unit": "kWh", "scale": "0.01",
        "table": "holding", "register": 0x5000, "type": "uint64",
    }  # fmt: skip
    assert "ABB B23" in run("show", "abb-b23").stdout
    assert "energy-import" in run("show", str(OURS / "abb-b23.toml")).stdout


def test_ours_keep_what_their_sources_say(mine: Path) -> None:
    rows = [json.loads(line) for line in run("test", "--json").stdout.splitlines()]
    assert {row["result"] for row in rows} == {"ok", "no vectors"}
    assert sum(row["result"] == "ok" for row in rows) > 20


def test_a_test_that_fails_is_told_and_leaves_with_65(mine: Path) -> None:
    file = mine / "meter.toml"
    file.write_text('base = "eastron-sdm630"\n' + TESTED + "values = { voltage-l1 = 231.2 }\n")
    told = run("test", "meter", code=65).stdout
    assert told == "meter: failed: my meter\n  voltage-l1 is 230.20001220703125 (good), expected 231.2\n"
    (row,) = [json.loads(line) for line in run("test", str(file), "--json", code=65).stdout.splitlines()]
    assert (row["result"], len(row["faults"])) == ("failed", 1)


def test_a_profile_of_ones_own_that_is_not_usable_is_told_with_file_and_key(mine: Path) -> None:
    file = mine / "meter.toml"
    file.write_text('base = "eastron-sdm630"\n[points.voltage-l1]\nregister = "x"\nscale = "y"\n')
    for words in (("list",), ("show", "meter"), ("test", "meter")):
        assert f"{file}: points.voltage-l1.scale: must be a number, without quotes" in run(*words, code=78).stderr
    file.write_text('driver = "modbus"\n[points.a]\ntable = "inputs"\n' + TESTED + "values = { a = 1 }\n")
    done = run("test", "meter", code=78)
    assert f"{file}: points.a.table: " in done.stderr
    file.write_text('driver = "knx"\n')
    assert "no driver 'knx' is installed" in run("test", "meter", code=78).stderr


def test_no_vectors_is_said(mine: Path) -> None:
    told = run("test", "janitza-umg604", "sml-one-way").stdout.splitlines()
    assert told[0].startswith("janitza-umg604: no vectors (no capture")
    assert told[1] == "sml-one-way: no vectors"


def test_an_unknown_profile_names_those_near(mine: Path) -> None:
    with pytest.raises(Exception, match='unknown profile; did you mean "abb-b23"'):
        run("show", "abb-b32")


def test_the_guide_s_profiles_keep_what_they_say(mine: Path) -> None:
    section = GUIDE.read_text("utf-8").partition("## A profile of your own")[2].partition("\n## ")[0]
    acme, added, ruuvi = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    (mine / "acme-m1.toml").write_text(acme)
    (mine / "eastron-sdm630.toml").write_text(added)
    (mine / "tag.toml").write_text('base = "ruuvi-df5"\n' + ruuvi)
    told = run("test", "acme-m1", "eastron-sdm630", "tag").stdout.splitlines()
    assert told[0] == "acme-m1: ok: Acme M1 manual, revision 3, 8.1"
    assert told[1:] == ["eastron-sdm630: no vectors", "tag: ok: Ruuvi data format 5, valid data"]


def test_the_readme_names_every_profile() -> None:
    readme = (OURS.parent / "README.md").read_text("utf-8")
    assert not [file.stem for file in OURS.glob("*.toml") if f"`{file.stem}`" not in readme]


def test_texts_and_numbers_that_a_register_scales_are_tested_as_they_are_read(mine: Path) -> None:
    (mine / "meter.toml").write_text(
        'driver = "modbus"\n[points]\n'
        'maker = { table = "holding", register = 0, type = "string", length = 2 }\n'
        'energy = { table = "holding", register = 2, type = "uint32", scale_register = 4 }\n'
        'state = { table = "holding", register = 5, values = { 0 = "off", 3 = "on" } }\n'
        '[[tests]]\nsource = "SunSpec 1.1; Schneider Electric FA132170"\ntable = "holding"\naddress = 0\n'
        'registers = "5375 6E53 0012 ABCD 0002 0003"\n'
        'values = { maker = "SunS", energy = 122362900, state = "on" }\n'
    )
    assert run("test", "meter").stdout == "meter: ok: SunSpec 1.1; Schneider Electric FA132170\n"
