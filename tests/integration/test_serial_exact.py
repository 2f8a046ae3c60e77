"""Bytes through ptys, the agent, a broker and the collector: what devices said, exactly, and each value once.

A driver on a serial port is a `Talk` here: its configuration, the bytes that a device sends, what each must give. All
of them talk at the same time, each on its own line, to one agent.
"""

import asyncio
import random
import termios
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from ext import Value
from tests.drivers.line import Line
from tests.drivers.p1.telegrams import XS210
from tests.drivers.sml.files import ISKRA
from tests.integration.harness import Rig, columns, same

NO_ANSWER = 6  # docs/format.md
FLIPPED = 10_000  # one byte in as many has one bit flipped
QUIET = 4  # so many looks in a row find the same
FLOOD = 60_000  # bytes of it, about: some six flips


@dataclass(frozen=True, slots=True)
class Said:
    """Bytes that a device sends in one go, and the (point, value) pairs that they are."""

    data: bytes
    values: Sequence[tuple[str, Value]]


@dataclass(frozen=True, slots=True)
class Talk:
    """A bus, how it is configured (`{port}` stands for the port), its devices, and what they say."""

    bus: str
    devices: str
    said: Sequence[Said]
    speed: int
    opening: bytes = b""
    """What brings the driver to a beginning, where it cannot see one by itself."""


TALKS = [
    Talk(  # Vaisala M210822EN-F and WXT520 User's Guide M210906EN-C: their examples of MWV
        'mast = { driver = "nmea", port = "{port}" }\n',
        'wind = { bus = "mast", profile = "nmea-mwv" }\n',
        [
            Said(b"$WIMWV,39,R,1.3,M,A*06\r\n", [("wind/direction", Decimal(39)), ("wind/speed", Decimal("1.3"))]),
            Said(b"$WIMWV,282,R,0.1,M,A*37\r\n", [("wind/direction", Decimal(282)), ("wind/speed", Decimal("0.1"))]),
        ],
        termios.B4800,
    ),
    Talk(  # groups of a Linky meter, in the tests of hekmon/linkytic
        'tic = { driver = "line", port = "{port}", data_bits = 7, parity = "even" }\n',
        'linky = { bus = "tic", profile = "linky-standard" }\n',
        [
            Said(b"\nEAST\t003519703\t+\r", [("linky/energy", Decimal(3519703))]),
            Said(b"\nURMS1\t241\tA\r", [("linky/voltage", Decimal(241))]),
            Said(b"\nSMAXSN\tH240210110331\t00986\t6\r", [("linky/apparent-power-max", Decimal(986))]),
            Said(b"\nSTGE\t003A0000\t9\r", [("linky/status", "003A0000")]),
        ],
        termios.B9600,
        b"\n",
    ),
    Talk(  # avaldebe/PyPMS, tests/captured_data/SDS01x
        'air = { driver = "frame", port = "{port}" }\n',
        'dust = { bus = "air", profile = "nova-sds011" }\n',
        [
            Said(
                bytes.fromhex("aac00600060058d93dab"), [("dust/pm2-5", Decimal("0.6")), ("dust/pm10", Decimal("0.6"))]
            ),
            Said(
                bytes.fromhex("aac00900090058d943ab"), [("dust/pm2-5", Decimal("0.9")), ("dust/pm10", Decimal("0.9"))]
            ),
        ],
        termios.B9600,
    ),
    Talk(  # a telegram of an XS210, in the tests of nielsbasjes/dsmr-tools
        'house = { driver = "p1", port = "{port}" }\n',
        'power = { bus = "house", points.import = { obis = "1-0:1.8.1", unit = "kWh" }, '
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
        'head = { driver = "sml", port = "{port}" }\n',
        'meter = { bus = "head", profile = "sml-one-way", points.l1 = { obis = "1-0:36.7.0", unit = "W" } }\n',
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


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    made = [Line() for _ in TALKS]
    yield made
    for line in made:
        line.unplug()


def config(lines: list[Line]) -> str:
    buses = "".join(talk.bus.replace("{port}", line.path) for talk, line in zip(TALKS, lines, strict=True))
    return f"[buses]\n{buses}[devices]\n" + "".join(talk.devices for talk in TALKS)


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


async def begin(rig: Rig, lines: list[Line]) -> None:
    """Start the agent, and wait until each port is set up."""
    await rig.start_agent(config(lines))
    for talk, line in zip(TALKS, lines, strict=True):
        await rig.until(partial(is_set_up, line, talk), f"the port of {talk.bus}")
        line.send(talk.opening)


def is_set_up(line: Line, talk: Talk) -> bool:
    return line.settings()[1] == talk.speed


async def say_in_pieces(talk: Talk, line: Line) -> list[tuple[str, Value]]:
    """Say everything, cut everywhere; the (point, value) pairs that it is."""
    wanted: list[tuple[str, Value]] = []
    for said, pieces in cut_everywhere(talk):
        for piece in pieces:
            await pour(line, piece)
            await asyncio.sleep(0.002)  # the agent sees the pieces apart, mostly
        wanted += said.values
    return wanted


async def test_what_is_said_arrives_once_and_exactly_however_it_is_cut(tmp_path: Path, lines: list[Line]) -> None:
    async with Rig(tmp_path) as rig:
        await begin(rig, lines)
        talking = (say_in_pieces(talk, line) for talk, line in zip(TALKS, lines, strict=True))
        wanted = [pair for said in await asyncio.gather(*talking) for pair in said]
        await rig.until(lambda: rig.status()["buffer"]["samples"] >= len(wanted), "all of it was heard")
        for line in lines:
            line.unplug()
        await rig.until(lambda: not any(bus["up"] for bus in rig.status()["buses"]), "the buses are told to be out")
        ends = len({name for name, _ in wanted})  # each point's own "no answer"
        await rig.until(lambda: rig.status()["buffer"]["samples"] >= len(wanted) + ends, "the end was told of")
        await rig.settle()
        assert await rig.stop_agent() == 0
        rows, samples = await asyncio.to_thread(rig.rows), await asyncio.to_thread(rig.samples)
    for point in sorted({name for name, _ in wanted}):
        values = [value for name, value in wanted if name == point]
        found = [sample for sample in samples if sample.point == point]
        assert [sample.quality for sample in found] == [0] * len(values) + [NO_ANSWER], point
        assert all(same(sample.value, value) for sample, value in zip(found, values, strict=False)), (point, found)
        stored = [(row.value, row.exact, row.text) for row in rows if row.point == point][:-1]
        assert stored == [shown(value) for value in values]


async def test_one_flipped_byte_in_ten_thousand_costs_what_it_touches(tmp_path: Path, lines: list[Line]) -> None:
    streams = [flipped(talk) for talk in TALKS]
    # what is cut off takes its neighbour along
    lost = [2 * max(len(said.values) for said in talk.said) * (FLOOD // FLIPPED) for talk in TALKS]
    wanted = [Counter((p, str(v)) for said in unharmed for p, v in said.values) for _, unharmed in streams]
    async with Rig(tmp_path) as rig:
        await begin(rig, lines)
        await asyncio.gather(*(pour(line, stream) for line, (stream, _) in zip(lines, streams, strict=True)))
        least = sum(sum(counts.values()) for counts in wanted) - sum(lost)
        counts_seen: list[int] = []

        def heard() -> bool:
            """Nearly all, and nothing more comes: the agent reads its ports between any two answers."""
            counts_seen.append(rig.status()["buffer"]["samples"])
            return counts_seen[-1] >= least and len(counts_seen) > QUIET and len({*counts_seen[-QUIET:]}) == 1

        await rig.until(heard, "nearly all of it was heard")
        await rig.settle()
        assert await rig.stop_agent() == 0
        samples = await asyncio.to_thread(rig.samples)
    found = Counter((sample.point, str(sample.value)) for sample in samples if sample.quality == 0)
    assert set(found) <= {pair for counts in wanted for pair in counts}  # never a value that was not sent
    for talk, counts, most in zip(TALKS, wanted, lost, strict=True):
        assert sum((counts - found).values()) <= most, talk.bus


def shown(value: Value) -> tuple[float | None, str | None, str | None]:
    """(value, exact, text) of the collector's row."""
    if isinstance(value, str):
        return None, None, value
    return *columns(value), None
