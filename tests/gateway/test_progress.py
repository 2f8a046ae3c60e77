"""Progress: on a terminal alone, with the time that is left, and gone at the end."""

import asyncio
import io
import re
from types import SimpleNamespace

import pytest

from gateway.cli import progress as progress_module
from gateway.cli.progress import WIDTH, Progress, passing


class Terminal(io.StringIO):
    """Says that somebody looks."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What stands on stderr."""
    made = Terminal()
    monkeypatch.setattr(progress_module, "sys", SimpleNamespace(stderr=made, stdout=io.StringIO()))
    return made


class Clock:
    """Set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def lines(terminal: Terminal) -> list[str]:
    """Each line that was shown, and "" for one that was taken away."""
    return [re.sub(r"\x1b\[K", "", line) for line in terminal.getvalue().split("\r")[1:]]


def test_it_says_how_much_is_done_and_what_time_is_left(terminal: Terminal) -> None:
    clock = Clock()
    with Progress("verify", clock) as progress:
        progress.at(1000, 2000)  # the first thousand batches are gone
        clock.now += 0.5
        progress.at(1010, 2000)
        clock.now += 0.1
        progress.at(1011, 2000)  # too soon after the last
        clock.now += 9.4
        progress.at(1100, 2000, "\x1b[2Jevil")
        clock.now += 990
        progress.at(3000, 2000)
    assert lines(terminal) == [
        "verify: 1 %", "verify: 10 %, 90 s left  \N{REPLACEMENT CHARACTER}[2Jevil", "verify: 100 %, 0 s left", "",
    ]  # fmt: skip


def test_a_line_is_never_two(terminal: Terminal) -> None:
    clock = Clock()
    with Progress("x" * 50, clock) as progress:
        for item in progress.each(["a" * 50] * 3):
            assert item == "a" * 50
            clock.now += 1
    assert max(map(len, lines(terminal))) == WIDTH


def test_nobody_who_reads_a_file_sees_it(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("export", Clock()) as progress:
        list(progress.each([1, 2, 3]))
    assert capsys.readouterr() == ("", "")


def test_it_leaves_the_terminal_to_the_data(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "sys", SimpleNamespace(stderr=terminal, stdout=Terminal()))
    clock = Clock()
    with Progress("export", clock, prints=True) as progress:
        clock.now += 5
        progress.at(1, 2)
    assert terminal.getvalue() == ""


async def test_a_known_time_passes(terminal: Terminal) -> None:
    async with passing(0.5, "scan ble"):
        await asyncio.sleep(0.7)
    shown = lines(terminal)
    assert shown[-1] == ""
    assert shown[0].startswith("scan ble: ")
