"""`lamppost top`: what its screen says; in a terminal (tmux) it is drawn, obeys keys and leaves no trace."""

import asyncio
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.output import plain
from gateway.cli.top_screen import View, lines, waiting
from tests.conftest import ROOT
from tests.gateway.statuses import device, status
from tests.gateway.support import Asked, bus, make_agent, until
from tests.gateway.support import device as device_text

WAIT_S = 20.0
HOSTILE = "<script>\x1b[2J\x07=cmd|\u202e\u0000"


def bare(line: str) -> str:
    """Without our own bold and reverse."""
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[7m"):
        line = line.replace(code, "")
    return line


def pair(**changed: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """A status, and the one of ten seconds before."""
    now, before = status() | changed, status() | changed
    now["utc_ms"] += 10_000
    now["buffer"]["samples"] += 123
    now["buses"][0]["devices"][1]["answers"] += 20
    return now, before


def test_the_screen_says_rates_link_and_buffer_and_the_worst_device_first() -> None:
    shown = [bare(line) for line in lines(*pair(), View(), 80, 24)]
    assert len(shown) == 24
    assert shown[0].startswith("gw-1 (test)  ")
    assert "link    up to mqtts://broker.example:8883" in shown[1]
    assert "51.20 MB of 512 MB, 3 batches (900 samples) wait, the oldest 2 h old" in shown[2]
    assert "12.3 samples/s" in shown[3]
    heads = next(n for n, line in enumerate(shown) if line.startswith("device"))
    assert shown[heads + 1].split()[:3] == ["meter1", "panel", "offline"]
    assert "no answer" in shown[heads + 1]
    assert shown[heads + 2].split()[4:8] == ["1.00", "of", "1", "2.0"]  # twenty answers in ten seconds


def test_keys_sort_pause_scroll_and_leave() -> None:
    view = View()
    assert view.press("np")
    assert (view.sort, view.paused) == ("n", True)
    assert "PAUSED" in lines(*pair(), view, 80, 24)[0]
    names = [bare(line).split()[0] for line in lines(*pair(), view, 80, 24) if "panel" in line][1:]
    assert names == ["lamp7", "meter1"]
    assert view.press(" \x1b[B\x1b[B\x1b[A")
    assert (view.paused, view.top) == (False, 1)
    assert view.press("\x1b~?zZ9")
    for key in "q\x03\x04":
        assert not View().press(key)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 10), (20, 6), (10, 4), (1, 2)])
def test_no_line_is_wider_or_lower_than_the_screen_or_steers_it(size: tuple[int, int]) -> None:
    columns, height = size
    now, before = pair(gateway=HOSTILE, site="\u6771\u4eac" * 40)
    for one in (now, before):
        one["buses"] = [one["buses"][0] | {"id": f"b{n}", "error": HOSTILE} for n in range(30)]
        one["buses"][0] |= {"devices": [device(f"d{n}", last_error=HOSTILE * 9) for n in range(100)]}
        one["uplink"] |= {"broker": HOSTILE}
    for view in (View(), View("e", top=10**6)):
        shown = lines(now, before, view, columns, height, stale=HOSTILE)
        assert len(shown) == height
        for line in map(bare, shown):
            assert line == plain(line)
            assert sum(2 if "\u1100" <= c <= "\uffdc" and c != "\ufffd" else 1 for c in line) <= columns
    assert all(len(bare(line)) <= columns for line in waiting(HOSTILE, columns, height))


class Tmux:
    """One shell in a terminal of a size of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        self._words = [program, "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self("new-session", "-d", "-x", "80", "-y", "24", "env PS1='$ ' TERM=screen sh")

    def __call__(self, *words: str) -> str:
        done = subprocess.run([*self._words, *words], capture_output=True, text=True, check=True, timeout=10)
        return done.stdout

    def keys(self, *keys: str) -> None:
        """Press them."""
        self("send-keys", *keys)

    def until(self, condition: Callable[[str], object]) -> str:
        """What is on the screen, once the condition holds."""
        end = time.monotonic() + WAIT_S
        while not condition(shown := self("capture-pane", "-p")):
            assert time.monotonic() < end, shown
            time.sleep(0.05)
        return shown


@pytest.fixture
def tmux(program: Callable[[str, str], str], run_dir: Path) -> Iterator[Tmux]:
    """A terminal 80 wide and 24 high."""
    made = Tmux(program("tmux", "tmux"), run_dir)
    yield made
    made("kill-server")


async def test_in_a_terminal_it_is_live_and_leaves_it_as_it_was(tmp_path: Path, run_dir: Path, tmux: Tmux) -> None:
    text = bus() + "".join(device_text(f"lamp{n}", "level", every="50ms") for n in range(30))
    agent, _ = await asyncio.to_thread(make_agent, tmp_path, run_dir, text, Asked)
    task = asyncio.ensure_future(agent.run())
    try:
        await until(lambda: task.done() or len(agent.sockets) == 2)
        await until(lambda: task.done() or agent.recorder.samples > 5)
        await asyncio.to_thread(_drive, tmp_path, run_dir, tmux)
    finally:
        agent.stopping.set()
        await task
    shown = await asyncio.to_thread(tmux, "capture-pane", "-p")
    assert "device" not in shown


def _drive(folder: Path, run_dir: Path, tmux: Tmux) -> None:
    pid = folder / "pid"
    top = shlex.join([sys.executable, "-m", "gateway", "top", "--run-dir", str(run_dir), "-d", "0.2"])
    tmux.keys(f"cd {shlex.quote(str(ROOT))}; clear; echo before; stty -g > {folder}/stty1", "Enter")
    for number, end in enumerate(("q", "C-c", "TERM")):
        words = f"sh -c 'echo $$ > {pid}; exec {top}'; echo left:$?; stty -g > {folder}/stty2"
        tmux.keys(words, "Enter")
        shown = tmux.until(lambda text: "lamp0" in text and "$ " not in text)
        assert "online" in shown
        assert "devices more" in shown
        if number == 0:
            _look(tmux)
        if end == "TERM":
            os.kill(int(pid.read_text()), 15)
        else:
            tmux.keys(end)
        code = {"q": 0, "C-c": 130, "TERM": 143}[end]
        tmux.until(lambda text, code=code: f"left:{code}" in text and "before" in text)  # type: ignore[misc]
        assert tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{wrap_flag}").split() == ["0", "1", "1"]
        assert (folder / "stty2").read_text() == (folder / "stty1").read_text()
        tmux.keys("clear; echo before", "Enter")


def _look(tmux: Tmux) -> None:
    tmux.keys("p")
    paused = tmux.until(lambda text: "PAUSED" in text)
    time.sleep(0.6)  # three refreshes
    assert tmux("capture-pane", "-p") == paused
    tmux.keys("p", "n", "j")
    shown = tmux.until(lambda text: "sort name" in text and "lamp0 " not in text)
    assert "lamp1 " in shown
    tmux("resize-window", "-x", "120", "-y", "50")
    tmux.until(lambda text: "lamp9 " in text and "devices more" not in text)
    tmux("resize-window", "-x", "80", "-y", "24")
    tmux.until(lambda text: "devices more" in text)


def test_without_a_terminal_it_says_what_to_use(run_dir: Path) -> None:
    words = [sys.executable, "-m", "gateway", "top", "--run-dir", str(run_dir)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 64
    assert "lamppost status" in done.stderr
