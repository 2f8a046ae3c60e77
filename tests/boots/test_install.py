"""From a clean Debian tree to values at the collector, by docs/install.md; then removed and purged."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boots.machine import Machine
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ARRIVED_S = 120.0
ADDRESS = "10.0.0.5"  # of the panel, as the page has it
CONFIGURATION = "/etc/lamppost/lamppost.toml"


def test_the_page_is_right(machine: Callable[..., Machine], tree: Path, deb: Path) -> None:
    box = machine(tree)
    box.put(f"/root/{deb.name}", deb.read_bytes())
    box.put("/root/device.py", (ROOT / "tests/boots/device.py").read_text())
    box.boot()
    box.wait()
    box.run(f"ip link set lo up; ip address add {ADDRESS}/32 dev lo; echo 127.0.0.1 broker.example >>/etc/hosts")
    box.start(f"exec python3 device.py {ADDRESS} 502")
    steps = BLOCK.findall((ROOT / "docs" / "install.md").read_text())
    assert len(steps) >= 9
    for kind, text in steps[:-1]:
        box.run(text if kind == "sh" else f"cat >{CONFIGURATION} <<'END'\n{text}END\n")
    box.until("lamppost-collector query --limit 5 --json | grep -q '\"value\"'", ARRIVED_S)
    assert "gw-0001" in box.run(steps[-1][1])
    box.run("apt-get remove --yes lamppost")
    assert box.run("ls /etc/lamppost/keys /opt/lamppost /usr/bin/lamppost 2>&1 || true").startswith("ls: cannot access")
    box.run("test -e /etc/lamppost/keys/batch.key -a -e /var/lib/lamppost/buffer.db")
    said = box.run("apt-get purge --yes lamppost")
    assert "deleting /etc/lamppost: the configuration and this gateway's keys" in said
    assert "deleting /var/lib/lamppost: the buffer" in said
    assert "kept: /var/lib/lamppost-collector" in said
    assert box.run("ls -d /etc/lamppost /var/lib/lamppost* /opt/lamppost /run/lamppost 2>/dev/null || true") == (
        "/var/lib/lamppost-collector"
    )
    assert box.run("systemctl list-units --all --no-legend 'lamppost*'") == ""
