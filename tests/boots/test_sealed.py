"""A gateway whose keys are sealed: enrolled, sampling, renewed, and back after a power cut."""

import pytest

from tests.boots.machine import Machine
from tests.boots.test_service import COMMITTED, CONFIG, DEVICE_UNIT, FIRST_SAMPLE_S, configure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DATA = "/var/lib/lamppost-collector"
KEYS = "/etc/lamppost/keys"
PLATFORM = f"""\
install -d -m 700 -o lamppost-collector -g lamppost-collector {DATA}
cd {DATA}
as() {{ sudo -u lamppost-collector lamppost-collector "$@"; }}
as ca init {DATA}/ca
as ca server {DATA}/ca 127.0.0.1 localhost --cert {DATA}/server.pem --key {DATA}/server.key
as key new --role authority {DATA}/authority.key >/root/authority.json
install -m 644 /root/authority.json {DATA}/authority.json
systemctl start lamppost-collector-enroll
install -m 644 {DATA}/ca/ca.pem {DATA}/server.pem /etc/mosquitto/
install -m 600 -o mosquitto {DATA}/server.key /etc/mosquitto/
as token add gw-0001 --site site-1 --url https://127.0.0.1:8444 --ca {DATA}/ca >/root/token
"""
BROKER = """\
listener 8883 127.0.0.1
cafile /etc/mosquitto/ca.pem
certfile /etc/mosquitto/server.pem
keyfile /etc/mosquitto/server.key
require_certificate true
use_identity_as_username true
"""
UPLINK = f"""\
[uplink]
brokers = ["mqtts://127.0.0.1:8883"]
tls = {{{{ ca = "{KEYS}/ca.pem", cert = "{KEYS}/tls.pem", key = "{KEYS}/tls.key" }}}}
acknowledge = "broker"
""".replace("{{", "{").replace("}}", "}")
SERVE = "exec mosquitto -c /root/broker.conf"
RENEW_NOW = "[Service]\nExecStart=\nExecStart=/opt/lamppost/bin/lamppost enroll --renew --now\n"
UP = 'lamppost status --json | grep -q \'"up":true,"broker":"mqtts://\''
PLAIN = f"find {KEYS} -name '*.key*'"


def works(box: Machine) -> None:
    """It samples, and a broker that asks for certificates takes it; no key lies there for who has the card."""
    box.until(COMMITTED, FIRST_SAMPLE_S)
    box.until(UP, 20)
    assert box.run(PLAIN) == ""


def test_sealed_keys_serve_through_renewal_roll_over_and_a_cut(box: Machine) -> None:
    box.put("/etc/systemd/system/device.service", DEVICE_UNIT)
    box.put("/etc/systemd/system/lamppost-renew.service.d/now.conf", RENEW_NOW)
    box.put("/root/broker.conf", BROKER)
    box.boot()
    box.run(PLATFORM)
    box.until("ss --no-header --listening --tcp --numeric | grep -q 8444", 20)
    box.start(SERVE)
    box.run("lamppost enroll /root/token")
    configure(box, CONFIG + UPLINK)
    box.run("systemctl enable --quiet --now device lamppost")
    box.until(UP, 20)
    assert box.run("lamppost key seal").count("sealed by the host key: there is no TPM") == 2
    works(box)
    kid = box.json("lamppost key show")["kid"]
    assert "only root" in box.run("sudo -u lamppost lamppost key show", check=False)
    before = box.run(f"sha256sum {KEYS}/tls.pem")
    box.run("systemctl start lamppost-renew")
    assert box.run(f"sha256sum {KEYS}/tls.pem") != before
    box.run("lamppost enroll --new-key; systemctl restart lamppost")
    assert box.json("lamppost key show")["kid"] != kid
    works(box)
    box.run("sync")
    box.cut()
    box.boot()
    box.start(SERVE)
    works(box)
    assert ".key" not in box.run("lamppost doctor", check=False)
    box.run("lamppost key unseal")
    box.until(UP, 20)
    assert box.run(f"stat -c '%U %a' {KEYS}/batch.key {KEYS}/tls.key").splitlines() == ["lamppost 600"] * 2
    box.run("lamppost key seal && lamppost wipe --yes || test $? = 69")
    assert box.run(f"{PLAIN}; find /etc/lamppost/sealed -type f") == ""
    box.run("systemctl start lamppost || true")
    assert "lamppost key new" in box.run("journalctl --no-pager -u lamppost | tail -20")


def test_the_platforms_alarms_run_and_reach_their_webhook(box: Machine) -> None:
    box.put("/etc/lamppost-alarms.toml", f'[webhook]\nurl = "https://203.0.113.7/x"\nsecret = "{DATA}/secret"\n')
    box.boot()
    box.run(f"install -d -m 700 -o lamppost-collector -g lamppost-collector {DATA}")
    box.run(f"sudo -u lamppost-collector sh -c 'umask 077; head -c 24 /dev/urandom | base64 >{DATA}/secret'")
    box.run("sed -i 's,^ALARMS=.*,ALARMS=--rules /etc/lamppost-alarms.toml,' /etc/lamppost/collector.env")
    box.run("systemctl start lamppost-collector-alarms")
    box.until(f"test -s {DATA}/collector.db", 20)
    assert box.run("systemctl show lamppost-collector-alarms -p NRestarts --value") == "0"
    allowed = box.run("systemctl show lamppost-collector-alarms -p IPAddressAllow --value").split()
    assert "203.0.113.7/32" in allowed
    assert not {"0.0.0.0/0", "::/0"} & set(allowed)
    box.run("systemctl stop lamppost-collector-alarms")
    assert box.run("systemctl show lamppost-collector-alarms -p Result --value") == "success"
