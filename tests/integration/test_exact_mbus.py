"""M-Bus meters on a pty, through the agent, to the rows of the collector: no value is ever wrong."""

import asyncio
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.drivers.line import Line
from tests.drivers.mbus.slaves import Bus, Slave
from tests.drivers.mbus.telegrams import HEAT, WATER
from tests.integration.harness import Rig

GOOD = 0  # docs/format.md
FLIPS = 10_000  # one byte in so many
ROWS = 90

# libmbus's reading of its test frames ELS_Elster-F96-Plus and siemens_water
EXPECTED = {"heat/flow": Decimal("22.7"), "heat/return": Decimal("22.6"), "water/volume": Decimal("0.101")}

CONFIG = """
[buses]
cellar = {{ driver = "mbus", port = "{port}", baud = 38400 }}
[devices.heat]
bus = "cellar"
address = 6
supply = "mains"
every = "100ms"
points.flow = {{ quantity = "flow-temperature", unit = "Cel" }}
points.return = {{ quantity = "return-temperature", unit = "Cel" }}
[devices.water]
bus = "cellar"
secondary = "08021382"
supply = "mains"
every = "100ms"
points.volume = {{ quantity = "volume", unit = "m3" }}
"""


class Worn(Bus):
    """An old line: every answer comes in two parts, cut at another place each time, and some bits are flipped."""

    dice = random.Random(13757)
    cut = 0

    async def _say(self, data: bytes) -> None:
        noisy = bytearray(data)
        for at in range(len(noisy)):
            if self.dice.randrange(FLIPS) == 0:
                noisy[at] ^= 1 << self.dice.randrange(8)
        self.cut += 1
        place = self.cut % len(noisy)
        self._line.send(bytes(noisy[:place]))
        await asyncio.sleep(0.0005)
        self._line.send(bytes(noisy[place:]))


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


async def test_meters_on_a_worn_line_arrive_exactly(tmp_path: Path, line: Line) -> None:
    task = asyncio.ensure_future(Worn(line, Slave(6, [HEAT]), Slave(0, [WATER]), echo=True).serve())
    async with Rig(tmp_path) as rig:
        await rig.start_agent(CONFIG.format(port=line.path))
        await rig.until_rows(lambda rows: len(rows) >= ROWS, "enough read-outs")
        assert await rig.stop_agent() == 0
        rows = await asyncio.to_thread(rig.rows)
    task.cancel()
    good = [row for row in rows if row.quality == GOOD]
    assert len(good) > 0.9 * len(rows)
    assert {row.point for row in good} == set(EXPECTED)
    assert all(row.number == EXPECTED[row.point] for row in good)
    assert {(row.point, row.unit) for row in good} >= {("heat/flow", "Cel"), ("water/volume", "m3")}
