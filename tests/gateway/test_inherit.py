"""The files of the box before are used only where nobody has written here, they run, and name whom the answer names."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from buffer.enrolment import Answer
from buffer.keys import SigningKey
from buffer.running import Running
from gateway.errors import UpdateRefused
from gateway.identity import inherit
from gateway.identity.enrol import Places
from gateway.updates import trust
from tests.conftest import ROOT

MAIN = """\
[gateway]
id = "gw-1"
site = "nord"
key = "keys/batch.key"
[uplink]
brokers = ["mqtts://broker.example"]
authority = "keys/authority.json"
tls = { ca = "keys/ca.pem", cert = "keys/tls.pem", key = "keys/tls.key" }
"""
PANEL = """\
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "10.0.0.5"
[devices.meter]
bus = "panel"
address = 3
profile = "mine"
"""
PROFILE = """\
driver = "modbus"
[points.voltage]
table = "input"
register = 0
"""
TEXTS = (("lamppost.toml", MAIN), ("conf.d/panel.toml", PANEL), ("profiles/mine.toml", PROFILE))
FAST = 'transport = "tcp"\nhost = "10.0.0.5"'
SLOW = 'transport = "rtu"\nport = "/dev/serial/by-id/a"\nbaud = 1200'
RUNNING = Running("ab" * 32, "own", 5, TEXTS)
PACKAGED = '# the package\'s\n[gateway]\nid = "gw-0001"\nsite = "site-1"\n'


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """/etc/lamppost of a new box that was just enrolled."""
    folder = tmp_path / "etc"
    for name in ("keys", "conf.d", "profiles"):
        (folder / name).mkdir(parents=True)
    SigningKey.create(folder / "keys/batch.key")
    (folder / "keys/authority.json").write_text(answer(tmp_path).authority.to_json())
    (folder / "lamppost.toml").write_text(PACKAGED)
    (tmp_path / "packaged.toml").write_text(PACKAGED)
    return folder


def answer(folder: Path) -> Answer:
    path = folder / "authority.key"
    key = (SigningKey.load(path) if path.exists() else SigningKey.create(path)).public("", "", "authority")
    return Answer("gw-1", "nord", "CERT", "CA", key, ("mqtts://broker.example:8883",))


def take(etc: Path, running: Running = RUNNING, **other: object) -> inherit.Outcome:
    made = replace(answer(etc.parent), **other)  # type: ignore[arg-type]
    return inherit.take(made, running, Places(etc / "keys"), etc / "lamppost.toml", etc.parent / "packaged.toml")


def changed(old: str, new: str, bus: str = "") -> Running:
    texts = tuple((name, text.replace(old, new).replace(FAST, bus or FAST)) for name, text in TEXTS)
    assert texts != TEXTS
    return replace(RUNNING, texts=texts)


@pytest.mark.parametrize("there", [PACKAGED, None, MAIN])
def test_in_place_of_what_nobody_has_edited(etc: Path, there: str | None) -> None:
    main = etc / "lamppost.toml"
    main.unlink() if there is None else main.write_text(there)
    assert take(etc) == inherit.Outcome(True, etc / "pulled")
    assert {name: (etc / name).read_text() for name, _ in TEXTS} == dict(TEXTS)
    assert [(etc / name).stat().st_mode & 0o777 for name, _ in TEXTS] == [0o640] * 3
    assert not (etc / "pulled").exists()
    assert take(etc).placed, "the same answer may be taken twice"


def test_whatever_the_main_file_was_called(etc: Path) -> None:
    assert take(etc, replace(RUNNING, texts=(("main.toml", MAIN), *TEXTS[1:]))).placed
    assert (etc / "lamppost.toml").read_text() == MAIN


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lamppost.toml", PACKAGED + "#\n"), ("conf.d/other.toml", ""), ("conf.d/panel.toml", "[buses]\n"),
        ("profiles/mine.toml", "#"), ("profiles/more.toml", ""),
    ],
)  # fmt: skip
def test_what_was_written_here_stays(etc: Path, name: str, text: str) -> None:
    (etc / name).write_text(text)
    outcome = take(etc)
    assert outcome == inherit.Outcome(False, etc / "pulled", (f"{etc / name} was written here",))
    assert (etc / name).read_text() == text
    assert {name: (etc / "pulled" / name).read_text() for name, _ in TEXTS} == dict(TEXTS)


@pytest.mark.parametrize(
    ("running", "reason"),
    [
        (changed("gw-1", "gw-2"), "it is of gw-2 of site nord"),
        (changed("nord", "sued"), "it is of gw-1 of site sued"),
        (changed("mqtts://broker", "wss://broker"), "the platform names no broker wss://broker.example"),
        (changed("broker.example", "thief.example"), "the platform names no broker mqtts://thief.example"),
        (changed("authority =", 'root = "thief"\nauthority ='), "uplink.root is thief, and the platform's is lamppost"),
        (changed("authority =", 'username = "u"\npassword_file = "none"\nauthority ='), "none, which is not here"),
        (changed("batch.key", "other.key"), "gateway.key is"), (changed("authority.json", "a.json"), "authority is"),
        (changed("ca.pem", "c.pem"), "uplink.tls.ca is"), (changed("tls.pem", "t.pem"), "uplink.tls.cert is"),
        (changed("tls.key", "t.key"), "uplink.tls.key is"), (changed('"mine"', '"yours"'), "yours"),
        (replace(RUNNING, texts=TEXTS[:2]), "devices.meter.profile: "),
        (changed("[gateway]", "[gateway"), "not valid TOML"),
        (changed("10.0.0.5", "10.0\0.5"), "not valid TOML"), (replace(RUNNING, hidden=2), "2 values were hidden"),
        (changed("address = 3", "address = 3\nevery = '20ms'", SLOW), "on bus `panel`"),
        (changed("register", "rgister"), "rgister"),
        (changed('ca = "keys/ca.pem", ', ""), "uplink.tls.ca is missing"),
        (changed('authority = "keys/authority.json"', 'acknowledge = "broker"'), "uplink.authority is missing"),
        (changed("authority =", 'proxy = "socks5://203.0.113.9"\nauthority ='), "uplink.proxy is 203.0.113.9"),
        (changed("10.0.0.5", "203.0.113.9", 'transport = "tcp"\nhost = "203.0.113.9"'), "buses.panel.host is 203"),
        (changed("10.0.0.5", "thief.example", 'transport = "tcp"\nhost = "thief.example"'), "host is thief.example"),
        (changed("[uplink]", '[buffer]\npath = "/no/b.db"\n[uplink]'), "buffer.path is /no/b.db"),
        (changed("authority =", 'username = "u"\npassword_file = "/etc/passwd"\nauthority ='), "/etc/passwd as a"),
        (changed("authority =", 'username = "u"\npassword_file = "keys/batch.key"\nauthority ='), "batch.key as a"),
    ],
)  # fmt: skip
def test_what_does_not_run_or_names_others_is_put_aside(etc: Path, running: Running, reason: str) -> None:
    outcome = take(etc, running)
    assert not outcome.placed
    assert any(reason in one for one in outcome.reasons), outcome.reasons
    assert (etc / "lamppost.toml").read_text() == PACKAGED
    assert (etc / "pulled/lamppost.toml").read_text() == running.texts[0][1]
    assert not list((etc / "conf.d").iterdir())


@pytest.mark.parametrize("brokers", [(), ("nonsense",), ("mqtts://other.example",)])
def test_a_platform_that_names_no_such_broker_has_it_put_aside(etc: Path, brokers: tuple[str, ...]) -> None:
    assert take(etc, brokers=brokers).reasons == ("the platform names no broker mqtts://broker.example",)


def test_a_link_in_the_place_of_the_folder_leads_nowhere(etc: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    (etc / "pulled").symlink_to(victim)
    assert take(etc).placed
    assert [file.name for file in victim.iterdir()] == ["file"]


def test_what_no_driver_says_does_not_hinder_a_box_without_an_uplink(etc: Path) -> None:
    alone = MAIN[: MAIN.index("[uplink]")]
    assert take(etc, replace(RUNNING, texts=(("lamppost.toml", alone), *TEXTS[1:]))).placed


def test_a_password_that_was_brought_along_and_a_store_beside_it_are_taken(etc: Path) -> None:
    (etc / "keys/mqtt.password").touch()
    main = f'{MAIN}username = "u"\npassword_file = "keys/mqtt.password"\n[buffer]\npath = "{etc}/b.db"\n'
    assert take(etc, replace(RUNNING, texts=(("lamppost.toml", main), *TEXTS[1:]))).placed


def test_what_is_near_is_what_the_unit_allows() -> None:
    unit = (ROOT / "systemd/lamppost.service").read_text()
    allowed = {word for line in unit.splitlines() if line.startswith("IPAddressAllow=") for word in line[15:].split()}
    assert {str(network) for network in inherit.NEAR[4:]} == allowed - {"localhost", "link-local"}


def test_root_pins_an_authority_of_updates_once(tmp_path: Path) -> None:
    first, second = (SigningKey.create(tmp_path / name).public("", "", "authority") for name in "ab")
    old = os.umask(0)
    try:
        assert trust.pin(first, tmp_path)
    finally:
        os.umask(old)
    assert trust.authority(tmp_path) == first
    assert not trust.pin(first, tmp_path), "it is there"
    with pytest.raises(UpdateRefused, match="another authority"):
        trust.pin(second, tmp_path)
    assert trust.authority(tmp_path) == first
    (tmp_path / trust.AUTHORITY).unlink()
    (tmp_path / trust.AUTHORITY).symlink_to(tmp_path / "nowhere")
    with pytest.raises(UpdateRefused, match="others than root"):
        trust.pin(first, tmp_path)
