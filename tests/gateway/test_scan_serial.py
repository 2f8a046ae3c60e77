"""`lamppost scan serial` at a pty: what speaks, who holds it, what is written."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from config import load
from drivers.nmea import NmeaDriver
from gateway.cli import scan_serial
from gateway.cli.scan_serial import command
from tests.drivers.line import Line

WIND = b"$WIMWV,39,R,1.3,M,A*06\r\n"  # Vaisala M210822EN-F
HEAD = '[gateway]\nid = "gw-1"\nsite = "test"\n'


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


@contextmanager
def talking(line: Line) -> Iterator[None]:
    """Something that sends wind while it is looked for."""
    done = threading.Event()

    def talk() -> None:
        while not done.wait(0.02):
            line.send(WIND)

    thread = threading.Thread(target=talk)
    thread.start()
    yield
    done.set()
    thread.join()


def scanned(folder: Path, *arguments: str) -> list[dict[str, object]]:
    where = ["--run-dir", str(folder), "--config", str(folder / "none.toml"), "--json"]
    done = CliRunner().invoke(command, [*arguments, *where])
    assert done.exit_code == 0, done.output
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_what_speaks_is_found_and_written(tmp_path: Path, line: Line) -> None:
    file = tmp_path / "found.toml"
    with talking(line):
        found = scanned(tmp_path, line.path, "--seconds", "0.3", "--baud", "4800", "--write", str(file))
    assert found == [
        {"port": line.path, "name": None, "held_by": None, "speaks": "nmea", "profile": None, "baud": 4800,
         "data_bits": 8, "parity": "none"}
    ]  # fmt: skip
    file.write_text(HEAD + file.read_text())
    bus = load(file, profiles=[NmeaDriver.profiles] if NmeaDriver.profiles else []).buses["serial-0"]
    assert (bus.driver, bus.options) == ("nmea", {"port": line.path, "baud": 4800})


def test_silence_is_nothing(tmp_path: Path, line: Line) -> None:
    assert scanned(tmp_path, line.path, "--seconds", "0.1", "--baud", "9600")[0]["speaks"] is None


def test_who_holds_a_port_is_told_and_left_alone(tmp_path: Path, line: Line) -> None:
    held = "import sys; port = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", held, line.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        found = scanned(tmp_path, line.path)
        other.communicate()
    assert str(found[0]["held_by"]).startswith(f"{other.pid} (")


def test_a_port_of_the_running_agent_is_refused(tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "lamppost.toml"
    config.write_text(HEAD + f'[buses]\nmast = {{ driver = "nmea", port = "{line.path}" }}\n')
    monkeypatch.setattr("gateway.cli.scan._running", lambda _: True)
    done = CliRunner().invoke(command, [line.path, "--json", "--config", str(config), "--run-dir", str(tmp_path)])
    found = json.loads(done.stdout)[0]
    assert found["held_by"] == "lamppost"
    assert "bus mast" in found["error"]


def test_a_port_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "cannot open" in str(scanned(tmp_path, "/dev/none", "--baud", "9600")[0]["error"])


def test_all_ports_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: Line) -> None:
    monkeypatch.setattr(scan_serial, "_ports", lambda: [line.path])
    assert [one["port"] for one in scanned(tmp_path, "--no-listen")] == [line.path]
    assert os.path.exists(line.path)  # noqa: PTH110 - a device file
