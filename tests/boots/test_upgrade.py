"""A newer version takes over what the old one had; an older one is refused where it could not."""

import json
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.boots.machine import Machine
from tests.boots.test_service import CONFIG, DEVICE_UNIT, configure, pid

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

UPLINK = '[uplink]\nbrokers = ["mqtt://127.0.0.1:1883"]\nauthority = "authority.json"\n'
DATA = "/var/lib/lamppost-collector"
KEYS = f"""\
install -d -m 700 -o lamppost-collector -g lamppost-collector {DATA}
sudo -u lamppost-collector lamppost-collector key new {DATA}/acknowledge.key >/etc/lamppost/authority.json
chmod 644 /etc/lamppost/authority.json
sudo -u lamppost lamppost key new /etc/lamppost/keys/batch.key >/dev/null
lamppost key show | sudo -u lamppost-collector lamppost-collector gateways add -
"""
ENOUGH = 1000
BACKLOG_S = 60.0
DELIVERED_S = 60.0


def repacked(deb: Path, folder: Path, version: str) -> bytes:
    """The same package by another version."""
    tree = folder / f"tree-{version}"
    subprocess.run(["dpkg-deb", "-R", str(deb), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    lines = control.read_text().splitlines()
    control.write_text("\n".join(f"Version: {version}" if at.startswith("Version:") else at for at in lines) + "\n")
    made = folder / f"{version}.deb"
    words = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", str(tree), str(made)]
    subprocess.run(words, check=True, capture_output=True)
    return made.read_bytes()


def version(box: Machine) -> str:
    return box.run("dpkg-query --show --showformat='${Version} ${Status}' lamppost")


def delivered(box: Machine) -> Counter[tuple[str, float]]:
    """How often the platform has each value of each point: the device gives each of them once."""
    rows = box.run("lamppost-collector query --limit 1000000 --json").splitlines()
    found = [json.loads(row) for row in rows]
    return Counter((row["point"], row["value"]) for row in found if row["value"] is not None)


def missing(found: Counter[tuple[str, float]]) -> set[int]:
    """The answers of the device that the platform has nothing of; one was perhaps under way when a version stopped."""
    values = {int(value) for _, value in found}
    return set(range(1, max(values))) - values


def test_an_upgrade_with_a_backlog_loses_and_doubles_nothing(box: Machine, deb: Path, tmp_path: Path) -> None:
    box.put("/etc/systemd/system/device.service", DEVICE_UNIT)
    box.put("/root/newer.deb", repacked(deb, tmp_path, "99.0"))
    box.boot()
    box.run(KEYS)
    configure(box, CONFIG.replace("500ms", "100ms") + UPLINK)
    box.run("systemctl stop mosquitto; systemctl enable --quiet --now device lamppost-collector lamppost")
    box.until('lamppost status --json | grep -qE \'"held":."batches":[0-9]*,"samples":[0-9]{4,}\'', BACKLOG_S)
    before = pid(box)
    box.run("apt-get install --yes ./newer.deb")
    assert version(box) == "99.0 install ok installed"
    assert pid(box) not in ("0", before)
    assert box.run("grep every /etc/lamppost/lamppost.toml").endswith('every = "100ms" }')
    box.run("systemctl start mosquitto")
    box.until('lamppost status --json | grep -qE \'"held":."batches":0,\'', DELIVERED_S)
    deadline = time.monotonic() + DELIVERED_S
    while len(found := delivered(box)) < ENOUGH or len(missing(found)) > 1:  # what was sampled undated waits for dates
        assert time.monotonic() < deadline, sorted(missing(found))
    assert set(found.values()) == {1}
    assert "gw-0001" not in box.run("lamppost-collector gaps --state open 2>/dev/null || true")


def test_an_older_version_is_refused_only_where_it_does_not_know_the_store(
    box: Machine, deb: Path, tmp_path: Path
) -> None:
    box.put("/etc/systemd/system/device.service", DEVICE_UNIT)
    box.put("/root/older.deb", repacked(deb, tmp_path, "0.0.1"))
    box.put("/root/newer.deb", repacked(deb, tmp_path, "99.0"))
    box.boot()
    box.run(KEYS)
    configure(box, CONFIG)
    box.run("systemctl enable --quiet --now device lamppost")
    present = version(box)
    install = "apt-get install --yes --allow-downgrades ./older.deb"
    store = "import sqlite3; print(*sqlite3.connect('/var/lib/lamppost/buffer.db').execute('PRAGMA user_version{}'))"
    known = box.run(f'python3 -c "{store.format("")}"').strip("(,)")
    box.run("systemctl stop lamppost")
    box.run(f'python3 -c "{store.format(f"={int(known) + 1}")}"')
    said = box.run(install, check=False)
    assert f"is of version {int(known) + 1}, and lamppost" in said
    assert f"knows {known} at most: not installed" in said
    assert version(box) == present
    box.run("mkdir -p /usr/local/lib/systemd/system; touch /usr/local/lib/systemd/system/lamppost.service")
    assert "sudo make uninstall first" in box.run(install, check=False)
    assert version(box) == present
    box.run("rm /usr/local/lib/systemd/system/lamppost.service; systemctl daemon-reload")
    box.run(f'python3 -c "{store.format(f"={known}")}"; systemctl start lamppost')
    before = pid(box)
    box.run(install)
    assert version(box) == "0.0.1 install ok installed"
    assert pid(box) not in ("0", before)
    box.run(f'systemctl stop lamppost; python3 -c "{store.format("=65535")}"')  # as the agent's user could
    box.run("apt-get install --yes ./newer.deb")
    assert version(box) == "99.0 install ok installed"
