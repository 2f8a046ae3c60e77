"""Bytes through a pty, the agent, a broker and the collector: what a device said, exactly, and each value once.

A driver on a serial port is a `Talk` here: its configuration, the bytes that a device sends, what each must give.
"""

import asyncio
import random
import termios
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from ext import Value
from tests.drivers.line import Line
from tests.drivers.p1.telegrams import XS210
from tests.drivers.sml.files import ISKRA
from tests.integration.harness import Rig, columns, same

NO_ANSWER = 6  # docs/format.md
FLIPPED = 10_000  # one byte in as many has one bit flipped
FLOOD = 60_000  # bytes of it, about: some six flips


@dataclass(frozen=True, slots=True)
class Said:
    """Bytes that a device sends in one go, and the (point, value) pairs that they are."""

    data: bytes
    values: Sequence[tuple[str, Value]]


@dataclass(frozen=True, slots=True)
class Talk:
    """A driver, how it is configured (`{port}` stands for the port) and what its device says."""

    name: str
    config: str
    said: Sequence[Said]
    speed: int
    opening: bytes = b""
    """What brings the driver to a beginning, where it cannot see one by itself."""


TALKS = [
    Talk(  # Vaisala M210822EN-F and WXT520 User's Guide M210906EN-C: their examples of MWV
        "nmea",
        'mast = { driver = "nmea", port = "{port}" }\n[devices]\none = { bus = "mast", profile = "nmea-mwv" }\n',
        [
            Said(b"$WIMWV,39,R,1.3,M,A*06\r\n", [("one/direction", Decimal(39)), ("one/speed", Decimal("1.3"))]),
            Said(b"$WIMWV,282,R,0.1,M,A*37\r\n", [("one/direction", Decimal(282)), ("one/speed", Decimal("0.1"))]),
        ],
        termios.B4800,
    ),
    Talk(  # groups of a Linky meter, in the tests of hekmon/linkytic
        "line",
        'meter = { driver = "line", port = "{port}", data_bits = 7, parity = "even" }\n'
        '[devices]\none = { bus = "meter", profile = "linky-standard" }\n',
        [
            Said(b"\nEAST\t003519703\t+\r", [("one/energy", Decimal(3519703))]),
            Said(b"\nURMS1\t241\tA\r", [("one/voltage", Decimal(241))]),
            Said(b"\nSMAXSN\tH240210110331\t00986\t6\r", [("one/apparent-power-max", Decimal(986))]),
            Said(b"\nSTGE\t003A0000\t9\r", [("one/status", "003A0000")]),
        ],
        termios.B9600,
        b"\n",
    ),
    Talk(  # avaldebe/PyPMS, tests/captured_data/SDS01x
        "frame",
        'air = { driver = "frame", port = "{port}" }\n[devices]\none = { bus = "air", profile = "nova-sds011" }\n',
        [
            Said(bytes.fromhex("aac00600060058d93dab"), [("one/pm2-5", Decimal("0.6")), ("one/pm10", Decimal("0.6"))]),
            Said(bytes.fromhex("aac00900090058d943ab"), [("one/pm2-5", Decimal("0.9")), ("one/pm10", Decimal("0.9"))]),
        ],
        termios.B9600,
    ),
    Talk(  # a telegram of an XS210, in the tests of nielsbasjes/dsmr-tools
        "p1",
        'house = { driver = "p1", port = "{port}" }\n'
        '[devices]\npower = { bus = "house", points.import = { obis = "1-0:1.8.1", unit = "kWh" }, '
        'points.now = { obis = "1-0:1.7.0", unit = "kW" } }\n'
        'gas = { bus = "house", points.volume = { obis = "0-n:24.2.1", unit = "m3", equipment = "gas" } }\n',
        [
            Said(
                XS210,
                [
                    ("power/import", Decimal("51.775")),
                    ("power/now", Decimal("0.335")),
                    ("gas/volume", Decimal("16.713")),
                ],
            )
        ],
        termios.B115200,
    ),
    Talk(  # a file of an MT681, in OpenEMS; the numbers of its hex, read by hand
        "sml",
        'head = { driver = "sml", port = "{port}" }\n'
        '[devices]\nmeter = { bus = "head", profile = "sml-one-way", '
        'points.l1 = { obis = "1-0:36.7.0", unit = "W" } }\n',
        [
            Said(
                ISKRA,
                [
                    ("meter/import", Decimal("22462.4136")),
                    ("meter/power", Decimal("0.168")),
                    ("meter/l1", Decimal(117)),
                ],
            )
        ],
        termios.B9600,
    ),
]


@pytest.fixture(params=TALKS, ids=lambda talk: talk.name)
def talk(request: pytest.FixtureRequest) -> Talk:
    found: Talk = request.param
    return found


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


def config(talk: Talk, line: Line) -> str:
    return "[buses]\n" + talk.config.replace("{port}", line.path)


def cut_everywhere(talk: Talk) -> Iterator[tuple[Said, list[bytes]]]:
    """Each thing that is said, in two pieces, cut at every position."""
    for said in talk.said:
        for cut in range(len(said.data)):
            yield said, [said.data[:cut], said.data[cut:]]


def flipped(talk: Talk) -> tuple[bytes, list[Said]]:
    """A long stream in which one byte in 10,000 has a flipped bit, and what was said in it unharmed."""
    rng, stream = random.Random(1), bytearray()
    whole: list[tuple[int, Said]] = []
    harm = [at + rng.randrange(FLIPPED) for at in range(0, FLOOD, FLIPPED)]
    while len(stream) < FLOOD:
        said = talk.said[len(whole) % len(talk.said)]
        whole.append((len(stream), said))
        stream += said.data
    for at in harm:
        stream[at] ^= 1 << rng.randrange(7)
    return bytes(stream), [said for at, said in whole if stream[at : at + len(said.data)] == said.data]


async def pour(line: Line, data: bytes) -> None:
    """Say all of it, no faster than the other end reads."""
    while data:
        try:
            data = data[line.send_some(data) :]
        except BlockingIOError:
            await asyncio.sleep(0.001)


async def test_what_is_said_arrives_once_and_exactly_however_it_is_cut(tmp_path: Path, talk: Talk, line: Line) -> None:
    wanted: list[tuple[str, Value]] = []
    async with Rig(tmp_path) as rig:
        await rig.start_agent(config(talk, line))
        await rig.until(lambda: line.settings()[1] == talk.speed, "the port is set up")
        line.send(talk.opening)
        for said, pieces in cut_everywhere(talk):
            for piece in pieces:
                await pour(line, piece)
                await asyncio.sleep(0.002)  # the agent sees the pieces apart, mostly
            wanted += said.values
        await rig.until(lambda: rig.status()["buffer"]["samples"] >= len(wanted), "all of it was heard")
        line.unplug()
        points = {point for said in talk.said for point, _ in said.values}
        await rig.until(lambda: rig.status()["buses"][0]["up"] is False, "the bus is told to be out")
        await rig.settle()
        assert await rig.stop_agent() == 0
        rows, samples = await asyncio.to_thread(rig.rows), await asyncio.to_thread(rig.samples)
    for point in sorted(points):
        values = [value for name, value in wanted if name == point]
        found = [sample for sample in samples if sample.point == point]
        assert [sample.quality for sample in found] == [0] * len(values) + [NO_ANSWER]
        assert all(same(sample.value, value) for sample, value in zip(found, values, strict=False)), (point, found)
        stored = [(row.value, row.exact, row.text) for row in rows if row.point == point][:-1]
        assert stored == [shown(value) for value in values]


async def test_one_flipped_byte_in_ten_thousand_costs_what_it_touches(tmp_path: Path, talk: Talk, line: Line) -> None:
    stream, unharmed = flipped(talk)
    wanted = Counter((point, str(value)) for said in unharmed for point, value in said.values)
    # what is cut off takes its neighbour along
    lost = 2 * max(len(said.values) for said in talk.said) * (FLOOD // FLIPPED)
    sent = {(point, str(value)) for said in talk.said for point, value in said.values}
    async with Rig(tmp_path) as rig:
        await rig.start_agent(config(talk, line))
        await rig.until(lambda: line.settings()[1] == talk.speed, "the port is set up")
        line.send(talk.opening)
        await pour(line, stream)
        least = sum(wanted.values()) - lost
        await rig.until(lambda: rig.status()["buffer"]["samples"] >= least, "nearly all of it was heard")
        await rig.settle()
        assert await rig.stop_agent() == 0
        samples = await asyncio.to_thread(rig.samples)
    found = Counter((sample.point, str(sample.value)) for sample in samples if sample.quality == 0)
    assert set(found) <= sent  # never a value that was not sent
    assert sum((wanted - found).values()) <= lost


def shown(value: Value) -> tuple[float | None, str | None, str | None]:
    """(value, exact, text) of the collector's row."""
    if isinstance(value, str):
        return None, None, value
    return *columns(value), None
