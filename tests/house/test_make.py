"""The Makefile and what it goes by."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = ("README.md", "CONTRIBUTING.md", "docs/install.md")


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_the_make_commands_of_a_page_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"(?:^|`|sudo )make ([a-z]+)", text, re.MULTILINE))
    assert named, f"{page} names no make command"
    assert named <= _targets()


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    file = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text())
    assert not [link for link in links if not (file.parent / link).exists()]


def test_debian_packages_are_name_program_reason() -> None:
    lines = (ROOT / "debian-packages.txt").read_text().splitlines()
    rows = [line for line in lines if line and not line.startswith("#")]
    assert rows
    for row in rows:
        assert re.fullmatch(r"[a-z0-9][a-z0-9+.-]+ +([a-z0-9_-]+|/[a-z0-9_./-]+) +# \w.*", row), row


def _without_rights(tmp_path: Path, *tools: str) -> dict[str, str]:
    """An environment whose PATH holds only `tools`, an `id` that is nobody's and an apt-get that must not be called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("bash", "env", "dirname", "mktemp", "rm", *tools):
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    for name, body in (("id", "echo 1000"), ("apt-get", "echo called; exit 9"), ("sudo", "exit 1")):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder), "HOME": str(tmp_path), "TMPDIR": os.environ.get("TMPDIR", "/tmp")}


def _debian(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "tools/debian"), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_without_a_compiler_one_line_names_the_packages(tmp_path: Path) -> None:
    environment = _without_rights(tmp_path)
    (tmp_path / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    done = _debian(environment, "build", "python3")
    assert done.returncode == 1
    assert done.stderr == "lamppost: please run: sudo apt-get install python3-dev gcc libc6-dev\n"


def test_without_python_the_remedy_is_named(tmp_path: Path) -> None:
    done = _debian(_without_rights(tmp_path), "build", "python3.99")
    assert done.returncode == 1
    assert done.stderr == "lamppost: there is no python3.99; name another by: make PYTHON=/path/to/python3\n"


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    environment = _without_rights(tmp_path)
    old = tmp_path / "bin" / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    done = _debian(environment, "build", "python3")
    assert done.returncode == 1
    assert "python3 is Python 3.9.2, and 3.11 or newer is needed" in done.stderr


def test_missing_test_packages_are_named_and_the_tests_go_on(tmp_path: Path) -> None:
    program = _without_rights(tmp_path)
    program["PATH"] = f"{tmp_path / 'bin'}"
    script = (ROOT / "tools/debian").read_text().replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin ", "")
    copy = tmp_path / "tools" / "debian"
    copy.parent.mkdir()
    copy.write_text(script)
    copy.chmod(0o755)
    (tmp_path / "debian-packages.txt").write_text("# a comment\nmosquitto  mosquitto  # broker\nbash  bash  # there\n")
    done = subprocess.run([str(copy), "test"], env=program, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "lamppost: please run: sudo apt-get install mosquitto",
        "lamppost: tests that need mosquitto will be skipped",
    ]
