"""`lamppost doctor` as a technician and a script meet it; the keys that docs/cli-json.md names."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from buffer.keys import SigningKey
from gateway.control.client import Client
from gateway.control.sockets import status_socket
from tests.conftest import ROOT
from tests.gateway.doctor.cabinet import NO_USER
from tests.gateway.process import Lone

PAGE = (ROOT / "docs" / "cli-json.md").read_text()
NAMED = ("errors", "strangers", "refused", "results")
"""Tables whose keys are names of what is counted."""
CONFIG = """\
[gateway]
id = "gw-1"
site = "test"
key = "batch.key"
[buffer]
path = "buffer.db"
keep_free = "0B"
[buses.cable]
driver = "modbus"
transport = "rtu"
port = "{folder}/no-such-port"
[devices.lamp]
bus = "cable"
address = 7
points.level = {{ table = "holding", register = 12 }}
"""


def run(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, words)], capture_output=True, text=True, timeout=60, check=False,
        cwd=ROOT,
    )  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    SigningKey.create(tmp_path / "batch.key")
    path = tmp_path / "lamppost.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return path


def section(verb: str) -> str:
    """What the page says of a verb."""
    found = re.search(rf"^## {verb}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, verb
    return found[1]


def keys(value: Any) -> set[str]:
    """All keys of objects in it, but for those that are names themselves."""
    if isinstance(value, list):
        return {key for one in value for key in keys(one)}
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys(one) for name, one in value.items() if name not in NAMED))


def test_a_stopped_agent_and_a_missing_port_in_words(config: Path) -> None:
    done = run("doctor", "-c", config, "--run-dir", config.parent / "run", "--user", NO_USER)
    assert done.returncode == 2, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[:3] == [
        "FAILURE  The agent does not run.",
        "         try: sudo systemctl start lamppost",
        f"FAILURE  Bus cable: there is no port {config.parent}/no-such-port: it is unplugged, or has another name.",
    ]


def test_hostile_texts_of_a_broken_configuration_steer_no_terminal(config: Path) -> None:
    config.write_text(config.read_text() + '[buses.x]\ndriver = "<script>\\u001b[31m=cmd"\n')
    words = ("doctor", "-c", config, "--run-dir", config.parent / "run")
    done = run(*words)
    assert done.returncode == 2
    assert "\x1b" not in done.stdout
    (found,) = json.loads(run(*words, "--json").stdout)["findings"]
    assert found["fault"] == "config"


def test_a_buffer_that_is_no_database_is_told_while_the_agent_is_stopped(config: Path) -> None:
    (config.parent / "buffer.db").write_bytes(b"\x7fnothing of the kind" * 400)
    done = run("doctor", "-c", config, "--run-dir", config.parent / "run", "--json")
    faults = [one["fault"] for one in json.loads(done.stdout)["findings"] if one["level"] == "failure"]
    assert faults == ["port-missing", "buffer-damaged"]


def told(verb: str) -> set[str]:
    """Every name between backticks or in quotation marks, whatever table it is in."""
    quoted = re.findall(r"`([^`]+)`", section(verb))
    return {name for text in quoted for name in re.findall(r"[a-z_]+", text)}


async def test_every_key_of_json_is_on_the_page(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start('brokers = ["mqtt://127.0.0.1:1"]')
        where, files = ("--run-dir", run_dir), ("-c", lone.config)
        for verb, words in (("status", where), ("doctor", (*where, *files)), ("check", files)):
            done = await asyncio.to_thread(run, verb, *words, "--json")
            found = json.loads(done.stdout)
            assert keys(found) <= told(verb), (verb, sorted(keys(found) - told(verb)))


def change(file: Path) -> None:
    file.write_text(file.read_text() + "# changed\n")


def ask_agent(run_dir: Path) -> Any:
    with Client(status_socket(run_dir), answer_s=30) as client:
        return client.call("doctor")


async def test_the_agent_itself_finds_what_the_command_finds(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start('brokers = ["mqtt://127.0.0.1:1"]')
        await asyncio.to_thread(change, lone.config)
        done = await asyncio.to_thread(run, "doctor", "-c", lone.config, "--run-dir", run_dir, "--json")
        found = await asyncio.to_thread(ask_agent, run_dir)
    faults = [one["fault"] for one in found["findings"] if one["level"] != "ok"]
    assert set(faults) == {"broker-down", "stale-config"}
    assert faults == [one["fault"] for one in json.loads(done.stdout)["findings"] if one["level"] != "ok"]


def unprivileged(*words: object) -> "subprocess.CompletedProcess[str]":
    """As a user without root's right to read everything."""
    before = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if before and shutil.which("setpriv") is None:
        pytest.skip("taking rights away from root needs setpriv (Debian package util-linux)")
    return subprocess.run(
        [*before, sys.executable, "-m", "gateway", *map(str, words)], capture_output=True, text=True, timeout=60,
        check=False, cwd=ROOT,
    )  # fmt: skip


async def test_who_may_not_read_the_files_hears_what_the_agent_finds(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start('brokers = ["mqtt://127.0.0.1:1"]')
        await asyncio.to_thread(lone.config.chmod, 0)  # as /etc/lamppost is to a member of lamppost-view
        words = ("doctor", "-c", lone.config, "--run-dir", run_dir, "--json")
        done = await asyncio.to_thread(unprivileged, *words)
        await asyncio.to_thread(lone.config.chmod, 0o600)
    found = json.loads(done.stdout)["findings"]
    assert [one["fault"] for one in found if one["level"] != "ok"] == ["broker-down"], done.stdout


def test_who_may_not_read_the_files_of_a_stopped_agent_is_told_to_use_sudo(config: Path) -> None:
    config.chmod(0)
    done = unprivileged("doctor", "-c", config, "--run-dir", config.parent / "run", "--json")
    found = [one for one in json.loads(done.stdout)["findings"] if one["level"] != "ok"]
    assert [one["fault"] for one in found] == ["service-stopped", "not-allowed"]
    assert found[1]["remedy"] == "sudo lamppost doctor"


@pytest.mark.skipif(Path("/etc/lamppost/lamppost.toml").exists(), reason="this machine has a configuration of its own")
async def test_the_files_of_the_running_agent_are_meant_where_none_are_named(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    async with Lone(tmp_path, run_dir) as lone:
        await lone.start('brokers = ["mqtt://127.0.0.1:1"]')
        done = await asyncio.to_thread(run, "doctor", "--run-dir", run_dir, "--json")
    faults = [one["fault"] for one in json.loads(done.stdout)["findings"] if one["level"] != "ok"]
    assert faults == ["broker-down"]
