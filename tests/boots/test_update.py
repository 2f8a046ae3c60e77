"""Updates by `lamppost update`: a good one, one that hangs, and a power cut in the middle of dpkg."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from buffer.migrate import OLDEST, VERSION
from tests.boots.machine import Machine
from tests.boots.test_service import CONFIG, DEVICE_UNIT, configure, pid
from tests.boots.test_upgrade import BACKLOG_S, DELIVERED_S, ENOUGH, delivered, missing, version

pytestmark = [pytest.mark.slow, pytest.mark.timeout(560)]

DATA = "/var/lib/lamppost-collector"
KEYS = f"""\
install -d -m 700 -o lamppost-collector -g lamppost-collector {DATA}
install -d -m 700 -o lamppost -g lamppost /var/lib/lamppost
sudo -u lamppost-collector lamppost-collector key new {DATA}/acknowledge.key >/root/acknowledge.json
lamppost-collector key new --role authority /root/authority.key >/etc/lamppost/authority.json
lamppost-collector key new --role update /root/update.key >/root/update.json
lamppost-collector keyring new /root/ring.toml
lamppost-collector keyring add /root/ring.toml /root/acknowledge.json --name platform --scope '*' --until never
lamppost-collector keyring add /root/ring.toml /root/update.json --name builder --scope site-1 --until never
lamppost-collector keyring sign /root/ring.toml --key /root/authority.key --number 1 --yes -o /root/keyring.cose
install -m 600 -o lamppost -g lamppost /root/keyring.cose /var/lib/lamppost/keyring.cose
install -m 644 /etc/lamppost/authority.json /etc/lamppost/update-authority.json
chmod 644 /etc/lamppost/authority.json
sudo -u lamppost lamppost key new /etc/lamppost/keys/batch.key >/dev/null
lamppost key show | sudo -u lamppost-collector lamppost-collector gateways add -
"""
UPLINK = '[uplink]\nbrokers = ["mqtt://127.0.0.1:1883"]\nauthority = "authority.json"\n'
FAST = "[Service]\nEnvironment=LAMPPOST_UPDATE_TRIAL_S=30 LAMPPOST_UPDATE_STEADY_S=5 LAMPPOST_UPDATE_LINK_S=45\n"
BACK_S = 300.0
RESTARTS = 3
"""An answer that a process had asked for when it ended is nobody's sample: at most one for each start."""
UNPACKING = "until ls /opt/lamppost/lib/python3*/site-packages/*/*.dpkg-new >/dev/null 2>&1; do :; done"
CONFIGURING = "until test -e /opt/configuring; do sleep 0.1; done"


def package(deb: Path, folder: Path, number: str, edits: dict[str, tuple[str, str]] | None = None) -> bytes:
    """The package by another version, and with texts of its files replaced."""
    tree = folder / f"tree-{number}"
    subprocess.run(["dpkg-deb", "-R", str(deb), str(tree)], check=True)
    changes = {"DEBIAN/control": (r"(?m)^Version: .*$", f"Version: {number}"), **(edits or {})}
    for pattern, (old, new) in changes.items():
        (path,) = tree.glob(pattern)
        text, count = re.subn(old, new, path.read_text())
        assert count == 1, pattern
        path.write_text(text)
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
    made = folder / f"{number}.deb"
    words = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", str(tree), str(made)]
    subprocess.run(words, check=True, capture_output=True)
    return made.read_bytes()


SITE = "opt/lamppost/lib/python3*/site-packages"
HANGS = {
    f"{SITE}/buffer/migrate.py": (r"(?m)^VERSION = \d+", f"VERSION = {VERSION + 1}"),
    f"{SITE}/buffer/schema.py": (
        r"(?m)^STEPS: (.*)\(_create, (.*)\)$",
        (
            r'def _wider(db: Database) -> None:\n    db.execute("CREATE TABLE wider (x)")'
            r"\n\n\nSTEPS: \1(_create, \2, _wider)"
        ),
    ),
    f"{SITE}/gateway/reporting/notify.py": (
        r'(def notify\(.*\n    """.*"""\n)',
        r"\1    import time; time.sleep(100000)\n",
    ),
}


def begin(box: Machine, **packages: bytes) -> None:
    """A box that samples and may be updated by the packages, as `/root/NAME.update`."""
    box.put("/etc/systemd/system/device.service", DEVICE_UNIT)
    box.put("/etc/systemd/system/lamppost-update.service.d/fast.conf", FAST)
    for name, data in packages.items():
        box.put(f"/root/{name}.deb", data)
    box.boot()
    box.run(KEYS)
    for name in packages:
        box.run(f"lamppost-collector update sign /root/{name}.deb --key /root/update.key")
    configure(box, CONFIG.replace("500ms", "100ms") + UPLINK)


def told(box: Machine) -> Any:
    """What the last update came to."""
    return json.loads(box.run("lamppost update --json 2>/dev/null || true"))


def account(box: Machine) -> None:
    """Lost 0, duplicated 0."""
    box.run("systemctl start mosquitto")
    box.until('lamppost status --json | grep -qE \'"held":."batches":0,\'', DELIVERED_S)
    deadline = time.monotonic() + DELIVERED_S
    while len(found := delivered(box)) < ENOUGH or len(missing(found)) > RESTARTS:
        assert time.monotonic() < deadline, sorted(missing(found))
    assert set(found.values()) == {1}
    assert "gw-0001" not in box.run("lamppost-collector gaps --state open 2>/dev/null || true")


BACKLOG = 'lamppost status --json | grep -qE \'"held":."batches":[0-9]*,"samples":[0-9]{4,}\''


def test_an_update_with_a_full_buffer_loses_and_doubles_nothing(box: Machine, deb: Path, tmp_path: Path) -> None:
    begin(box, newer=package(deb, tmp_path, "99.0"))
    box.run("systemctl stop mosquitto; systemctl enable --quiet --now device lamppost-collector lamppost")
    box.until(BACKLOG, BACKLOG_S)
    before = pid(box)
    box.run("useradd technician -G lamppost-operate")
    box.run("install -m 644 /root/newer.update /tmp/newer.update")
    assert "99.0: installed" in box.run("sudo -u technician lamppost update /tmp/newer.update")
    assert version(box) == "99.0 install ok installed"
    assert pid(box) not in ("0", before)
    assert told(box)["floor"] == "99.0"
    box.until("test \"$(echo $(ls /var/lib/lamppost-update))\" = 'incoming state.json'", 60)
    for _ in range(6):  # as often as somebody hands in what is none: the path unit goes on
        box.run("echo none >/var/lib/lamppost-update/incoming/update")
        box.until("test ! -e /var/lib/lamppost-update/incoming/update", 30)
    assert "is not newer than 99.0" in box.run("lamppost update /root/newer.update", check=False)
    box.until("lamppost update | grep -q 'refused: no update'", 20)
    account(box)


def test_a_version_that_hangs_goes_by_itself(box: Machine, deb: Path, tmp_path: Path) -> None:
    present = subprocess.run(["dpkg-deb", "-f", str(deb), "Version"], capture_output=True, text=True, check=True)
    edits = HANGS
    begin(box, hangs=package(deb, tmp_path, "98.0", edits))
    box.run("systemctl enable --quiet --now device lamppost-collector lamppost")
    box.until('lamppost status --json | grep -q \'"up":true,"broker"\'', 30)
    begun = time.monotonic()
    said = box.run("lamppost update /root/hangs.update", check=False, seconds=BACK_S)
    assert "98.0: taken-back: the agent did not become ready" in said
    assert time.monotonic() - begun < BACK_S
    assert version(box) == f"{present.stdout.strip()} install ok installed"
    stamped = box.run(
        "python3 -c \"import sqlite3; print(*sqlite3.connect('/var/lib/lamppost/buffer.db')"
        ".execute('PRAGMA user_version').fetchone())\""
    )
    assert int(stamped) == OLDEST << 16 | VERSION + 1  # the new one had migrated the store
    box.until("lamppost status --json | grep -q '\"committed\":[1-9]'", 20)
    assert told(box)["bad"] == ["98.0"]
    assert "was tried here and did no good" in box.run("lamppost update /root/hangs.update", check=False)
    account(box)


UP = 'lamppost status --json | grep -q \'"up":true,"broker"\''


def test_an_outage_of_the_broker_condemns_no_version(box: Machine, deb: Path, tmp_path: Path) -> None:
    begin(box, newer=package(deb, tmp_path, "96.0"))
    box.run("systemctl enable --quiet --now device lamppost-collector lamppost")
    box.until(UP, 30)
    box.run(
        "lamppost update --no-wait /root/newer.update; until test -e /var/lib/lamppost-update/trial.json; do :; done"
    )
    box.run("systemctl stop mosquitto")
    box.until(
        "lamppost update | grep -q '96.0: untested: the agent did not reach the broker within 45 s; nor does'", BACK_S
    )
    assert version(box) != "96.0 install ok installed"
    assert told(box)["bad"] == []
    box.run("systemctl start mosquitto")
    box.until(UP, 60)
    assert "96.0: installed" in box.run("lamppost update /root/newer.update")
    account(box)


@pytest.mark.parametrize("moment", [UNPACKING, CONFIGURING], ids=["unpacking", "configuring"])
def test_a_power_cut_in_the_middle_of_dpkg_heals_at_boot(box: Machine, deb: Path, tmp_path: Path, moment: str) -> None:
    waits = r"\1\nif [ -e /opt/cut ]; then touch /opt/configuring; sleep 1000; fi"
    begin(box, newer=package(deb, tmp_path, "97.0", {"DEBIAN/postinst": ("(?m)^(set -e)$", waits)}))
    box.run("systemctl stop mosquitto; systemctl disable --quiet mosquitto")
    box.run("touch /opt/cut; systemctl enable --quiet --now device lamppost-collector lamppost")
    box.until(BACKLOG, BACKLOG_S)
    box.run("lamppost update --no-wait /root/newer.update")
    box.run(moment)
    box.cut()
    assert list((box.upper / "var/lib/dpkg/updates").iterdir())  # what dpkg had noted, and not yet brought to its end
    assert (box.upper / "var/lib/lamppost-update/trial.json").exists()
    (box.upper / "opt/cut").unlink()
    box.boot()
    box.until("lamppost update | grep -q '97.0: installed'", BACK_S)
    assert version(box) == "97.0 install ok installed"
    box.until("lamppost status --json | grep -q '\"committed\":[1-9]'", 20)
    account(box)
