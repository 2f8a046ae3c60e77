"""The agent runs the last configuration that checked when the one that is there has mistakes."""

import shutil
from pathlib import Path

import pytest

from buffer.keys import SigningKey
from config import ConfigErrors
from gateway.errors import SetupFailed
from gateway.setup import kept

CONFIG = """\
[gateway]
id = "gw-1"
site = "nord"
key = "keys/batch.key"
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "10.0.0.5"
"""
DEVICE = """\
[devices.meter]
bus = "panel"
address = 3
[devices.meter.points.voltage]
table = "input"
register = 0
type = "float32"
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A configuration that checks."""
    (tmp_path / "etc" / "keys").mkdir(parents=True)
    (tmp_path / "etc" / "conf.d").mkdir()
    SigningKey.create(tmp_path / "etc" / "keys" / "batch.key")
    (tmp_path / "etc" / "conf.d" / "meter.toml").write_text(DEVICE)
    path = tmp_path / "etc" / "lamppost.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Where the copy goes."""
    return tmp_path / "state" / "configuration"


def test_without_one_that_checked_the_mistakes_are_the_end(main: Path, copy: Path) -> None:
    main.write_text(CONFIG + "typo = 1\n[nonsense]\n")
    with pytest.raises(ConfigErrors) as caught:
        kept.read(main, copy)
    assert caught.value.exit_code == 78
    assert not copy.exists()


@pytest.mark.parametrize("broken", ["[gateway\n", CONFIG.replace("10.0.0.5", "not a host"), ""])
def test_the_last_that_checked_runs_as_if_it_lay_where_it_was(main: Path, copy: Path, broken: str) -> None:
    before, _ = kept.read(main, copy)
    assert before.wrong == ()
    main.write_text(broken)
    (main.parent / "conf.d" / "meter.toml").unlink()
    found, keys = kept.read(main, copy)
    assert found.wrong
    assert str(main) in found.wrong[0]
    assert found.config.buses == before.config.buses
    assert found.config.devices == before.config.devices
    assert found.config.gateway.key == main.parent / "keys" / "batch.key"
    assert found.config.where("devices.meter") == str(main.parent / "conf.d" / "meter.toml")
    assert keys.signing.kid == SigningKey.load(main.parent / "keys" / "batch.key").kid


def test_a_file_that_is_missing_is_a_mistake_too(main: Path, copy: Path) -> None:
    kept.read(main, copy)
    main.write_text(CONFIG.replace("batch.key", "other.key"))
    found, _ = kept.read(main, copy)
    assert "other.key" in found.wrong[0]
    (main.parent / "keys" / "batch.key").unlink()
    with pytest.raises(SetupFailed):
        kept.read(main, copy)


def test_what_is_mended_is_taken_and_kept_next(main: Path, copy: Path) -> None:
    kept.read(main, copy)
    main.write_text("[gateway\n")
    kept.read(main, copy)
    main.write_text(CONFIG.replace("10.0.0.5", "10.0.0.6"))
    assert kept.read(main, copy)[0].wrong == ()
    main.write_text("[gateway\n")
    assert kept.read(main, copy)[0].config.buses["panel"].options["host"] == "10.0.0.6"


def test_nothing_is_written_where_nothing_changed(main: Path, copy: Path) -> None:
    kept.read(main, copy)
    before = (copy / "main.toml").stat()
    kept.read(main, copy)
    assert (copy / "main.toml").stat() == before


def test_a_cut_between_the_two_renames_costs_nothing(main: Path, copy: Path) -> None:
    kept.read(main, copy)
    copy.rename(copy.with_name("configuration.old"))
    (copy.with_name("configuration.new") / "conf.d").mkdir(parents=True)
    main.write_text("[gateway\n")
    assert kept.read(main, copy)[0].wrong
    main.write_text(CONFIG)
    kept.read(main, copy)
    assert sorted(path.name for path in copy.parent.iterdir()) == ["configuration"]


def test_a_profile_of_the_installation_is_kept_with_it(main: Path, copy: Path, tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "own-meter.toml").write_text('driver = "modbus"\nname = "own-meter"\n')
    kept.keep(main, copy, profiles)
    assert (copy / "profiles" / "own-meter.toml").read_text().startswith("driver")
    shutil.rmtree(profiles)
    kept.keep(main, copy, profiles)
    assert not (copy / "profiles").exists()


def test_the_folder_is_the_services_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert kept.folder() is None
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/lamppost")
    assert kept.folder() == Path("/var/lib/lamppost/configuration")
