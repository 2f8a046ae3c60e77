"""The end of a gateway: its platform knows, its keys and data are gone, and the box may begin anew."""

import pytest

from tests.boots.machine import Machine
from tests.boots.test_service import CONFIG, DEVICE_UNIT, configure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOST = "127.0.0.1"
INVITE = "lamppost-collector token add gw-0001 --site site-1 >/root/token.txt"
UPLINK = f"""\
[uplink]
brokers = ["mqtts://{HOST}:8883"]
tls = {{ ca = "keys/ca.pem", cert = "keys/tls.pem", key = "keys/tls.key" }}
authority = "keys/authority.json"
"""
SECRETS = "find /etc/lamppost/keys /var/lib/lamppost /var/lib/lamppost-web ! -type d 2>/dev/null || true"
STOPPED_S, DELIVERED_S = 10.0, 30.0


def begin(box: Machine) -> None:
    box.run(f"{INVITE}; lamppost enroll /root/token.txt >/dev/null")
    configure(box, CONFIG + UPLINK)
    box.run("systemctl enable --quiet --now lamppost lamppost-web")
    box.until("lamppost-collector query --limit 1 --json | grep -q '\"value\"'", DELIVERED_S)
    box.until('lamppost status --json | grep -q \'"up":true,"broker":"mqtts\'', DELIVERED_S)


def states(box: Machine) -> list[str]:
    """Of each key that the platform has of the gateway, the first that it had first."""
    rows = box.run("lamppost-collector gateways list").splitlines()[1:]
    return [next(word for word in ("revoked", "wiped", "ok") if f" {word}" in row) for row in rows if "gw-0001" in row]


def test_the_platform_knows_and_nothing_is_left(box: Machine) -> None:
    box.put("/etc/systemd/system/device.service", DEVICE_UNIT)
    box.boot()
    box.run(f"lamppost-collector setup {HOST}; systemctl restart mosquitto")
    box.run("systemctl enable --quiet --now device lamppost-collector lamppost-collector-enroll")
    begin(box)
    box.run("echo secret >/etc/lamppost/keys/batch.cred; echo secret >/var/lib/lamppost-web/password")
    assert states(box) == ["ok"]

    said = box.run("lamppost wipe --yes --why sold")
    assert "The platform knows." in said
    assert "What flash cannot promise" in said
    assert states(box) == ["wiped"]
    assert "keys and data destroyed" in box.run("lamppost-collector audit")
    (told,) = [row for row in map(box.json, ["lamppost-collector audit --json"]) if row["kind"] == "decommissioned"]
    assert (told["gateway"], told["why"]) == ("gw-0001", "sold")
    box.run("lamppost-collector audit --verify >/dev/null")
    gone(box)

    again = box.run("lamppost wipe --yes")  # harmless
    assert "0 files are to be destroyed" in again
    gone(box)

    begin(box)  # the same box, with new keys
    assert states(box) == ["revoked", "ok"]
    box.run("systemctl stop mosquitto; until lamppost queue | grep -q normal; do sleep 0.2; done")
    cut_off = box.run("lamppost wipe --yes --wait 1 || echo exit code $?", check=False)
    assert "the platform does not know" in cut_off
    assert "destroyed undelivered" in cut_off
    assert "exit code 69" in cut_off
    gone(box)
    assert states(box) == ["revoked", "ok"]


def gone(box: Machine) -> None:
    """Keys, buffer, everything; the services are off and stay off."""
    assert box.run(SECRETS) == ""
    assert box.run("systemctl is-active lamppost lamppost-web", check=False).split() == ["inactive"] * 2
    assert box.run("systemctl is-enabled lamppost lamppost-web", check=False).split() == ["disabled"] * 2
    assert box.run("test -e /etc/lamppost/lamppost.toml && echo kept") == "kept"
