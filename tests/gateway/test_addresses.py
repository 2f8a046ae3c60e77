"""What the services may reach follows the configuration."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.setup.addresses import drop_ins, write

BOTH = "198.51.100.2 203.0.113.7"
AGENT, COLLECTOR = "lamppost.service.d/addresses.conf", "lamppost-collector.service.d/addresses.conf"


def _agent(etc: Path, text: str) -> str:
    (etc / "lamppost.toml").write_text(text)
    return drop_ins(etc)[AGENT]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ('[gateway]\nid = "gw"\n', ""),
        ('[uplink]\nbrokers = ["mqtts://203.0.113.7:8883"]', "203.0.113.7"),
        ('[uplink]\nbrokers = ["mqtts://[2001:db8::1]", "mqtt://198.51.100.2"]', "198.51.100.2 2001:db8::1"),
        ('[uplink]\nbrokers = ["mqtts://203.0.113.7", "mqtts://broker.example"]', "any"),
        ('[buses.plant]\ndriver = "modbus"\nhost = "203.0.113.9"', "203.0.113.9"),
        ('[buses.plant]\ndriver = "modbus"\nhost = "plc.example"', "any"),
        ('[uplink]\nbrokers = ["mqtt://localhost:1883"]', ""),
        ('[buses.plant]\ndriver = "modbus"\nhost = "fe80::1%eth0"', "fe80::1"),
        ('[buses.mast]\ndriver = "nmea"\nport = "/dev/ttyUSB0"', ""),
        ("[gateway\n", "any"), ("uplink = 3", "any"), ("[uplink]\nbrokers = [3]", "any"), ("[buses]\na = 3", "any"),
        ('[uplink]\nbrokers = ["mqtt://1.2.3.4\\nExecStart=/bin/sh"]', "any"),
    ],
)  # fmt: skip
def test_the_agent_reaches_its_brokers_and_buses(tmp_path: Path, text: str, allowed: str) -> None:
    assert _agent(tmp_path, text) == (f"[Service]\nIPAddressAllow={allowed}\n" if allowed else "[Service]\n")


@pytest.mark.parametrize("kind", ["pipe", "device", "giant", "deep"])
def test_a_file_that_is_a_trap_holds_up_no_boot(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lamppost.toml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "giant":
        path.touch()
        os.truncate(path, 1 << 40)
    else:
        path.write_text("a = " + "[" * 100_000)
    assert drop_ins(tmp_path)[AGENT] == "[Service]\nIPAddressAllow=any\n"


def test_every_file_counts(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "uplink.toml").write_text('[uplink]\nbrokers = ["mqtt://203.0.113.7"]')
    assert "203.0.113.7" in _agent(tmp_path, '[gateway]\nid = "gw"\n')


def test_no_configuration_shuts_nothing_out(tmp_path: Path) -> None:
    found = {text for name, text in drop_ins(tmp_path).items() if name.endswith("addresses.conf")}
    assert found == {"[Service]\nIPAddressAllow=any\n"}


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("BROKER=mqtt://127.0.0.1:1883\nOPTIONS=\n", "127.0.0.1"),
        ("# BROKER=mqtt://broker.example\nBROKER=mqtts://203.0.113.7\n", "203.0.113.7"),
        ('BROKER=mqtts://203.0.113.7\nOPTIONS="--database postgresql://l@198.51.100.2/l"\n', BOTH),
        ("BROKER=mqtts://203.0.113.7\nOPTIONS=--database postgresql://l@198.51.100.2/l\n", BOTH),
        ("BROKER=mqtts://203.0.113.7\nOPTIONS=--database=sqlite:///var/lib/db\n", "203.0.113.7"),
        ("BROKER='mqtts://unclosed\n", "any"),
    ],
)  # fmt: skip
def test_the_collector_reaches_its_urls(tmp_path: Path, text: str, allowed: str) -> None:
    (tmp_path / "collector.env").write_text(text)
    assert drop_ins(tmp_path)[COLLECTOR] == f"[Service]\nIPAddressAllow={allowed}\n"


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ('{"gateway": "gw-1", "url": "https://203.0.113.7:8444"}', "203.0.113.7"),
        ('{"gateway": "gw-1", "url": "https://enrol.example:8444"}', "any"),
        ('{"gateway": "gw-1"}', ""),
        ("no JSON", "any"), ("[]", "any"), ('{"url": 3}', "any"),
    ],
)  # fmt: skip
def test_renewing_reaches_the_enrolment_server(tmp_path: Path, text: str, allowed: str) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "enrolment.json").write_text(text)
    assert _allowed(tmp_path, "renew") == allowed


def test_a_pipe_in_the_place_of_a_file_that_is_not_roots_does_not_hold_the_boot(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    os.mkfifo(tmp_path / "keys" / "enrolment.json")
    assert _allowed(tmp_path, "renew") == "any"


@pytest.mark.parametrize(
    ("listen", "allowed"),
    [("0.0.0.0:8444", "any"), ("10.0.0.5:8444", "any"), ("[::]:8444", "any"), ("enrol.example:8444", "any"),
     ("127.0.0.1:8444", ""), ("[::1]:8444", "")],
)  # fmt: skip
def test_gateways_come_from_where_they_are_but_through_a_proxy(tmp_path: Path, listen: str, allowed: str) -> None:
    (tmp_path / "collector-enroll.env").write_text(f"# LISTEN=no\nLISTEN={listen}\nCERT=/x\nOPTIONS=\n")
    assert _allowed(tmp_path, "collector-enroll") == allowed


def test_alarms_reach_the_database_and_the_webhook(tmp_path: Path) -> None:
    rules = tmp_path / "alarms.toml"
    rules.write_text('[webhook]\nurl = "https://203.0.113.7/x"\nsecret = "s"\n')
    env = "BROKER=mqtts://broker.example\nOPTIONS=\nLAMPPOST_COLLECTOR_DATABASE=postgresql://l@198.51.100.2/l\n"
    (tmp_path / "collector.env").write_text(f"{env}ALARMS=\n")
    assert _allowed(tmp_path, "collector-alarms") == "198.51.100.2"
    (tmp_path / "collector.env").write_text(f"{env}ALARMS=--rules {rules}\n")
    assert _allowed(tmp_path, "collector-alarms") == BOTH
    rules.unlink()
    assert _allowed(tmp_path, "collector-alarms") == "any"


def test_sealed_keys_go_to_who_needs_them(tmp_path: Path) -> None:
    assert _keys(tmp_path) == {"lamppost": "[Service]\n", "lamppost-renew": "[Service]\n"}
    (tmp_path / "sealed").mkdir()
    for name in ("batch.key", "batch.key.next", "batch.key.new"):
        (tmp_path / "sealed" / name).touch()
    wanted = f"[Service]\nLoadCredentialEncrypted=batch.key:{tmp_path}/sealed/batch.key\n"
    assert _keys(tmp_path) == {"lamppost": wanted, "lamppost-renew": wanted}


def _keys(etc: Path) -> dict[str, str]:
    return {name.partition(".")[0]: text for name, text in drop_ins(etc).items() if name.endswith("keys.conf")}


def _allowed(etc: Path, unit: str) -> str:
    text = drop_ins(etc)[f"lamppost-{unit}.service.d/addresses.conf"]
    return text.removeprefix("[Service]\n").removeprefix("IPAddressAllow=").strip()


def test_drop_ins_are_files_below_the_folder(tmp_path: Path) -> None:
    write({AGENT: "[Service]\n"}, tmp_path)
    assert (tmp_path / AGENT).read_text() == "[Service]\n"


def test_it_needs_the_standard_library_alone() -> None:
    program = "import sys; import gateway.setup.addresses; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"pydantic", "config", "asyncio", "click"} & set(done.stdout.split())
