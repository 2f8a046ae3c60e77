"""What each driver of a serial port asks the port for when the configuration names the port alone."""

import asyncio
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.base import AskingDriver, Driver
from drivers.errors import NoAnswer
from drivers.frame import FrameDriver
from drivers.frame_query import FrameQueryDriver
from drivers.iec62056 import Iec62056Driver
from drivers.line import LineDriver
from drivers.mbus import MbusDriver
from drivers.nmea import NmeaDriver
from drivers.p1 import P1Driver
from drivers.query import QueryDriver
from drivers.sml import SmlDriver
from tests.drivers.line import Line, asked_settings
from tests.drivers.support import Listener, make

FRAMING = termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB
EIGHT_NONE, EIGHT_EVEN, SEVEN_EVEN = termios.CS8, termios.CS8 | termios.PARENB, termios.CS7 | termios.PARENB

# The README of each driver; IEC 61162-1 (4800 8N1), EN 13757-2 (8E1), DSMR 5.0.2 P1 (115200 8N1),
# IEC 62056-21, 6.1 (300 7E1), FNN Lastenheft EDL (9600 8N1)
DEFAULTS: list[tuple[type[Driver], int, int]] = [
    (NmeaDriver, EIGHT_NONE, termios.B4800),
    (LineDriver, EIGHT_NONE, termios.B9600),
    (QueryDriver, EIGHT_NONE, termios.B9600),
    (FrameDriver, EIGHT_NONE, termios.B9600),
    (FrameQueryDriver, EIGHT_NONE, termios.B9600),
    (MbusDriver, EIGHT_EVEN, termios.B2400),
    (P1Driver, EIGHT_NONE, termios.B115200),
    (Iec62056Driver, SEVEN_EVEN, termios.B300),
    (SmlDriver, EIGHT_NONE, termios.B9600),
]


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


def bus(kind: type[Driver], line: Line, options: str = "") -> str:
    name = kind.__module__.split(".")[1].replace("_", "-")
    return f'[buses]\nx = {{ driver = "{name}", port = "{line.path}"{options} }}\n'


@pytest.mark.parametrize(("kind", "flags", "speed"), DEFAULTS, ids=lambda one: getattr(one, "__name__", ""))
async def test_the_settings_of_the_documentation(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch, kind: type[Driver], flags: int, speed: int
) -> None:
    asked = asked_settings(monkeypatch)
    driver = await asyncio.to_thread(make, kind, tmp_path, bus(kind, line))
    await driver.open()
    await driver.close()
    assert {(found & FRAMING, rate) for found, rate in asked} == {(flags, speed)}


async def test_p1_of_the_first_meters(tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """DSMR 2.2 and 3, by the options that the README names."""
    asked = asked_settings(monkeypatch)
    options = ', baud = 9600, data_bits = 7, parity = "even", checksum = "optional"'
    driver = await asyncio.to_thread(make, P1Driver, tmp_path, bus(P1Driver, line, options))
    await driver.open()
    await driver.close()
    assert {(found & FRAMING, rate) for found, rate in asked} == {(SEVEN_EVEN, termios.B9600)}


async def test_a_readout_changes_the_rate_and_nothing_else(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IEC 62056-21, mode C: 300 baud, the offered rate, and 300 again for the next; 7E1 all the while."""
    asked = asked_settings(monkeypatch)
    monkeypatch.setattr("drivers.iec62056.driver.SILENCE_MS", 300)
    text = bus(Iec62056Driver, line) + '[devices]\nmeter = { bus = "x", profile = "iec-totals" }\n'
    driver: AskingDriver = await asyncio.to_thread(make, Iec62056Driver, tmp_path, text)
    await driver.open()
    for _ in range(2):
        asking = asyncio.ensure_future(driver.ask(driver.reads()[0], Listener(driver.setup)))
        await line.heard(len(b"/?!\r\n"))
        line.send(b"/LOG5LK123\r\n")
        await line.heard(len(b"\x06050\r\n"))
        with pytest.raises(NoAnswer):  # it falls silent at the new rate
            await asking
    await driver.close()
    assert {found & FRAMING for found, _ in asked} == {SEVEN_EVEN}
    rates = [rate for _, rate in asked]
    changes = [rate for rate, before in zip(rates, [0, *rates], strict=False) if rate != before]
    assert changes == [termios.B300, termios.B9600, termios.B300, termios.B9600]
