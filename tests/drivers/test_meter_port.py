"""Meters that talk by themselves, on a real tty: any split, flipped bytes, unplugged, the settings asked for."""

import asyncio
import random
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.base import ListeningDriver
from drivers.errors import BusError
from drivers.p1 import P1Driver
from drivers.sml import SmlDriver
from tests.drivers.line import Line
from tests.drivers.p1.telegrams import XS210
from tests.drivers.sml.files import ISKRA
from tests.drivers.support import WAIT_SECONDS, Listener, make


@dataclass(frozen=True)
class Meter:
    """A kind of meter: its driver, one telegram of it, and how fast its standard has it speak."""

    name: str
    kind: type[ListeningDriver]
    profile: str
    telegram: bytes
    speed: int


METERS = (
    Meter("p1", P1Driver, "dsmr-electricity", XS210, termios.B115200),
    Meter("sml", SmlDriver, "sml-one-way", ISKRA, termios.B9600),
)


@pytest.fixture(params=METERS, ids=lambda meter: meter.name)
def meter(request: pytest.FixtureRequest) -> Meter:
    found: Meter = request.param
    return found


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


@pytest.fixture
def spare_line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


def driver(meter: Meter, folder: Path, line: Line, bus: str = "") -> ListeningDriver:
    text = f"""
[buses]
house = {{ driver = "{meter.name}", port = "{line.path}"{bus} }}
[devices]
meter = {{ bus = "house", profile = "{meter.profile}" }}
"""
    return make(meter.kind, folder, text)


@contextmanager
def listening(made: ListeningDriver, sink: Listener) -> Iterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(made.listen(sink))
    try:
        yield task
    finally:
        task.cancel()


def read(meter: Meter, made: ListeningDriver) -> list[list[str | None]]:
    """What one telegram says, without a line."""
    sink = Listener(made.setup)
    made.replay("0x" + meter.telegram.hex(), sink)
    return sink.samples


async def test_a_telegram_cut_at_every_position(meter: Meter, tmp_path: Path, line: Line) -> None:
    made = await asyncio.to_thread(driver, meter, tmp_path, line)
    sink, once = Listener(made.setup), read(meter, made)
    await made.open()
    with listening(made, sink):
        for cut in range(len(meter.telegram)):
            line.send(b"\xff\x00noise" + meter.telegram[:cut])
            await asyncio.sleep(0)  # the driver may see the first part by itself
            line.send(meter.telegram[cut:])
            await sink.until(samples=len(once) * (cut + 1))
    await made.close()
    assert sink.samples == once * len(meter.telegram)
    assert sink.failures == []


async def test_flipped_bits_cost_their_telegrams_alone(meter: Meter, tmp_path: Path, line: Line) -> None:
    """One byte in 1000 has a bit flipped, ten times what the issue asks: every value is right, and most come."""
    made = await asyncio.to_thread(driver, meter, tmp_path, line)
    sink, once, chance = Listener(made.setup), read(meter, made), random.Random(6)
    await made.open()
    with listening(made, sink):
        for _ in range(200):
            sent = bytes(byte ^ (1 << chance.randrange(8) if chance.random() < 0.001 else 0) for byte in meter.telegram)
            line.send(sent)
            await asyncio.sleep(0.001)
        before = len(sink.samples)
        line.send(meter.telegram)
        line.send(meter.telegram)
        await sink.until(samples=before + len(once))
    await made.close()
    telegrams = len(sink.samples) // len(once)
    assert sink.samples == once * telegrams
    assert 80 < telegrams < 202
    assert sink.failures


async def test_unplugging_is_an_outage_that_ends(meter: Meter, tmp_path: Path, line: Line, spare_line: Line) -> None:
    made, other = (
        await asyncio.to_thread(driver, meter, tmp_path, line),
        await asyncio.to_thread(driver, meter, tmp_path, spare_line),
    )
    sink, once = Listener(made.setup), read(meter, made)
    await made.open()
    with listening(made, sink) as task:
        line.send(meter.telegram + meter.telegram[:50])
        await sink.until(samples=len(once))
        line.unplug()
        async with asyncio.timeout(WAIT_SECONDS):
            with pytest.raises(BusError, match="is gone"):
                await task
    await made.close()
    await other.open()
    with listening(other, sink):
        spare_line.send(meter.telegram[50:] + meter.telegram)
        await sink.until(samples=2 * len(once))
    await other.close()
    assert sink.samples == once * 2


async def test_the_port_is_set_as_the_standard_has_it(meter: Meter, tmp_path: Path, line: Line) -> None:
    made = await asyncio.to_thread(driver, meter, tmp_path, line)
    await made.open()
    flags, speed = line.settings()
    assert speed == meter.speed
    assert flags & (termios.CSIZE | termios.PARENB | termios.CSTOPB) == termios.CS8
    await made.close()
