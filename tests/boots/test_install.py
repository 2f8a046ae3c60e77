"""From a clean Debian tree to values at the collector over mTLS, by docs/install.md; then removed and purged."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boots.machine import Machine
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ARRIVED_S = 120.0
ADDRESS = "10.0.0.5"  # of the panel, as the page has it
HOST = "platform.example"
CONFIGURATION = "/etc/lamppost/lamppost.toml"
STATE = "/var/lib/lamppost-collector"
SPEAK = f"""\
import asyncio, sys
import aiomqtt
KEYS = "/etc/lamppost/keys/"
async def speak(port, certificate, *topics):
    own = dict(certfile=KEYS + "tls.pem", keyfile=KEYS + "tls.key") if certificate == "own" else {{}}
    tls = aiomqtt.TLSParameters(ca_certs=KEYS + "ca.pem", **own)
    v5 = aiomqtt.ProtocolVersion.V5
    async with aiomqtt.Client("{HOST}", int(port), protocol=v5, tls_params=tls, timeout=3) as client:
        said = asyncio.Queue()
        client._client.on_publish = lambda _c, _u, _mid, code, _p: said.put_nowait(code.value)
        for topic in topics:
            client._client.publish(topic, b"x", qos=1)
            print(await said.get(), end=" ")
asyncio.run(speak(*sys.argv[1:]))
"""
"""Prints the broker's reason codes (MQTT 5, 3.4.2.1): 0 and 16 are taken, 135 is not authorized."""


def part(title: str) -> list[tuple[str, str]]:
    """The blocks to be followed in one of the page's parts."""
    parts = re.split(r"^# ", (ROOT / "docs" / "install.md").read_text(), flags=re.MULTILINE)
    (found,) = [text for text in parts if text.startswith(f"{title}\n")]
    return BLOCK.findall(found)


def test_ten_lines_are_edited() -> None:
    shipped = (ROOT / "systemd" / "lamppost.toml").read_text().splitlines()
    (text,) = [text for kind, text in part("Install on a gateway") if kind == "toml"]
    assert len([line for line in text.splitlines() if line not in shipped]) <= 10


def follow(box: Machine, kind: str, text: str) -> None:
    box.run(text if kind == "sh" else f"cat >{CONFIGURATION} <<'END'\n{text}END\n")


def test_the_page_is_right(machine: Callable[..., Machine], tree: Path, deb: Path) -> None:
    """The platform and the gateway are one box, which has the name and the panel's address of the page."""
    box = machine(tree)
    box.put(f"/root/{deb.name}", deb.read_bytes())
    box.put("/etc/apt/apt.conf.d/yes", 'APT::Get::Assume-Yes "true";\n')  # as who follows the page answers
    box.put("/root/device.py", (ROOT / "tests/boots/device.py").read_text())
    box.boot()
    box.wait()
    box.run(f"ip link set lo up; ip address add {ADDRESS}/32 dev lo; echo 127.0.0.1 {HOST} >>/etc/hosts")
    box.start(f"exec python3 device.py {ADDRESS} 502")
    once, steps = part("The platform, once"), part("Install on a gateway")
    assert (len(once), len(steps)) == (2, 5)
    begun = time.monotonic()
    for step in (*once, *steps[:-1]):
        follow(box, *step)
    box.until("lamppost-collector query --limit 5 --json | grep -q '\"value\"'", ARRIVED_S)
    assert time.monotonic() - begun < ARRIVED_S
    assert "gw-0001" in box.run(steps[-1][1])
    assert f'"up":true,"broker":"mqtts://{HOST}:8883"' in box.run("lamppost status --json")
    it_is_the_brokers_word_who_speaks(box)
    the_platform_once_more(box)
    removed_and_purged(box)


def it_is_the_brokers_word_who_speaks(box: Machine) -> None:
    """The gateway's listener is for those with a certificate, and there for their own topics; there is no open one."""
    box.run(f"cat >/root/speak.py <<'END'\n{SPEAK}END\n")
    speak = "/opt/lamppost/bin/python3 /root/speak.py"
    assert box.run(f"{speak} 8883 own lamppost/v1/site-1/gw-0001/status lamppost/v1/site-1/gw-0002/batch") == "16 135"
    for port, certificate in ((8883, "none"), (8884, "own"), (1883, "none")):
        assert "Error" in box.run(f"{speak} {port} {certificate} x", check=False)


def the_platform_once_more(box: Machine) -> None:
    """Another `setup` keeps keys and authorities, renews certificates and lets everybody go on."""
    keys = f"sha256sum {STATE}/*.key {STATE}/*ca/* /etc/mosquitto/broker.key"
    before, certificate = box.run(keys), box.run("cat /etc/mosquitto/broker.pem")
    box.run(f"lamppost-collector setup {HOST}")
    assert box.run(keys) == before
    assert box.run("cat /etc/mosquitto/broker.pem") != certificate
    assert box.run(f"find {STATE} ! -user lamppost-collector") == ""
    box.run("systemctl restart mosquitto lamppost-collector lamppost-collector-enroll")
    count = "lamppost-collector query --limit 100000 --json | wc -l"
    known = int(box.run(count))
    box.until(f"test $({count}) -gt {known}", ARRIVED_S)


def removed_and_purged(box: Machine) -> None:
    box.run("apt-get remove --yes lamppost")
    assert box.run("ls /etc/lamppost/keys /opt/lamppost /usr/bin/lamppost 2>&1 || true").startswith("ls: cannot access")
    box.run("test -e /etc/lamppost/keys/batch.key -a -e /var/lib/lamppost/buffer.db")
    said = box.run("apt-get purge --yes lamppost")
    assert "deleting /etc/lamppost: the configuration and this gateway's keys" in said
    assert "deleting /var/lib/lamppost: the buffer" in said
    assert "kept: /var/lib/lamppost-collector" in said
    assert box.run("ls -d /etc/lamppost /var/lib/lamppost* /opt/lamppost /run/lamppost 2>/dev/null || true") == STATE
    assert box.run("systemctl list-units --all --no-legend 'lamppost*'") == ""
