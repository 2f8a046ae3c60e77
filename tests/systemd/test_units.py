"""The units say what they must, and systemd takes them."""

import configparser
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

SYSTEMD = ROOT / "systemd"
UNITS = (
    "lamppost.service", "lamppost-collector.service", "lamppost-web.service", "lamppost-collector-web.service",
    "lamppost-collector-enroll.service", "lamppost-collector-alarms.service",
)  # fmt: skip

Program = Callable[[str, str], str]


class _Many(dict[str, str]):
    """Joins the lines of a directive that stands there several times."""

    def __setitem__(self, key: str, value: str) -> None:
        if key in self and isinstance(value, list):
            value = [*self[key], *value]  # configparser collects lines in lists while it reads
        super().__setitem__(key, value)


def _unit(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, dict_type=_Many, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(SYSTEMD / name)
    return parser


@pytest.mark.parametrize("unit", [path.name for path in sorted(SYSTEMD.glob("*.service"))])
def test_systemd_takes_the_unit(unit: str, tmp_path: Path, program: Program) -> None:
    analyze = program("systemd-analyze", "systemd")
    copy = tmp_path / unit  # with programs and files that exist here
    text = re.sub(r"/opt/lamppost/bin/\S+", "/bin/true", (SYSTEMD / unit).read_text())
    copy.write_text(text)
    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("unit", "threshold"),
    [
        ("lamppost.service", 12),
        ("lamppost-collector.service", 10),
        ("lamppost-renew.service", 10),
        ("lamppost-collector-enroll.service", 10),
        ("lamppost-collector-alarms.service", 10),
        ("lamppost-web.service", 10),
        ("lamppost-collector-web.service", 10),
    ],
)
def test_exposure_is_low(unit: str, threshold: int, program: Program) -> None:
    analyze = program("systemd-analyze", "systemd")
    done = subprocess.run(
        [analyze, "security", "--offline=true", f"--threshold={threshold}", "--no-pager", str(SYSTEMD / unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_start_waits_for_the_disk_only(unit: str) -> None:
    section = _unit(unit)["Unit"]
    assert section["After"] == "local-fs.target"
    assert not {"Wants", "Requires", "BindsTo", "Requisite", "PartOf"} & set(section)
    assert section["StartLimitIntervalSec"] == "0"


@pytest.mark.parametrize("unit", UNITS)
def test_a_broken_configuration_is_not_tried_again(unit: str) -> None:
    service = _unit(unit)["Service"]
    assert service["Restart"] == "always"
    assert service["RestartPreventExitStatus"] == "78"


def test_the_agent_is_watched_and_knows_its_boot() -> None:
    service = _unit("lamppost.service")["Service"]
    assert service["Type"] == "notify"
    assert service["WatchdogSec"] == "30s"
    assert "LAMPPOST_BOOT_ID=%b" in service["Environment"].splitlines()


def test_serial_ports_of_every_kind_are_allowed() -> None:
    allowed = _unit("lamppost.service")["Service"]["DeviceAllow"].splitlines()
    assert {f"char-tty{kind} rw" for kind in ("USB", "ACM", "AMA", "S", "SC")} <= set(allowed)


def _as_root(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("making users and folders below another root needs root")
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\ndialout:x:20:\n")
    return tmp_path


def _groups(root: Path) -> dict[str, tuple[int, list[str]]]:
    rows = [line.split(":") for line in (root / "etc" / "group").read_text().splitlines()]
    return {name: (int(gid), members.split(",")) for name, _, gid, members in rows}


def _sysusers(root: Path, program: Program) -> None:
    tool = program("systemd-sysusers", "systemd")
    subprocess.run([tool, f"--root={root}", str(SYSTEMD / "sysusers.d/lamppost.conf")], check=True, capture_output=True)


def test_users_and_groups(tmp_path: Path, program: Program) -> None:
    root = _as_root(tmp_path)
    _sysusers(root, program)
    groups = _groups(root)
    assert {"lamppost", "lamppost-collector", "lamppost-view", "lamppost-operate"} <= set(groups)
    assert groups["dialout"] == (20, ["lamppost"])
    assert groups["bluetooth"][1] == ["lamppost"]
    assert groups["lamppost-view"][1] == ["lamppost-web"]
    assert groups["lamppost-operate"][1] == [""]


def test_the_page_sees_the_status_socket_and_nothing_behind_it() -> None:
    service = _unit("lamppost-web.service")["Service"]
    assert (service["User"], service["Group"]) == ("lamppost-web", "lamppost-web")
    hidden = {path.lstrip("-") for path in service["InaccessiblePaths"].split()}
    assert hidden == {"/etc/lamppost", "/var/lib/lamppost", "/run/lamppost/operate"}
    assert service["IPAddressAllow"] == "localhost"


def test_the_platforms_page_sees_no_key() -> None:
    service = _unit("lamppost-collector-web.service")["Service"]
    hidden = {path.lstrip("-") for path in service["InaccessiblePaths"].split()}
    assert {"/var/lib/lamppost-collector/acknowledge.key", "/etc/lamppost/keys"} == hidden


def test_folders(tmp_path: Path, program: Program) -> None:
    root = _as_root(tmp_path)
    _sysusers(root, program)
    tool = program("systemd-tmpfiles", "systemd")
    configuration = SYSTEMD / "tmpfiles.d/lamppost.conf"
    subprocess.run([tool, f"--root={root}", "--create", str(configuration)], check=True, capture_output=True)
    groups = _groups(root)
    found = {}
    for folder in (
        "run/lamppost",
        "run/lamppost/view",
        "run/lamppost/operate",
        "etc/lamppost",
        "etc/lamppost/keys",
        "var/lib/lamppost-web",
        "var/lib/lamppost-collector-web",
    ):
        status = (root / folder).stat()
        found[folder] = (oct(status.st_mode & 0o7777), status.st_uid != 0, status.st_gid)
    assert found == {
        "run/lamppost": ("0o755", True, groups["lamppost"][0]),
        "run/lamppost/view": ("0o2750", True, groups["lamppost-view"][0]),
        "run/lamppost/operate": ("0o2750", True, groups["lamppost-operate"][0]),
        "etc/lamppost": ("0o750", False, groups["lamppost"][0]),
        "etc/lamppost/keys": ("0o700", True, groups["lamppost"][0]),
        "var/lib/lamppost-web": ("0o2750", False, groups["lamppost-web"][0]),
        "var/lib/lamppost-collector-web": ("0o2750", False, groups["lamppost-collector"][0]),
    }


@pytest.mark.parametrize("unit", ["lamppost-update.path", "lamppost-renew.timer"])
def test_what_the_package_switches_on_starts_a_service_that_is_there(unit: str) -> None:
    assert (SYSTEMD / unit).with_suffix(".service").is_file()
    assert unit in (ROOT / "tools" / "deb").read_text()


def test_a_renewal_writes_to_the_keys_alone() -> None:
    service = _unit("lamppost-renew.service")["Service"]
    assert (service["User"], service["ReadWritePaths"]) == ("lamppost", "/etc/lamppost/keys")
    timer = _unit("lamppost-renew.timer")["Timer"]
    assert (timer["OnCalendar"], timer["RandomizedDelaySec"]) == ("daily", "12h")


def test_an_operator_may_hand_an_update_in_and_change_nothing_else(tmp_path: Path, program: Program) -> None:
    root = _as_root(tmp_path)
    _sysusers(root, program)
    tool = program("systemd-tmpfiles", "systemd")
    configuration = SYSTEMD / "tmpfiles.d/lamppost.conf"
    subprocess.run([tool, f"--root={root}", "--create", str(configuration)], check=True, capture_output=True)
    folder = (root / "var/lib/lamppost-update").stat()
    spool = (root / "var/lib/lamppost-update/incoming").stat()
    assert (oct(folder.st_mode & 0o7777), folder.st_uid, folder.st_gid) == ("0o755", 0, 0)
    assert (oct(spool.st_mode & 0o7777), spool.st_uid, spool.st_gid) == (
        "0o3770",
        0,
        _groups(root)["lamppost-operate"][0],
    )
