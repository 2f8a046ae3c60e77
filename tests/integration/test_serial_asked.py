"""Instruments that answer on a pty, through the agent, to the rows of the collector: no value is ever wrong."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from ext import Value
from tests.drivers.iec62056.readouts import ENCODER, LOGAREX, parts
from tests.drivers.line import Line
from tests.integration.harness import Rig, same

GOOD = 0  # docs/format.md
FLIPPED = 10_000  # one byte in as many has one bit flipped
LATER_S = 0.03  # a service request comes some time after the answer; SDI-12 1.4: up to as long as was told


@dataclass(frozen=True, slots=True)
class Reply:
    """What an instrument says when it hears `question`, and what it says some time later by itself."""

    question: bytes
    answer: bytes
    later: bytes = b""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A bus, how it is configured (`{port}` stands for the port), its instruments, and what they measure."""

    bus: str
    devices: str
    replies: Sequence[Reply]
    values: dict[str, Value]
    readings: int
    """How many values end the test."""


IDENTIFICATION, BLOCK = parts(LOGAREX)

DIALOGUES = [
    Dialogue(  # golden cases: a Logarex LK13 in mode C, the example of an Elster encoder's manual in mode A
        'head = { driver = "iec62056", port = "{port}", baud = 19200 }\n',
        'power = { bus = "head", address = "1", every = "500ms", profile = "iec-totals" }\n'
        'gas = { bus = "head", address = "2", every = "20ms", points.volume = { obis = "7-1:1.0", unit = "m3" } }\n',
        [
            Reply(b"/?1!\r\n", IDENTIFICATION),
            Reply(b"\x06050\r\n", BLOCK),
            Reply(b"/?2!\r\n", ENCODER),
        ],
        {"power/import": Decimal("15882.6927"), "power/export": Decimal("219.4882"), "gas/volume": Decimal("1234.5")},
        120,
    ),
    Dialogue(  # Vaisala WMT700 User Guide M211095EN-H, 5.26.1 (all steps); SDI-12 1.4, its example of a checksum
        'line = { driver = "query", port = "{port}", baud = 115200, timeout = "200ms" }\n',
        'wind = { bus = "line", address = "1", every = "500ms", profile = "sdi12-vaisala-wmt700" }\n'
        'soil = { bus = "line", address = "0", every = "20ms", '
        'ask = [{ send = "{address}RC0!", template = "{address}{potential}{temperature}", checksum = "sdi-12" }], '
        'points.potential = { field = "potential", unit = "kPa" }, '
        'points.temperature = { field = "temperature", unit = "Cel" } }\n',
        [
            Reply(b"1MC!", b"10025\r\n", b"1\r\n"),
            Reply(b"1D0!", b"1+2.7+85.2-0.2-2.7+770.5CAH\r\n"),
            Reply(b"0RC0!", b"0+3.14+2.718IWO\r\n"),
        ],
        {
            "wind/speed": Decimal("2.7"),
            "wind/direction": Decimal("85.2"),
            "wind/x": Decimal("-0.2"),
            "wind/y": Decimal("-2.7"),
            "wind/sound": Decimal("770.5"),
            "soil/potential": Decimal("3.14"),
            "soil/temperature": Decimal("2.718"),
        },
        400,
    ),
    Dialogue(  # golden case of a carbon dioxide sensor
        'pole = { driver = "frame-query", port = "{port}", baud = 115200, timeout = "200ms" }\n',
        'air = { bus = "pole", every = "20ms", profile = "winsen-mh-z14a" }\n',
        [Reply(bytes.fromhex("ff0186000000000079"), bytes.fromhex("ff8602604700 0000d1"))],
        {"air/co2": 608},
        200,
    ),
]


class Worn:
    """Instruments at the end of an old line: an answer comes in two parts, cut at another place each time, and one
    byte in 10,000 has a flipped bit (of the lower seven: the eighth is parity, which a pty does not have)."""

    def __init__(self, line: Line, replies: Sequence[Reply]) -> None:
        self._line, self._replies = line, replies
        self._dice = random.Random(62056)
        self._flip = self._dice.randrange(FLIPPED // 10)  # the first one comes early
        self._said = self._cut = 0
        self.flips = 0

    async def serve(self) -> None:
        """Answer until cancelled."""
        heard = b""
        while True:
            heard += await self._line.heard(1)
            for reply in self._replies:
                if heard.endswith(reply.question):
                    heard = b""
                    await self._say(reply.answer)
                    if reply.later:
                        await asyncio.sleep(LATER_S)
                        self._line.send(reply.later)

    async def _say(self, data: bytes) -> None:
        noisy = bytearray(data)
        while self._flip < self._said + len(noisy):
            noisy[self._flip - self._said] ^= 1 << self._dice.randrange(7)
            self._flip += FLIPPED // 2 + self._dice.randrange(FLIPPED)
            self.flips += 1
        self._said += len(noisy)
        self._cut += 1
        place = self._cut % len(noisy)
        self._line.send(bytes(noisy[:place]))
        await asyncio.sleep(0.0005)
        self._line.send(bytes(noisy[place:]))


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    made = [Line() for _ in DIALOGUES]
    yield made
    for line in made:
        line.unplug()


@asynccontextmanager
async def serving(all_worn: Sequence[Worn]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(worn.serve()) for worn in all_worn]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def config(lines: Sequence[Line]) -> str:
    buses = "".join(one.bus.replace("{port}", line.path) for one, line in zip(DIALOGUES, lines, strict=True))
    return f"[buses]\n{buses}[devices]\n" + "".join(one.devices for one in DIALOGUES)


async def test_what_is_answered_arrives_exactly(tmp_path: Path, lines: list[Line]) -> None:
    all_worn = [Worn(line, one.replies) for one, line in zip(DIALOGUES, lines, strict=True)]
    async with Rig(tmp_path) as rig, serving(all_worn):
        await rig.start_agent(config(lines))
        for one in DIALOGUES:
            await rig.until(partial(enough, rig, one), f"enough readings of {one.bus}")
        assert await rig.stop_agent() == 0
        samples = await asyncio.to_thread(rig.samples)
    for one, worn in zip(DIALOGUES, all_worn, strict=True):
        its = [sample for sample in samples if sample.point in one.values]
        good = [sample for sample in its if sample.quality == GOOD]
        assert [sample for sample in good if not same(sample.value, one.values[sample.point])] == []
        assert {sample.point for sample in good} == set(one.values)
        assert len(good) > 0.9 * len(its)
        assert worn.flips >= 1, one.bus


def enough(rig: Rig, dialogue: Dialogue) -> bool:
    """Whether the collector has that many values of it, and one of each point. Blocks."""
    found = [rig.rows(point) for point in dialogue.values]
    return all(found) and sum(len(rows) for rows in found) >= dialogue.readings
