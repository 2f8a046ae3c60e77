"""The lamp: its patterns are told apart by eye, it is given back as it was, and one that is missing costs one line."""

import asyncio
import logging
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.base import Read
from drivers.errors import NoAnswer
from gateway.reporting import lamp, led
from gateway.reporting.led import Led, Pattern, active
from tests.gateway.support import Asked, bus, device, make_agent, until

TEXT = bus() + device("d", "p", every="50ms")


@pytest.fixture
def leds(tmp_path: Path) -> Path:
    """A tree as the kernel makes it, of plain files."""
    folder = tmp_path / "leds" / "ACT"
    folder.mkdir(parents=True)
    (folder / "max_brightness").write_text("255\n")
    (folder / "brightness").write_text("7\n")
    (folder / "trigger").write_text("none rc-feedback kbd-scrolllock timer [mmc0] heartbeat\n")
    return folder.parent


def test_the_patterns_are_told_apart_by_eye() -> None:
    assert len(set(Pattern)) == 3
    for pattern in Pattern:
        assert all(on >= 50 and off >= 100 for on, off in pattern.value)  # a flash that is seen, a pause that is seen
    assert [len(p.value) for p in (Pattern.DELIVERING, Pattern.NO_LINK, Pattern.FAULT)] == [1, 2, 1]
    assert {sum(on + off for on, off in p.value) for p in (Pattern.DELIVERING, Pattern.NO_LINK)} == {2000}
    assert max(off for _, off in Pattern.FAULT.value) < 200


@pytest.mark.parametrize(
    ("text", "found"), [("none [mmc0] timer", "mmc0"), ("[none] mmc0", "none"), ("", ""), ("none mmc0", ""), ("[]", "")]
)
def test_the_active_trigger_is_the_one_in_brackets(text: str, found: str) -> None:
    assert active(text) == found


class Watched(Led):
    """Notes what is written, and when."""

    def __init__(self, leds: Path) -> None:
        super().__init__("ACT", leds)
        self.written: list[tuple[float, str, str]] = []

    def _put(self, name: str, text: str) -> None:
        self.written.append((time.monotonic(), name, text))
        super()._put(name, text)


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_blinks_and_is_given_back(leds: Path) -> None:
    shown = Watched(leds)
    shown.start()
    _wait(lambda: sum(text == "255" for _, _, text in shown.written) >= 4)
    shown.show(Pattern.NO_LINK)
    changed = len(shown.written)
    _wait(lambda: sum(text == "255" for _, _, text in shown.written[changed:]) >= 2)
    shown.stop()
    assert shown.written[0][1:] == ("trigger", "none")
    assert [text for _, name, text in shown.written if name == "brightness"][:4] == ["255", "0", "255", "0"]
    assert all(
        later - earlier >= 0.05 for (earlier, _, a), (later, _, _) in pairwise(shown.written[1:changed]) if a == "255"
    )
    assert (leds / "ACT" / "trigger").read_text() == "mmc0"
    assert (leds / "ACT" / "brightness").read_text() == "0"


def test_a_lamp_without_a_trigger_gets_its_brightness_back(leds: Path) -> None:
    (leds / "ACT" / "trigger").write_text("[none] mmc0\n")
    shown = Led("ACT", leds)
    shown.start()
    shown.stop()
    assert (leds / "ACT" / "trigger").read_text() == "none"
    assert (leds / "ACT" / "brightness").read_text() == "7"


def test_an_agent_that_says_nothing_is_not_well(leds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(led, "STALE_S", 0.0)
    shown = Watched(leds)
    shown._pattern = Pattern.DELIVERING
    shown.start()
    _wait(lambda: sum(text == "255" for _, _, text in shown.written) >= 4)
    began, ended = shown.written[1][0], shown.written[-1][0]
    shown.stop()
    assert ended - began < 3, "delivering would take six seconds for it"


async def mute(read: Read) -> bytes:
    """No answer."""
    raise NoAnswer(f"{read.device} does not answer")


async def test_the_agent_shows_how_it_does(
    tmp_path: Path, run_dir: Path, leds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, (driver,) = await asyncio.to_thread(make_agent, tmp_path, run_dir, TEXT, Asked)
    object.__setattr__(agent.config.gateway, "led", "ACT")
    shown = Watched(leds)
    monkeypatch.setattr("gateway.agent.Led", lambda _: shown)
    monkeypatch.setattr(lamp, "EVERY_S", 0.02)
    task = asyncio.ensure_future(agent.run())
    await until(lambda: task.done() or shown._pattern is Pattern.DELIVERING)
    driver.answer = mute
    await until(lambda: task.done() or shown._pattern is Pattern.FAULT)
    driver.answer = driver.zeros
    await until(lambda: task.done() or shown._pattern is Pattern.DELIVERING)
    agent.stopping.set()
    await task
    assert await asyncio.to_thread((leds / "ACT" / "trigger").read_text) == "mmc0"


async def test_a_missing_lamp_costs_one_line(
    tmp_path: Path, run_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    agent, _ = await asyncio.to_thread(make_agent, tmp_path, run_dir, TEXT, Asked)
    object.__setattr__(agent.config.gateway, "led", "ACT")
    monkeypatch.setattr("gateway.agent.Led", lambda name: Led(name, tmp_path / "none"))
    task = asyncio.ensure_future(agent.run())
    await until(lambda: task.done() or "led: " in caplog.text)
    samples = agent.recorder.samples
    await until(lambda: task.done() or agent.recorder.samples > samples + 3)
    agent.stopping.set()
    await task
    assert caplog.text.count("led: ") == 1
