"""What the platform is told of the files: all that runs, nothing secret, and nothing where that cannot be done."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Config, load
from config.errors import HIDDEN
from config.loader import sources
from config.prints import fingerprint
from config.pushed import together
from gateway.bundle.disclose import disclosed
from gateway.commands import runs
from gateway.commands.runs import look

MAIN = """\
[gateway]
id = "gw-1"
site = "nord"  # the door's pin: 4711-secret
[uplink]
brokers = ["mqtts://broker.example:8883"]
authority = "authority.json"
batch = "30s"
[buffer]
size = "100MB"
"""
PANEL = """\
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "10.0.0.5"
[devices.meter]
bus = "panel"
address = 3
labels = { street = "Main # 5", password = "s3cr\\"et" }
[devices.meter.points.voltage]
table = "input"
register = 0
"""


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of two files and a profile of its own."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "profiles").mkdir()
    (tmp_path / "conf.d" / "panel.toml").write_text(PANEL)
    (tmp_path / "profiles" / "mine.toml").write_text('name = "mine"\n')
    (tmp_path / "lamppost.toml").write_text(MAIN)
    monkeypatch.setattr(runs, "LOCAL_PROFILES", tmp_path / "profiles")
    return tmp_path / "lamppost.toml"


@pytest.mark.parametrize(
    ("text", "shown", "count"),
    [
        ("x = 1\n", "x = 1\n", 0),
        ('password = "abcd"', f'password = "{HIDDEN}"', 1),
        ("password_file = '/etc/x'\nkey = 'k.pem'", "password_file = '/etc/x'\nkey = 'k.pem'", 0),
        ("u = 'http://me:pw@h/'", f'u = "{HIDDEN}"', 1),
        ('t = { token = """a\nb""", "s" = "#no" }', f't = {{ token = "{HIDDEN}", "s" = "#no" }}', 1),
        ("a = ['x', { my-pin = \"12\" }]", f"a = ['x', {{ my-pin = \"{HIDDEN}\" }}]", 1),
        ('[devices.token]\nname = "lamp"', '[devices.token]\nname = "lamp"', 0),
        ("k = '''\n-----BEGIN PRIVATE KEY-----\nAA\n'''", f'k = "{HIDDEN}"', 1),
        (
            "s = \"\"\"q\"\"\"\"  # it's 5\" wide\np = '''it's'''",
            "s = \"\"\"q\"\"\"\"  # it's 5\" wide\np = '''it's'''",
            0,
        ),
        ('secret = "wxyz"\nlabel = "wxyz"  # wxyz', f'secret = "{HIDDEN}"\nlabel = "{HIDDEN}"  # {HIDDEN}', 2),
        ('secret = "wxyz"\nlabel = "it is wxyz!"', f'secret = "{HIDDEN}"\nlabel = "{HIDDEN}"', 2),
        (
            'api-key = "a"\napp_key = "b"\nauth = "c"',
            f'api-key = "{HIDDEN}"\napp_key = "{HIDDEN}"\nauth = "{HIDDEN}"',
            3,
        ),
        ('pin = 17\nname = ""\npassword = ""', 'pin = 17\nname = ""\npassword = ""', 0),
        ("passwords = { a = 'x', b = ['y'] }", f'passwords = {{ a = "{HIDDEN}", b = ["{HIDDEN}"] }}', 2),
    ],
)
def test_secrets_are_hidden_and_nothing_else_is_touched(text: str, shown: str, count: int) -> None:
    assert disclosed(text) == (shown, count)


@pytest.mark.parametrize("text", ["password = 1234", "token = [1.5]", "secret = { a = 2026-01-01 }", "pin = 1234"])
def test_what_cannot_be_hidden_is_not_told(text: str) -> None:
    with pytest.raises(ValueError, match="is a secret"):
        disclosed(text)


def _token(value: str, form: int) -> str:
    """A text as one of TOML's four strings, where it can be."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    plain = form % 2 and "'" not in value
    quote = {0: '"', 1: "'", 2: '"""', 3: "'''"}[form if plain or form % 2 == 0 else 0]
    return f"{quote}{value if plain else escaped}{quote}"


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
pairs = st.tuples(st.sampled_from(["password", "token", "name", "note"]), words, st.integers(0, 3), words)


@given(st.lists(pairs, max_size=6))
def test_whatever_the_texts_are_no_secret_is_left(found: list[tuple[str, str, int, str]]) -> None:
    lines = [f"{key}{n} = {_token(value, form)} # {note}" for n, (key, value, form, note) in enumerate(found)]
    text = "\n".join(lines)
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    after = tomllib.loads(disclosed(text)[0])
    assert after.keys() == before.keys()
    gone = {value for key, value in before.items() if key.startswith(("password", "token")) and value}
    known = [one for one in {*gone, *(v for v in before.values() if "://" in v and "@" in v)} if len(one) >= 4]
    for key, value in before.items():
        hides = value in gone or any(one in value for one in known) or ("://" in value and "@" in value)
        assert after[key] == (HIDDEN if hides else value)


def test_all_files_are_told_in_their_order_with_what_is_secret_hidden(main: Path) -> None:
    told = look(load(main), main, None, 5)
    assert told is not None
    assert (told.source, told.at_ms, told.hidden, told.reason) == ("own", 5, 1, "")
    assert [name for name, _ in told.texts] == ["lamppost.toml", "conf.d/panel.toml", "profiles/mine.toml"]
    shown = dict(told.texts)
    assert shown["lamppost.toml"] == MAIN.replace("4711-secret", HIDDEN)
    assert shown["conf.d/panel.toml"] == PANEL.replace('s3cr\\"et', HIDDEN)
    assert "s3cr" not in told.to_json()


def test_files_that_were_changed_and_not_loaded_are_not_what_runs(main: Path) -> None:
    config = load(main)
    (main.parent / "conf.d" / "panel.toml").write_text(PANEL + "\n")
    assert look(config, main, None, 5) is None


@pytest.mark.parametrize(
    ("place", "repeated"), [("lamppost.toml", False), ("lamppost.toml", True), ("conf.d/own.toml", False)]
)
def test_what_came_from_afar_is_told_with_the_tables_that_it_leaves_out(
    main: Path, place: str, *, repeated: bool
) -> None:
    if place != main.name:
        main.rename(main.parent / place)
        main.touch()
    pushed = [("main.toml", (MAIN if repeated else "") + PANEL)]
    problems: list[Any] = []
    config = together(sources(main, problems), pushed, [], problems)
    told = look(config, main, pushed, 5)
    assert told is not None
    assert (told.hash, told.source) == (config.fingerprint, "pushed")
    names = [name for name, _ in told.texts]
    more = ["conf.d/own-tables.toml"] if place != main.name and not repeated else []
    assert names == ["main.toml", *more, "profiles/mine.toml"]
    again = main.parent / "again"
    (again / "conf.d").mkdir(parents=True)
    for name, text in told.texts[:-1]:
        (again / name).write_text(text)
    assert _same(load(again / "main.toml")) == _same(config), "it is what runs"


def _same(config: Config) -> str:
    """Without what the folder makes different."""
    labels = {name: device.model_copy(update={"labels": {}}) for name, device in config.devices.items()}
    return repr(config.model_copy(update={"devices": labels})).replace("/again/", "/")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a b.toml", "", "name of a file"),
        ("large.toml", "# x\n" * 140_000, "more than 524288 bytes"),
        ("dense.toml", "".join(f"# {n * 7919 % 99991}\n" for n in range(40_000)), "over the limit of 30000"),
        ("number.toml", "[buses.side]\npassword = 7\n", "a number is a secret"),
    ],
    ids=["name", "large", "dense", "number"],
)
def test_what_cannot_be_told_is_told_as_that(main: Path, name: str, text: str, reason: str) -> None:
    config = load(main)
    (main.parent / "conf.d" / name).write_text(text)
    told = look(config.model_copy(update={"fingerprint": fingerprint(sources(main, []))}), main, None, 5)
    assert told is not None
    assert told.texts == ()
    assert reason in told.reason
    assert json.loads(told.to_json())["files"] is None


def test_a_folder_with_too_many_files_is_told_as_that(main: Path) -> None:
    for n in range(257):
        (main.parent / "profiles" / f"{n}.toml").touch()
    told = look(load(main), main, None, 5)
    assert told is not None
    assert "more than 256 files" in told.reason
