"""Recordings of buses: what is written is read back, what is none is told by its line, and the pace is kept."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import load as load_config
from drivers import registry
from drivers.decoding import Reading
from drivers.errors import BusError, SetupError
from drivers.profiled import Readings
from drivers.recording import MAX_LINE, Recorded, RecordingError, exchanges, line, parse
from drivers.replay import ReplayDriver
from drivers.setup import prepare
from drivers.tap import MAX_SHOWN, Monitor, Tap
from ext import Value

WIND = b"$WIMWV,39,R,1.3,M,A*06\r\n"  # Vaisala M210822EN-F
CONFIG = """
[gateway]
id = "gw"
site = "nord"
[buses.mast]
driver = "replay"
of = "nmea"
file = "{file}"
speed = 10
[devices]
wind = {{ bus = "mast", points.speed = {{ sentence = "MWV", field = "speed", reference = "R", unit = "m/s" }} }}
"""

FRAMES = st.lists(st.tuples(st.integers(0, 10**9), st.booleans(), st.binary(min_size=1, max_size=MAX_SHOWN)))


def make(folder: Path, recording: str | None) -> ReplayDriver:
    """The driver of a bus that plays `recording`, a file that is not there for None."""
    file = folder / "mast.frames"
    if recording is not None:
        file.write_text(recording)
    (folder / "lamppost.toml").write_text(CONFIG.format(file=file))
    (driver,) = prepare(load_config(folder / "lamppost.toml", profiles=[]), registry.load)
    assert isinstance(driver, ReplayDriver)
    return driver


@given(FRAMES, st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_what_is_recorded_is_read_back(frames: list[tuple[int, bool, bytes]], what: str) -> None:
    frames.sort(key=lambda frame: frame[0])
    text = "".join(line(ms / 1000, sent=sent, data=data, what=what) for ms, sent, data in frames)
    assert list(parse(text)) == [Recorded(ms / 1000, sent, data) for ms, sent, data in frames]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("> 01\n\nwhat\n", "line 3: begins neither"),
        ("< 0\n", "line 1: what follows > or < is no hex"),
        ("# " + "x" * MAX_LINE, "line 1: more than"),
    ],
)
def test_what_is_no_recording_is_told_by_check_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RecordingError, match=told):
        list(parse(text))
    with pytest.raises(SetupError, match=told):
        make(tmp_path, text)


async def test_a_file_that_is_not_there_is_a_bus_that_is_down(tmp_path: Path) -> None:
    driver = await asyncio.to_thread(make, tmp_path, None)
    with pytest.raises(BusError, match=r"mast\.frames: No such file"):
        await driver.open()


def test_a_request_opens_an_exchange_and_a_pause_another_telegram() -> None:
    ask, answer = Recorded(0, sent=True, data=b"?"), Recorded(5, sent=False, data=b"!")
    piece, later = Recorded(5.1, sent=False, data=b"."), Recorded(7, sent=False, data=b"x")
    assert list(exchanges([ask, answer, ask, answer])) == [[ask, answer], [ask, answer]]
    assert list(exchanges([answer, piece, later])) == [[answer, piece], [later]]


class Timed(Readings):
    """Notes when something was said; done after the third time."""

    def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.began, self.times, self.done = self.loop.time(), list[float](), asyncio.Event()

    def values(self, device: str, values: Sequence[tuple[str, Value, int]]) -> None:
        self.times.append(self.loop.time() - self.began)
        super().values(device, values)
        if len(self.times) == 3:
            self.done.set()


async def test_the_pace_is_that_of_the_recording_or_faster(tmp_path: Path) -> None:
    text = "".join(line(at, sent=False, data=WIND, what="") for at in (100.0, 102.0, 104.0))
    driver = await asyncio.to_thread(make, tmp_path, text)
    sink = Timed(driver.setup)
    await driver.open()
    sink.start()
    playing = asyncio.ensure_future(driver.listen(sink))
    async with asyncio.timeout(5):
        await sink.done.wait()
    playing.cancel()
    assert sink.times[1] >= 0.19
    assert 0.39 <= sink.times[2] < 3
    assert [str(one.value) for one in sink.found if isinstance(one, Reading)] == ["1.3"] * 3


@pytest.mark.parametrize("of", ["replay", "nobody"])
def test_a_recording_of_nothing_that_speaks(tmp_path: Path, of: str) -> None:
    (tmp_path / "lamppost.toml").write_text(CONFIG.format(file="x").replace('"nmea"', f'"{of}"'))
    with pytest.raises(SetupError, match=of):
        prepare(load_config(tmp_path / "lamppost.toml", profiles=[]), registry.load)


def test_pieces_without_a_pause_are_one_and_those_without_end_are_cut() -> None:
    monitor = Monitor()
    assert monitor.feed(1, False, b"$WI") == []
    assert monitor.feed(2, False, b"MWV") == []
    assert [(one.at, one.data) for one in monitor.feed(3, True, b"?")] == [(1, b"$WIMWV")]
    shown = [*monitor.flush(), *monitor.feed(4, False, bytes(3 * MAX_SHOWN + 1)), *monitor.flush()]
    assert [len(one.data) for one in shown] == [1, MAX_SHOWN, MAX_SHOWN, MAX_SHOWN, 1]


def test_a_tap_tells_those_who_listen_and_then_no_more() -> None:
    tap, heard = Tap(), list[tuple[bool, bytes]]()
    ear: Callable[[bool, bytes], None] = lambda sent, data: heard.append((sent, data))  # noqa: E731
    stop = tap.listen(ear)
    tap.tell(True, b"a")
    stop()
    tap.tell(True, b"b")
    assert (heard, tap.listeners) == ([(True, b"a")], ())


def test_our_drivers_say_what_was_tapped_in_the_notation_of_their_recordings() -> None:
    pieces = [(True, b"?\r\n"), (False, b"ab<\r\n")]
    said = {}
    for name in ("modbus", "nmea", "mbus", "iec62056"):
        kind = registry.load(name)
        said[name] = kind.recording(object.__new__(kind), pieces)
    assert said == {
        "modbus": "> 3f 0d 0a\n< 61 62 3c 0d 0a\n", "nmea": "0x61623c0d0a\n", "mbus": "61623c0d0a\n",
        "iec62056": "ab<3C>\n",
    }  # fmt: skip
