"""What is shipped to read: the sample, the page, the schema."""

import re
from pathlib import Path
from typing import Any

import pytest

import config
from config import (
    Buffer,
    Bus,
    Counter,
    Device,
    Gateway,
    Limits,
    Point,
    Profile,
    ProfileTest,
    Report,
    Tls,
    Uplink,
    Writable,
    json_schema,
    load,
)
from config.editor import text
from config.point import Table
from config.schema import TARGET

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
SAMPLE = Path(config.__file__).parent / "lamppost.toml"
BLOCKS = re.findall(r"```toml( profile)?\n(.*?)```", PAGE, re.DOTALL)
MODELS: tuple[type[Table], ...] = (
    Gateway, Uplink, Tls, Buffer, Bus, Device, Point, Report, Limits, Counter, Writable, Profile, ProfileTest,
)  # fmt: skip
GATEWAY = '[gateway]\nid = "gw-1"\nsite = "nord"\n'


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    folder = tmp_path / "profiles"
    folder.mkdir()
    for name, driver in (("eastron-sdm630", "modbus"), ("nmea-mwv", "nmea"), ("ruuvi-df5", "ble")):
        (folder / f"{name}.toml").write_text(f'driver = "{driver}"\n', encoding="utf-8")
    return folder


@pytest.mark.parametrize(("kind", "block"), BLOCKS)
def test_each_example_of_the_page_loads(tmp_path: Path, profiles: Path, kind: str, block: str) -> None:
    file = tmp_path / "lamppost.toml"
    file.write_text(block if kind or "[gateway]" in block else GATEWAY + block, encoding="utf-8")
    if kind:
        assert config.load_profile(file).points
    else:
        assert load(file, profiles=[profiles]).gateway.id


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_page_names_each_key(model: type[Table]) -> None:
    words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`\n]+)`", PAGE))))
    assert not model.keys() - words


def test_the_page_names_each_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)`", PAGE, re.MULTILINE))
    buffer = Buffer()
    assert rows["keep_free"].strip('"') == config.format_size(buffer.keep_free)
    assert rows["size"].strip('"') == config.format_size(buffer.size)
    assert rows["commit"].strip('"') == config.format_duration(buffer.commit)
    assert config.parse_duration(rows["history"].strip('"')) == buffer.history
    assert config.parse_duration(rows["batch"].strip('"')) == Uplink.model_fields["batch"].default
    assert rows["path"].strip('"') == str(buffer.path)
    for model, key in ((Gateway, "timezone"), (Uplink, "root"), (Uplink, "acknowledge"), (Point, "priority")):
        assert rows[key].strip('"') == model.model_fields[key].default


def test_the_sample_loads() -> None:
    loaded = load(SAMPLE)
    assert (loaded.gateway.id, loaded.uplink, loaded.devices) == ("gw-0001", None, {})


def test_the_sample_loads_with_everything_in_it(tmp_path: Path, profiles: Path) -> None:
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    opened = [re.sub(r"^# (?=\[|\w+ = )", "", line) for line in lines]
    file = tmp_path / "lamppost.toml"
    file.write_text("\n".join(opened), encoding="utf-8")
    loaded = load(file, profiles=[profiles])
    assert loaded.uplink is not None
    assert set(loaded.buses) == {"panel", "mast", "air"}
    assert loaded.devices["lamp7"].points["level"].report.max_interval == 900_000


def test_the_schema_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == text(), "run: python -m config.schema"


@pytest.mark.parametrize(
    "model", [m for m in MODELS if m not in (Profile, ProfileTest)], ids=lambda model: model.__name__
)
def test_the_schema_knows_the_keys_that_the_loader_knows(model: type[Table]) -> None:
    schema: dict[str, Any] = json_schema()["$defs"][model.__name__]
    assert set(schema["properties"]) == model.keys()
    assert schema["additionalProperties"] is (model in (Bus, Device, Point))
    assert set(schema.get("required", ())) <= model.keys()


def test_the_schema_has_no_loose_ends() -> None:
    schema = json_schema()
    references = set(re.findall(r'"#/\$defs/(\w+)"', text()))
    assert references == set(schema["$defs"])
    assert '"null"' not in text()


def test_the_schema_speaks_of_durations_as_written() -> None:
    definitions = json_schema()["$defs"]
    assert definitions["Buffer"]["properties"]["commit"]["default"] == "5s"
    assert definitions["Buffer"]["properties"]["size"]["default"] == "512MB"
    assert definitions["Point"]["properties"]["scale"]["default"] == 1
