"""A box that nobody told the time, and a GNSS receiver on its port: through the driver, the agent and the store."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from buffer.header import ClockState
from drivers.nmea import NmeaDriver
from gateway.cli.status import _show
from gateway.clock import System
from gateway.control.status import status
from gateway.gnss import RUN_MS
from tests.drivers.line import Line
from tests.gateway.support import decoded, living, make_agent, until

EVERY_S = 0.25
TELLINGS = int(RUN_MS / 1000 / EVERY_S) + 6
GNSS = (
    '[buses.sky]\ndriver = "nmea"\nport = "{port}"\nclock = true\n[devices.place]\nbus = "sky"\n'
    '[devices.place.points.speed]\nsentence = "RMC"\nfield = "speed"\nunit = "kn"\n'
)


def rmc(utc_s: float, status_letter: str = "A") -> bytes:
    """An RMC as the u-blox 6 protocol specification has it (GPS.G6-SW-10018), of that second."""
    at = datetime.fromtimestamp(utc_s, UTC)
    body = f"GPRMC,{at:%H%M%S}.{at.microsecond // 10_000:02},{status_letter},4717.11437,N,00833.91522,E,0.004,77.52,"
    body += f"{at:%d%m%y},,,A"
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


LIES: dict[str, Callable[[int], bytes]] = {
    "no fix": lambda _: rmc(time.time(), "V"),
    "1980": lambda _: rmc(315_964_800 + time.monotonic()),
    "2080": lambda _: rmc(3_471_292_800 + time.monotonic()),
    "jumps": lambda turn: rmc(time.time() + turn % 3 * 3_600),
    "stands": lambda _: rmc(1_800_000_000),
}


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the test has a time server; the box has none."""
    monkeypatch.setattr(System, "synchronized", lambda _: False)


async def hear(folder: Path, say: Callable[[int], bytes], tellings: int) -> dict[str, object]:
    """The status of an agent after a receiver has said so much; it is stopped then."""
    line = Line()
    agent, _ = await asyncio.to_thread(make_agent, folder, folder, GNSS.format(port=line.path), NmeaDriver)
    with living(agent) as task:
        await until(lambda: hasattr(agent, "buses") and agent.buses[0].up)
        for turn in range(tellings):
            line.send(say(turn))
            await asyncio.sleep(EVERY_S)
        found = await status(agent)
        agent.stopping.set()
        await task
    line.unplug()
    return found


async def test_a_receiver_dates_what_the_box_takes_and_one_that_lies_dates_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    says = {"honest": lambda _: rmc(time.time())} | LIES
    for name in says:
        await asyncio.to_thread((tmp_path / name).mkdir)
    heard = await asyncio.gather(*(hear(tmp_path / name, say, TELLINGS) for name, say in says.items()))
    found = dict(zip(says, heard, strict=True))
    assert {name: (one["clock"], one["clock_from"]) for name, one in found.items()} == {
        "honest": ("synchronized", "gnss"), **dict.fromkeys(LIES, ("unset", "none"))
    }  # fmt: skip
    await asyncio.to_thread(_show, found["honest"])
    assert "clock synchronized (by a GNSS receiver)" in capsys.readouterr().out
    header = (await asyncio.to_thread(decoded, tmp_path / "honest" / "buffer.db"))[-1].header
    assert header.clock_state is ClockState.SYNCHRONIZED
    offset = time.time_ns() // 1_000_000 - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    assert abs(header.clock_ms - offset) < 1_500
