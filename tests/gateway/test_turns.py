"""What dead and ill devices cost the others on their bus: the real task, in virtual time, for thousands of periods.

An RS-485 line at 9600 baud with 5 units, and 50 units behind one TCP gateway, a read a second each.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

import pytest

from drivers.base import Read
from drivers.errors import DeviceError, ExceptionAnswer, NoAnswer
from gateway.polling.health import DEAD_SHARE, PROBE_MAX_MS, State
from tests.gateway.scene import Scene
from tests.gateway.support import Asked, VirtualLoop, bus, device, make, virtually

TIMEOUT = 500
RTU = 60
"""ms: 8 bytes asked and 45 answered at 9600 baud, twice 3.5 characters of silence, 5 ms of the device's own."""
TCP = 5
PERIOD = 1000

Outcome = tuple[int, DeviceError | None]
"""How long a try takes, and what comes of it."""


class Timed(Asked):
    """Knows what its reads cost."""

    took = RTU

    def cost(self, read: Read) -> float:  # noqa: ARG002 the contract's
        return self.took

    def patience(self, read: Read) -> float:  # noqa: ARG002 the contract's
        return TIMEOUT


@dataclass
class Account:
    """Every try: when it began, how long it took, which device, what came of it. Times are ms from the start."""

    tries: list[tuple[int, int, str, DeviceError | None]] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    seconds: int = 0

    def intervals(self, *devices: str, after: int = 0) -> list[int]:
        """Between the begins of the tries of each of these devices."""
        found: list[int] = []
        for name in devices:
            times = [began for began, _, device, _ in self.tries if device == name and began >= after]
            found += [later - before for before, later in pairwise(times)]
        return found

    def lost(self, after: int = 0) -> float:
        """The share of the time in which nothing came of it."""
        spent = sum(took for began, took, _, error in self.tries if error is not None and began >= after)
        return spent / (self.seconds * 1000 - after)


def play(tmp_path: Path, units: int, outcome: Callable[[str, int], Outcome], seconds: int, took: int = RTU) -> Account:
    """A read a second of u0, u1 ... on one bus; `outcome` says what becomes of the one of a device at a time."""
    account = Account(seconds=seconds)

    async def run(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, bus() + "".join(device(f"u{n}", "p") for n in range(units)), Timed)
        driver.took, start = took, loop.boot_ms()

        async def answer(read: Read) -> bytes:
            began = loop.boot_ms() - start
            lasts, error = outcome(read.device, began)
            await asyncio.sleep(lasts / 1000)
            account.tries.append((began, lasts, read.device, error))
            if error is not None:
                raise error
            return bytes(2)

        driver.answer = answer
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(seconds)
        account.states = {name: health.state for name, health in scene.bus.health.items()}

    virtually(run)
    return account


def silent() -> Outcome:
    return TIMEOUT, NoAnswer("silent")


LINES = pytest.mark.parametrize(("units", "took", "seconds"), [(5, RTU, 3600), (50, TCP, 300)], ids=["rtu", "tcp"])


@LINES
@pytest.mark.parametrize("places", [(0,), (-1,), (1, -1)], ids=["first", "last", "two"])
def test_while_some_are_dead_the_living_keep_their_period(
    tmp_path: Path, units: int, took: int, seconds: int, places: tuple[int, ...]
) -> None:
    dead = {f"u{range(units)[place]}" for place in places}
    account = play(tmp_path, units, lambda unit, _: silent() if unit in dead else (took, None), seconds, took)
    living = [f"u{n}" for n in range(units) if f"u{n}" not in dead]
    found = account.intervals(*living)
    assert median(found) == PERIOD
    assert abs(fmean(found) - PERIOD) <= 3
    assert max(found) <= PERIOD + len(dead) * TIMEOUT
    settled = account.intervals(*living, after=10_000)
    assert max(settled) <= PERIOD + 1, "a probe fits into a pause and delays nobody"
    assert account.lost() <= 1 / DEAD_SHARE
    assert account.lost(after=10_000) > 0, "it is asked now and then"
    assert all(max(account.intervals(one)) <= PROBE_MAX_MS + 2 * PERIOD for one in dead)


@LINES
def test_a_device_that_dies_while_all_are_asked_delays_each_of_the_others_once(
    tmp_path: Path, units: int, took: int, seconds: int
) -> None:
    death, seconds = 60_000, seconds // 5
    account = play(
        tmp_path, units, lambda unit, at: silent() if unit == "u1" and at > death else (took, None), 120, took
    )
    living = [f"u{n}" for n in range(units) if n != 1]
    found = account.intervals(*living, after=2_000)
    assert max(found) <= PERIOD + TIMEOUT
    assert sum(interval > PERIOD + TIMEOUT // 10 for interval in found) <= len(living)
    assert account.states["u1"] is State.OFFLINE


def test_a_line_without_a_pause_that_is_long_enough_is_late_by_one_timeout_at_most(tmp_path: Path) -> None:
    account = play(tmp_path, 5, lambda unit, _: silent() if unit == "u0" else (240, None), 3600, 240)
    found = account.intervals("u1", "u2", "u3", "u4", after=2_000)
    assert median(found) == PERIOD
    assert abs(fmean(found) - PERIOD) <= 50
    assert max(found) <= PERIOD + TIMEOUT
    assert 0 < account.lost() <= 1 / DEAD_SHARE


@pytest.mark.parametrize("chance", [0.02, 0.5, 0.9])
def test_a_device_that_answers_now_and_then_delays_the_others_by_one_timeout_at_most(
    tmp_path: Path, chance: float
) -> None:
    dice = random.Random(1)
    account = play(
        tmp_path, 5, lambda unit, _: silent() if unit == "u0" and dice.random() < chance else (RTU, None), 1800
    )
    found = account.intervals("u1", "u2", "u3", "u4", after=2_000)
    assert (median(found), round(fmean(found))) == (PERIOD, PERIOD)
    assert max(found) <= PERIOD + TIMEOUT
    assert account.lost() <= 1 / DEAD_SHARE
    assert len(account.intervals("u0")) >= 30, "once a minute at least"


def test_ten_ill_ones_of_fifty_starve_nobody(tmp_path: Path) -> None:
    dice, ill = random.Random(2), {f"u{n}" for n in range(0, 50, 5)}
    account = play(
        tmp_path, 50, lambda unit, _: silent() if unit in ill and dice.random() < 0.5 else (TCP, None), 600, TCP
    )
    found = account.intervals(*(f"u{n}" for n in range(50) if f"u{n}" not in ill), after=60_000)
    assert median(found) == PERIOD
    assert abs(fmean(found) - PERIOD) <= 1
    assert max(found) <= PERIOD + TIMEOUT + len(ill) * TCP, "the ill ones change places in the order"


def test_slow_ones_take_what_the_others_leave(tmp_path: Path) -> None:
    slow = {"u0", "u1", "u2"}
    account = play(tmp_path, 5, lambda unit, _: (TIMEOUT - 20 if unit in slow else RTU, None), 600)
    found = account.intervals("u3", "u4", after=5_000)
    assert abs(fmean(found) - PERIOD) <= 1
    assert max(found) <= PERIOD + TIMEOUT
    each = [len(account.intervals(unit)) for unit in sorted(slow)]
    assert max(each) - min(each) <= 2
    assert sum(each) * (TIMEOUT - 20) >= 0.8 * 600_000


def test_one_that_only_complains_is_asked_like_any_other(tmp_path: Path) -> None:
    refusal = ExceptionAnswer(4, "server device failure")
    account = play(tmp_path, 5, lambda unit, _: (20, refusal) if unit == "u0" else (RTU, None), 600)
    assert set(account.intervals("u0", "u1", "u4", after=2_000)) == {PERIOD}
    assert account.states["u0"] is State.ONLINE


def test_a_plan_that_is_too_much_is_shared_out_and_the_dead_one_has_its_part(tmp_path: Path) -> None:
    account = play(tmp_path, 5, lambda unit, _: silent() if unit == "u0" else (300, None), 600, 300)
    counts = [len(account.intervals(f"u{n}")) for n in range(1, 5)]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) * 300 >= 0.93 * 600_000
    assert 0 < account.lost(after=20_000) <= 1 / DEAD_SHARE


def test_what_must_not_be_asked_yet_waits_and_the_others_go_on(tmp_path: Path) -> None:
    class Late(Timed):
        """The read of u0 must not be asked in the first half of a second."""

        def not_before(self, read: Read) -> int:
            now = loop_now()
            return now - now % PERIOD + 500 if read.device == "u0" and now % PERIOD < 500 else 0

    loop_now: Callable[[], int] = lambda: 0  # noqa: E731 - set below
    asked: list[tuple[str, int]] = []

    async def run(loop: VirtualLoop) -> None:
        nonlocal loop_now
        loop_now = loop.boot_ms
        _, (driver,) = make(tmp_path, bus() + device("u0", "p") + device("u1", "p"), Late)

        async def answer(read: Read) -> bytes:
            asked.append((read.device, loop.boot_ms() % PERIOD))
            return bytes(2)

        driver.answer = answer
        async with Scene(loop, [driver]).running():
            await asyncio.sleep(60)

    virtually(run)
    assert {place for unit, place in asked if unit == "u0"} <= set(range(500, 1000))
    assert sum(unit == "u0" for unit, _ in asked) >= 59
    assert sum(unit == "u1" for unit, _ in asked) >= 59
