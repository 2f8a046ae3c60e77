"""`make install` puts everything in place, and `make uninstall` takes it away again."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PACKAGES, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("install")]

FILES = (
    "usr/local/lib/systemd/system/lamppost.service",
    "usr/local/lib/systemd/system/lamppost-collector.service",
    "usr/local/lib/systemd/system/lamppost-web.service",
    "usr/local/lib/systemd/system/lamppost-collector-web.service",
    "usr/local/lib/systemd/system/lamppost-collector-enroll.service",
    "usr/local/lib/systemd/system/lamppost-collector-alarms.service",
    "usr/local/lib/systemd/system/lamppost-renew.service",
    "usr/local/lib/systemd/system/lamppost-renew.timer",
    "usr/local/lib/systemd/system/timers.target.wants/lamppost-renew.timer",
    "usr/local/lib/sysusers.d/lamppost.conf",
    "usr/local/lib/tmpfiles.d/lamppost.conf",
    "etc/lamppost/lamppost.toml",
    "etc/lamppost/collector.env",
    "etc/lamppost/collector-enroll.env",
    "usr/local/lib/systemd/system-generators/lamppost-addresses",
)


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", f"PYTHON={sys.executable}", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root below which everything was installed, for `/opt/lamppost`."""
    root = tmp_path_factory.mktemp("root")
    done = _make("install", f"DESTDIR={root}")
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def test_files_are_in_place(installed: Path) -> None:
    assert not [name for name in FILES if not (installed / name).is_file()]


def test_commands_point_to_where_they_will_be(installed: Path) -> None:
    for name in ("lamppost", "lamppost-collector"):
        assert (installed / "usr/local/bin" / name).readlink() == Path("/opt/lamppost/bin") / name
        text = (installed / "opt/lamppost/bin" / name).read_text()
        assert "/opt/lamppost/bin/python" in text
        assert str(installed) not in text


@pytest.mark.parametrize("name", ["lamppost", "lamppost-collector"])
def test_commands_run(installed: Path, name: str) -> None:
    programs = installed / "opt/lamppost/bin"
    done = subprocess.run(
        [str(programs / "python"), str(programs / name), "--help"],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ")


def test_nothing_points_into_the_checkout(installed: Path) -> None:
    program = f"import {', '.join(PACKAGES)}; print({', '.join(f'{name}.__file__' for name in PACKAGES)}, sep='\\n')"
    done = subprocess.run(
        [str(installed / "opt/lamppost/bin/python"), "-c", program], cwd="/", capture_output=True, text=True, check=True
    )
    assert all(Path(line).is_relative_to(installed) for line in done.stdout.split())


def test_data_files_come_along(installed: Path) -> None:
    site = next((installed / "opt/lamppost/lib").glob("python3.*/site-packages"))
    wanted = [path for package in PACKAGES for path in (ROOT / package).glob("**/profiles/*.toml")]
    wanted += [path for package in PACKAGES for path in (ROOT / package).glob("py.typed")]
    wanted += [path for package in ("gateway", "collector") for path in (ROOT / package / "web/static").iterdir()]
    assert not [path for path in wanted if not (site / path.relative_to(ROOT)).is_file()]


def test_a_second_install_keeps_the_configuration(installed: Path) -> None:
    configuration = installed / "etc/lamppost/lamppost.toml"
    configuration.write_text("# mine\n")
    done = _make("install", f"DESTDIR={installed}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert configuration.read_text() == "# mine\n"


def test_uninstall_leaves_the_configuration_only(installed: Path) -> None:
    assert _make("uninstall", f"DESTDIR={installed}").returncode == 0
    left = [path for path in installed.rglob("*") if path.is_file() or path.is_symlink()]
    assert left
    assert all(path.is_relative_to(installed / "etc") for path in left)
