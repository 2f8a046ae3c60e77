"""What a device says goes through every output of the command line and steers none: no terminal, page or sheet."""

import asyncio
import csv
import io
import json
import logging
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from drivers.base import Read, Sink
from drivers.errors import BadAnswer
from ext import GOOD
from gateway.cli import lamppost
from gateway.cli.tail import _show as show_sample
from gateway.cli.tail_frames import _show as show_frame
from gateway.cli.top_screen import View, lines
from gateway.reporting.logs import Json, Text
from gateway.reporting.metrics import render
from tests.gateway.statuses import status
from tests.gateway.support import Heard, bus, device, make_agent, until

HOSTILE = "=cmd|'/c calc'!A1<script>alert(1)</script>\x1b[2J\x1b]0;x\x07\r\n+1\u202e\"} 1\n@x"
"""A formula, a script, an escape, a title, a new line, a text that runs backwards, the end of a label."""
TEXT = bus() + device("d", "text", "number") + device("gone", "p")
OURS = ("\x1b[0m", "\x1b[1m", "\x1b[7m")
"""What our own screen is drawn with."""


class Speaking(Heard):
    """Its device says what hurts, in a value and in an error."""

    def reads(self) -> Sequence[Read]:
        return ()


def harmless(text: str) -> None:
    """Nothing in it steers a terminal; a new line is our own."""
    for code in OURS:
        text = text.replace(code, "")
    assert not [c for c in text if not c.isprintable() and c != "\n"], ascii(text)


async def say(sink: Sink) -> None:
    """Once a moment."""
    while True:
        sink.values("d", [("d/text", HOSTILE, GOOD), ("d/number", 1, GOOD)])
        sink.failed("d", BadAnswer(HOSTILE))
        sink.stranger(HOSTILE)
        await asyncio.sleep(0.02)


async def test_through_every_verb(tmp_path: Path, run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    agent, (driver,) = await asyncio.to_thread(make_agent, tmp_path, run_dir, TEXT, Speaking)
    driver.script = say
    task = asyncio.ensure_future(agent.run())
    try:
        await until(lambda: task.done() or len(agent.sockets) == 2)
        await until(lambda: task.done() or agent.recorder.samples > 20)
        await asyncio.to_thread(_look, tmp_path, run_dir)
    finally:
        agent.stopping.set()
        await task
    for record in caplog.records:
        for formatter in (Text(), Text(journal=True), Json()):
            harmless(formatter.format(record))


def _look(folder: Path, run_dir: Path) -> None:
    at = ["--run-dir", str(run_dir)]
    seen = ""
    for words in (
        ["status"], ["tail", "-n", "6"], ["queue"], ["commands"], ["metrics", "--points"],
        ["doctor", "--all", "-c", str(folder / "lamppost.toml")],
        ["lock", "d", "--reason", HOSTILE], ["unlock", "d"], ["write", "d/text", "1", "--yes", "--why", HOSTILE],
        ["device", "replace", "d", "--point", "number", "--final", "1", "--start", "0", "--why", HOSTILE],
    ):  # fmt: skip
        done = CliRunner().invoke(lamppost, [*words, *at])
        harmless(done.output)
        seen += done.output
        if words[0] != "metrics":
            done = CliRunner().invoke(lamppost, [*words, *at, "--json"])
            harmless(done.output)
            for line in done.stdout.splitlines():
                json.loads(line)
    assert "=cmd" in seen, "the text came to nobody"
    _bundle(folder, run_dir)
    _export(folder)


def _bundle(folder: Path, run_dir: Path) -> None:
    words = [
        "support-bundle",
        "-o",
        str(folder / "b.tgz"),
        "-c",
        str(folder / "lamppost.toml"),
        "--run-dir",
        str(run_dir),
    ]
    done = CliRunner().invoke(lamppost, words)
    harmless(done.output)
    with tarfile.open(folder / "b.tgz") as archive:
        for member in archive:
            harmless(archive.extractfile(member).read().decode())  # type: ignore[union-attr]


def _export(folder: Path) -> None:
    for form in ("csv", "ndjson", "senml"):
        done = CliRunner().invoke(lamppost, ["export", "--store", str(folder / "buffer.db"), "--format", form])
        assert done.exit_code == 0, done.output
        assert "cmd" in done.stdout or form == "senml"  # which has no place for what nobody can date
        if form == "csv":
            rows = list(csv.reader(io.StringIO(done.stdout)))
            assert len({len(row) for row in rows}) == 1
            assert not [cell for row in rows for cell in row if re.match(r"[=+@\t\r]", cell)]
            assert not [cell for row in rows for cell in row if cell.startswith("-") and not _number(cell)]
        else:
            harmless(done.stdout)


def _number(text: str) -> bool:
    return re.fullmatch(r"-[0-9.]+(e[+-]?[0-9]+)?", text, re.IGNORECASE) is not None


def test_through_screens_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    found = status()
    found |= {"gateway": HOSTILE, "stuck": [HOSTILE], "strangers": {HOSTILE: 1}}
    found["buses"][0] |= {"error": HOSTILE, "up": False}
    found["buses"][0]["devices"][0] |= {"last_error": HOSTILE, "errors": {HOSTILE: 1}}
    found["points"][0] |= {"value": HOSTILE, "unit": HOSTILE}
    found["uplink"] |= {"error": HOSTILE, "up": False}
    found["buffer"] |= {"error": HOSTILE}
    for line in lines(found, found, View(), 100, 30):
        harmless(line)
        assert "\n" not in line
    text = render(found, points=True)
    harmless(text)
    assert all(line.startswith(("#", "lamppost_")) for line in text.splitlines())
    sample = {"point": "d/text", "utc_ms": 0, "value": HOSTILE, "unit": HOSTILE, "quality": HOSTILE}
    show_sample(sample)
    show_frame({"bus": "b", "utc_ms": 0, "sent": False, "hex": HOSTILE.encode().hex(" "), "what": ""}, as_json=False)
    said = capsys.readouterr().out
    harmless(said)
    assert len(said.splitlines()) == 2
