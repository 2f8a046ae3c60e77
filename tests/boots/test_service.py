"""The service as systemd runs it: quick to start, back after a hang, a cut or a mistake, and shut in."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boots.machine import Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONFIG = """\
[gateway]
id = "gw-0001"
site = "site-1"
key = "/etc/lamppost/keys/batch.key"
[buffer]
commit = "1s"
keep_free = "0B"
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = 5020
[devices]
meter = { bus = "panel", address = 1, profile = "eastron-sdm630", every = "500ms" }
"""
NEVER_ONLINE = """\
[Unit]
DefaultDependencies=no
Before=network-online.target time-sync.target bluetooth.target
[Service]
Type=oneshot
ExecStart=/bin/sleep infinity
[Install]
WantedBy=network-online.target time-sync.target bluetooth.target
"""
DEVICE_UNIT = """\
[Service]
ExecStart=/usr/bin/python3 /opt/device.py 127.0.0.1 5020
[Install]
WantedBy=multi-user.target
"""
UPLINK = '[uplink]\nbrokers = ["mqtt://{address}:1884"]\nacknowledge = "broker"\n'
MAST = """\
[buses.mast]
driver = "nmea"
port = "/dev/ttyUSB0"
[devices]
wind = { bus = "mast", profile = "nmea-mwv" }
"""
COMMITTED = "lamppost status --json | grep -q '\"committed\":[1-9]'"
FIRST_SAMPLE_S = 10.0
STOP_S = 5.0
BACK_S = 35.0


@pytest.fixture
def running(box: Machine) -> Machine:
    """Configured, with a key and a device, and sampling."""
    box.put("/etc/systemd/system/device.service", DEVICE_UNIT)
    box.boot()
    box.run("sudo -u lamppost lamppost key new /etc/lamppost/keys/batch.key >/dev/null")
    configure(box, CONFIG)
    box.run("systemctl enable --quiet --now device lamppost")
    box.until(COMMITTED, FIRST_SAMPLE_S)
    return box


def configure(box: Machine, text: str) -> None:
    box.run(f"cat >/etc/lamppost/lamppost.toml <<'END'\n{text}END\n")


def pid(box: Machine) -> str:
    return box.run("systemctl show lamppost -p MainPID --value")


def test_a_hung_agent_is_killed_and_back(running: Machine) -> None:
    hung, begun = pid(running), time.monotonic()
    running.run(f"kill -STOP {hung}")
    running.until(f"test $(systemctl show lamppost -p MainPID --value) -ne {hung} && {COMMITTED}", BACK_S + 5)
    assert time.monotonic() - begun < BACK_S
    assert "Watchdog timeout" in running.run("journalctl --no-pager -u lamppost")


def test_it_starts_and_stops_quickly_with_nothing_around_it_and_after_a_cut(running: Machine) -> None:
    configure(running, CONFIG.replace('commit = "1s"', 'commit = "20s"'))
    running.run("systemctl restart lamppost")
    running.until('lamppost status --json | grep -qE \'"samples":[0-9]{2,},"committed":0\'', FIRST_SAMPLE_S)
    sampled = running.json("lamppost status --json")["buffer"]["samples"]
    begun = time.monotonic()
    running.run("systemctl stop lamppost")
    assert time.monotonic() - begun < STOP_S
    said = running.run("journalctl --no-pager -u lamppost | grep -o 'stopped: [0-9]* samples committed' | tail -1")
    assert int(said.split()[1]) >= sampled
    configure(running, CONFIG)
    running.run("systemctl start lamppost")
    running.until(COMMITTED, FIRST_SAMPLE_S)
    configure(running, CONFIG + UPLINK.format(address="203.0.113.9"))  # nobody answers there
    running.cut()
    running.put("/etc/systemd/system/never-online.service", NEVER_ONLINE)
    wants = running.upper / "etc/systemd/system/multi-user.target.wants"
    for target in ("network-online.target", "time-sync.target"):
        folder = running.upper / f"etc/systemd/system/{target}.wants"
        folder.mkdir(exist_ok=True)
        (folder / "never-online.service").symlink_to("/etc/systemd/system/never-online.service")
        (wants / target).symlink_to(f"/usr/lib/systemd/system/{target}")
    running.boot()
    running.until(COMMITTED, FIRST_SAMPLE_S)
    assert running.run("ip route") == ""
    status = running.json("lamppost status --json")
    assert (status["clock"], status["uplink"]["up"]) == ("unset", False)
    assert running.run("systemctl is-active network-online.target", check=False) == "inactive"
    assert running.run("systemctl is-active never-online.service", check=False) == "activating"


def test_a_mistake_in_the_configuration_stops_nothing_that_ran(running: Machine) -> None:
    configure(running, CONFIG.replace("port = 5020", "prot = 5020"))
    running.run("systemctl restart lamppost")
    running.until(COMMITTED, FIRST_SAMPLE_S)
    for command in ("lamppost status", "lamppost doctor", "journalctl --no-pager -u lamppost"):
        assert "prot" in running.run(command, check=False), command
    assert "runs the last one without mistakes" in running.run("lamppost doctor | tr -s ' \n' ' '", check=False)
    running.run("systemctl stop lamppost; rm -r /var/lib/lamppost/configuration; systemctl start lamppost || true")
    running.until("systemctl is-failed --quiet lamppost", STOP_S)
    assert running.run("systemctl show lamppost -p ExecMainStatus --value") == "78"
    configure(running, CONFIG)
    running.run("systemctl start lamppost")
    running.until(COMMITTED, FIRST_SAMPLE_S)
    before = pid(running)
    configure(running, CONFIG + 'meter2 = { bus = "panel", address = 2, profile = "eastron-sdm630" }\n')
    running.run("systemctl reload lamppost")
    running.until('lamppost status --json | grep -q \'"id":"meter2"\'', FIRST_SAMPLE_S)
    configure(running, CONFIG.replace("port = 5020", "prot = 5020"))
    assert "prot" in running.run("systemctl reload lamppost || journalctl --no-pager -u lamppost -n 20", check=False)
    assert pid(running) == before


def test_it_has_no_right_and_listens_nowhere(running: Machine) -> None:
    status = running.run(f"cat /proc/{pid(running)}/status")
    assert set(re.findall(r"^Cap(?:Prm|Eff|Bnd|Amb):\s+(\w+)$", status, re.MULTILINE)) == {"0" * 16}
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert running.run(f"stat -c %U /proc/{pid(running)}") == "lamppost"
    assert "5020" in running.run("ss --no-header --listening --tcp --numeric --processes")  # it is seen if there is one
    assert "lamppost" not in running.run("ss --no-header --listening --tcp --udp --raw --numeric --processes")


def test_what_it_may_reach_follows_the_configuration(running: Machine) -> None:
    """Two addresses that are public by their numbers, on this machine alone."""
    for address in ("203.0.113.7", "203.0.113.8"):
        running.run(f"ip address add {address}/32 dev lo")
    running.run("printf 'listener 1884 0.0.0.0\nallow_anonymous true\n' >/root/broker.conf")
    running.start("exec mosquitto -c /root/broker.conf")
    up = 'lamppost status --json | grep -q \'"up":true,"broker":"mqtt://203\''
    for address in ("203.0.113.7", "203.0.113.8"):  # a restart is enough
        configure(running, CONFIG + UPLINK.format(address=address))
        running.run("systemctl restart lamppost")
        allowed = running.run("systemctl show lamppost -p IPAddressAllow --value").split()
        assert f"{address}/32" in allowed
        assert not {"0.0.0.0/0", "::/0"} & set(allowed)
        running.until(up, 20)
    drop_in = "/etc/systemd/system/lamppost.service.d/addresses.conf"
    running.run(f"mkdir -p $(dirname {drop_in}); printf '[Service]\nIPAddressAllow=203.0.113.7\n' >{drop_in}")
    running.run("systemctl daemon-reload; systemctl restart lamppost")
    with pytest.raises(AssertionError, match="not within"):
        running.until(up, 8)


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal: the end that is a device, and the name of the other."""
    ours, other = os.openpty()
    yield ours, os.ttyname(other)
    os.close(ours)
    os.close(other)


def test_a_serial_port_comes_by_its_group(
    machine: Callable[..., Machine], installed: Path, tree: Path, line: tuple[int, str]
) -> None:
    ours, name = line
    box = machine(installed, tree, options=(f"--bind={name}:/dev/ttyUSB0",))
    box.boot()
    box.run("chown root:dialout /dev/ttyUSB0; chmod 660 /dev/ttyUSB0")
    box.run("sudo -u lamppost lamppost key new /etc/lamppost/keys/batch.key >/dev/null")
    configure(box, CONFIG.partition("[buses")[0] + MAST)
    box.run("chmod 600 /dev/ttyUSB0; systemctl start lamppost")
    box.until("lamppost status --json | grep -q '\"up\":false'", FIRST_SAMPLE_S)
    assert "denied" in box.run("lamppost status").lower()
    box.run("chmod 660 /dev/ttyUSB0; systemctl restart lamppost")
    box.until("lamppost status --json | grep -q '\"up\":true'", FIRST_SAMPLE_S)
    os.write(ours, b"$WIMWV,214.8,R,0.1,K,A*28\r\n")
    box.until("lamppost status --json | grep -q 214.8", FIRST_SAMPLE_S)


BOARD = """
mkdir -p /root/net/end0/device && cd /root/net/end0 && ln -sfn /sys/bus/platform device/subsystem
echo 1 >type && echo 0 >addr_assign_type && echo {address} >address
"""
"""What /sys/class/net has of an interface that is a board's own."""


def test_it_knows_its_board_under_its_own_unit(running: Machine) -> None:
    running.run(BOARD.format(address="dc:a6:32:0b:0c:0d"))
    running.run("mount --bind /root/net /sys/class/net && systemctl restart lamppost")
    running.until(COMMITTED, FIRST_SAMPLE_S)
    running.run(BOARD.format(address="dc:a6:32:ff:ff:01") + "systemctl restart lamppost")
    running.until("lamppost status | grep -q MOVED", FIRST_SAMPLE_S)
