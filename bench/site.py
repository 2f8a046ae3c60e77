"""A site's scans without devices: 200 points on 40 devices read every 1 to 60 s, 45.7 samples a second."""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import pi, sin

from ext import Layout, Packer, ScanPlan, Series

ROUND_S = 1200
"""The recording is played again after so long."""
PERIODS = (1,) * 4 + (2,) * 4 + (5,) * 8 + (10,) * 10 + (15,) * 4 + (30,) * 6 + (60,) * 4
POINTS = 5
SAMPLES = POINTS * sum(ROUND_S // period for period in PERIODS)
"""of one site in one round"""

Walk = Callable[[random.Random, int, int], Iterator[int]]


def _reading(start: int, swing: int, noise: float) -> Walk:
    def walk(dice: random.Random, start_s: int, period: int) -> Iterator[int]:
        drift, phase = 0.0, dice.random() * 2 * pi
        while True:
            drift += dice.gauss(0, 0.04 * period**0.5)
            yield round(start + swing * sin(start_s / 13_750 + phase) + drift + dice.gauss(0, noise))
            start_s += period

    return walk


def _counter(rate: float) -> Walk:
    def walk(dice: random.Random, _: int, period: int) -> Iterator[int]:
        value, pace = dice.randrange(10_000, 4_000_000), rate * dice.uniform(0.3, 3)
        while True:
            value += max(0, round(dice.gauss(pace * period, (pace * period) ** 0.5)))
            yield value

    return walk


def _state(values: int, mean_s: int) -> Walk:
    def walk(dice: random.Random, _: int, period: int) -> Iterator[int]:
        value = 0
        while True:
            if dice.random() < period / mean_s:
                value = dice.randrange(values)
            yield value

    return walk


KINDS = (
    *((_reading(180, 40, 0.3), 1),) * 75,
    *((_counter(0.3), 0),) * 32,
    *((_reading(23_000, 20, 12), 2),) * 15,
    *((_reading(10_000, 3_000, 40), 1),) * 16,
    *((_state(2, 900), 0),) * 28,
    *((_state(6, 600), 0),) * 12,
    *((_reading(520, 60, 22), 1),) * 9,
    *((_reading(45_000_000, 0, 3), 6),) * 8,
    *((_counter(0.4), 0),) * 5,
)
"""Way of moving, and decimals: temperatures, counters, voltages, power, switches, states, noise, places, counts."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A payload as it arrives, ms after the start of the round."""

    at: int
    plan: ScanPlan
    numbers: tuple[int, ...]
    payload: bytes

    def pack(self, packer: Packer, boot_ms: int) -> int:
        """Append it as read at `boot_ms`; how many samples."""
        return packer.append_scan(self.plan, self.payload, boot_ms)

    def values(self) -> tuple[int, ...]:
        """What the registers say."""
        return struct.unpack(f">{len(self.numbers)}q", self.payload)


def record(sites: int) -> list[Scan]:
    """One round of that many sites, in order of arrival; the same at every call."""
    dice = random.Random(1)
    scans: list[Scan] = []
    for site in range(sites):
        kinds = list(KINDS)
        dice.shuffle(kinds)
        for device, period in enumerate(PERIODS):
            first = POINTS * (len(PERIODS) * site + device)
            own = kinds[POINTS * device : POINTS * (device + 1)]
            scans += _device(dice, first + 1, own, period, apart=device % 2 == 1)
    return sorted(scans, key=lambda scan: scan.at)


def _device(
    dice: random.Random, first: int, kinds: list[tuple[Walk, int]], period: int, *, apart: bool
) -> Iterator[Scan]:
    """Its scans: one for all points, or one a point when they are read `apart`."""
    walks = [walk(dice, 0, period) for walk, _ in kinds]
    series = [Series(first + i, exponent=-digits) for i, (_, digits) in enumerate(kinds)]
    groups = [[i] for i in range(POINTS)] if apart else [list(range(POINTS))]
    plans = [
        ScanPlan([(Layout(8 * n, "int64"), series[i]) for n, i in enumerate(group)], period * 1000) for group in groups
    ]
    phase = dice.randrange(period * 1000)
    for n in range(ROUND_S // period):
        at = phase + n * period * 1000 + dice.randrange(8) + (dice.randrange(40, 250) if dice.random() < 0.01 else 0)
        for plan, group in zip(plans, groups, strict=True):
            payload = struct.pack(f">{len(group)}q", *(next(walks[i]) for i in group))
            yield Scan(at, plan, tuple(first + i for i in group), payload)
            at += dice.randrange(6, 12)
