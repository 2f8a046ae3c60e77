"""The log: fields to the journal by its own protocol, JSON and text on stderr; hostile texts are harmless in each."""

import io
import json
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.reporting import journal, logs
from gateway.reporting.journal import VALUE_MAX, Journal, entry, is_ours
from gateway.reporting.logs import About, Json, Text, ToJournal, about, entry_of
from tests.conftest import ROOT

HOSTILE = "x\x1b]0;y\x07\nMESSAGE=forged\u202e\ud800\x00<script>=cmd"


def record(template: str, *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    """As a logger makes it, with what it is about."""
    made = logging.LogRecord("gateway.polling.health", level, "health.py", 7, template, args, None, "lost")
    About().filter(made)
    return made


def parsed(data: bytes) -> dict[str, str]:
    """The fields of a datagram: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/, both of its forms."""
    found = {}
    while data:
        name, _, rest = data.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
            data = rest
        else:
            (size,) = struct.unpack_from("<Q", rest)
            key, value, data = name, rest[8 : 8 + size], rest[8 + size + 1 :]
            assert rest[8 + size : 8 + size + 1] == b"\n"
        assert key.decode() not in found
        found[key.decode()] = value.decode()
    return found


@pytest.fixture
def journald(run_dir: Path) -> Iterator[socket.socket]:
    """The socket that the journal has, here ours."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(run_dir / "journal"))
        sock.settimeout(10)
        yield sock


def test_an_entry_is_what_the_protocol_says() -> None:
    assert entry({"MESSAGE": "a\nb", "PRIORITY": 4}) == (
        b"MESSAGE\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\nPRIORITY\n\x01\x00\x00\x00\x00\x00\x00\x004\n"
    )
    assert parsed(entry({"MESSAGE": HOSTILE, "A": ""})) == {"MESSAGE": HOSTILE.replace("\ud800", "?"), "A": ""}
    assert len(entry({"MESSAGE": "x" * 10**6})) < VALUE_MAX + 100
    for name in ("_PID", "message", "A=B", "A\nB", "", "9A"):
        with pytest.raises(ValueError, match="no name of a field"):
            entry({name: "x"})


@pytest.mark.parametrize(
    ("template", "args", "found"),
    [
        ("device %s: gone (%s)", ("meter1", "no answer"), {"device": "meter1"}),
        ("bus %s: %s; its devices (%d) are out of reach", ("panel", "x", 3), {"bus": "panel"}),
        ("uplink: batch %d is too large: split into %d", (17, 2), {"batch": "17"}),
        ("100 %% of %s, point %s", ("x", "a/b"), {"point": "a/b"}),
        ("running: %d buses, %d points", (1, 2), {}),
        ("device %s and %s", ("only one",), {"device": "only one"}),
        ("device meter1", (), {}),
        ("%(device)s", ({"device": "x"},), {}),
    ],
)  # fmt: skip
def test_what_a_line_is_about_stands_in_its_template(template: str, args: tuple[object, ...], found: object) -> None:
    assert about(logging.LogRecord("x", 20, "f", 1, template, args, None)) == found


def test_the_journal_gets_fields(journald: socket.socket, run_dir: Path) -> None:
    handler = ToJournal(Journal(run_dir / "journal"))
    handler.emit(record("device %s: gone (%s)", "meter1", HOSTILE))
    found = parsed(journald.recv(1 << 20))
    assert {key: found[key] for key in ("PRIORITY", "SYSLOG_IDENTIFIER", "LOGGER", "LAMPPOST_DEVICE")} == {
        "PRIORITY": "4", "SYSLOG_IDENTIFIER": "lamppost", "LOGGER": "gateway.polling.health",
        "LAMPPOST_DEVICE": "meter1",
    }  # fmt: skip
    assert found["MESSAGE"].startswith("device meter1: gone (x")
    assert all(c.isprintable() or c == "\n" for c in found["MESSAGE"])
    handler.close()


def test_without_a_journal_nothing_is_lost(
    journald: socket.socket, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = ToJournal(Journal(run_dir / "journal"))
    journald.close()
    handler.emit(record("bus %s: open", "panel", level=logging.INFO))
    assert capsys.readouterr().err == "<6>gateway.polling.health: bus panel: open\n"
    handler.close()


@pytest.mark.parametrize("formatter", [Text(), Text(journal=True), Json()])
def test_hostile_texts_steer_nothing_and_begin_no_line_of_their_own(formatter: logging.Formatter) -> None:
    line = formatter.format(record("device %s: %s", HOSTILE, HOSTILE))
    assert all(c.isprintable() or c == "\n" for c in line)
    if isinstance(formatter, Json):
        assert line.isascii()
        assert "\n" not in line
        found = json.loads(line)
        assert (found["level"], found["logger"]) == ("warning", "gateway.polling.health")
        assert found["device"] == HOSTILE
    else:
        assert all(one.startswith(("WARNING ", "<4>")) for one in line.splitlines())


def test_a_long_text_is_cut_and_an_error_told_with_its_traceback() -> None:
    assert len(Json().format(record("%s", "x" * 10**6))) < 10_000
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        failed = logging.LogRecord("x", 40, "f", 1, "bus %s: the driver failed", ("b",), sys.exc_info())
    text = Text().format(failed)
    assert "Traceback" in text
    assert all(line.startswith("ERROR ") for line in text.splitlines())
    assert "Traceback" in str(entry_of(failed)["MESSAGE"])


def test_the_stream_is_the_journals_only_where_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        found = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert is_ours(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        assert not is_ours(file.fileno())
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not is_ours(file.fileno())
    assert not is_ours(-1)


PROGRAM = """
import logging, os, sys
from pathlib import Path
from gateway.reporting import journal, logs
journal.SOCKET = Path(sys.argv[1])
journal.Journal.__init__.__defaults__ = (journal.SOCKET,)
found = os.fstat(2)
if sys.argv[3] == "journal":
    os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
listener = logs.start(False, sys.argv[2])
logging.getLogger("gateway.polling.bus").warning("bus %s: open", "panel")
logging.getLogger("gateway.polling.bus").debug("not told")
logging.getLogger("bleak").error("somebody's address")
listener.stop()
"""


@pytest.mark.parametrize(
    ("form", "where", "stderr"),
    [
        ("auto", "journal", ""),
        ("auto", "terminal", "WARNING gateway.polling.bus: bus panel: open\n"),
        ("text", "journal", "<4>gateway.polling.bus: bus panel: open\n"),
        ("json", "journal", None),
        ("json", "terminal", None),
    ],
)
def test_the_log_goes_where_it_is_wanted(
    journald: socket.socket, run_dir: Path, form: str, where: str, stderr: str | None
) -> None:
    words = [sys.executable, "-c", PROGRAM, str(run_dir / "journal"), form, where]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    if stderr is None:
        told = json.loads(done.stderr)
        assert (told["message"], told["bus"], told["level"]) == ("bus panel: open", "panel", "warning")
    else:
        assert done.stderr == stderr
    if stderr == "":
        assert parsed(journald.recv(1 << 20))["LAMPPOST_BUS"] == "panel"


def test_a_journal_that_is_not_there_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(logs, "is_ours", lambda _: True)
    monkeypatch.setattr(journal.Journal.__init__, "__defaults__", (tmp_path / "none",))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper((tmp_path / "err").open("wb")))
    assert isinstance(logs.handler("auto"), logging.StreamHandler)
    sys.stderr.close()
