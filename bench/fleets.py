"""Bytes a sample of short batches from many devices of one model: python bench/fleets.py [--rounds 1 10 60].

A batch holds so many rounds, a round is one scan of every device and one commit. The values are made up, with the
statistics of what they stand for; `counts` are those of the simulator of the field rig, `counts / 7` the same with
digits that no format likes, "apart" with devices that began at different times. Blocks only: a signed batch adds some
250 bytes. Each size is that of packing the whole recording; the first batch is decoded and compared.
"""

import argparse
import random
import struct
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from math import cos, radians, sin
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from ext import Layout, Packer, ScanPlan, Series, unpack

ROUNDS = 120
TYPES = {"f": "float32", "q": "int64"}

Number = int | float
Round = list[list[Number]]
Fleet = tuple[str, int, Callable[[random.Random], Iterator[Round]]]


def counts(divisor: int, apart: int) -> Callable[[random.Random], Iterator[Round]]:
    """50 devices of ten registers; each answer has a number, and each register its own value."""

    def rounds(chance: random.Random) -> Iterator[Round]:
        starts = [100 + chance.randrange(apart + 1) for _ in range(50)]
        while True:
            yield [[(64 * start + place) / divisor for place in range(10)] for start in starts]
            starts = [start + 1 for start in starts]

    return rounds


def meters(chance: random.Random) -> Iterator[Round]:
    """40 three-phase meters: voltages, currents, powers, power factor, frequency, energy."""
    volts = [chance.gauss(230, 1.5) for _ in range(40)]
    amps = [[chance.uniform(0.1, 16) for _ in range(3)] for _ in range(40)]
    energy = [chance.uniform(100, 90_000) for _ in range(40)]
    while True:
        scans: Round = []
        for device in range(40):
            volts[device] += chance.gauss(0, 0.1)
            phases = [volts[device] + offset + chance.gauss(0, 0.1) for offset in (0, 0.7, -0.4)]
            amps[device] = [max(0.0, amp * (1 + chance.gauss(0, 0.01))) for amp in amps[device]]
            watts = [0.93 * volt * amp for volt, amp in zip(phases, amps[device], strict=True)]
            energy[device] += sum(watts) / 3.6e6
            rest = [0.93 + chance.gauss(0, 0.002), 50 + chance.gauss(0, 0.002), energy[device]]
            scans.append([*phases, *amps[device], *watts, *rest])
        yield scans


def rounded(chance: random.Random) -> Iterator[Round]:
    """The same meters, by integers with a scale."""
    digits = (1, 1, 1, 2, 2, 2, 0, 0, 0, 3, 2, 2)
    for scans in meters(chance):
        yield [[round(value * 10**n) for value, n in zip(scan, digits, strict=True)] for scan in scans]


def lamps(chance: random.Random) -> Iterator[Round]:
    """60 street lights: dimming, power, voltage, hours, temperature, state."""
    lights = [(chance.uniform(200, 900), chance.uniform(2250, 2360), chance.randrange(60_000)) for _ in range(60)]
    for minute in range(1 << 30):
        dim = (0, 100, 50)[minute // 40 % 3]
        yield [
            [
                dim,
                round(4 + watts * dim / 100 + chance.gauss(0, 0.5)),
                round(volts + chance.gauss(0, 5)),
                hours + minute // 60,
                round(150 + dim + chance.gauss(0, 1)),
                4 * (chance.random() < 0.002),
            ]
            for watts, volts, hours in lights
        ]


def vehicles(chance: random.Random) -> Iterator[Round]:
    """12 vehicles of one town: latitude, longitude, speed, course."""
    places = [[48.2 + chance.gauss(0, 0.03), 16.37 + chance.gauss(0, 0.05)] for _ in range(12)]
    courses = [[chance.uniform(0, 50), chance.uniform(0, 360)] for _ in range(12)]
    while True:
        for place, course in zip(places, courses, strict=True):
            course[:] = max(0.0, course[0] + chance.gauss(0, 1)), (course[1] + chance.gauss(0, 3)) % 360
            place[0] += course[0] / 3.6 * cos(radians(course[1])) / 111_111
            place[1] += course[0] / 3.6 * sin(radians(course[1])) / 74_000
        yield [
            [round(place[0] * 1e6), round(place[1] * 1e6), round(10 * course[0]), round(10 * course[1])]
            for place, course in zip(places, courses, strict=True)
        ]


FLEETS: dict[str, Fleet] = {
    "counts": ("f" * 10, 1000, counts(1, 0)),
    "counts, apart": ("f" * 10, 1000, counts(1, 300)),
    "counts / 7": ("f" * 10, 1000, counts(7, 0)),
    "counts / 7, apart": ("f" * 10, 1000, counts(7, 300)),
    "meters, binary32": ("f" * 12, 1000, meters),
    "meters, scaled integers": ("q" * 12, 1000, rounded),
    "street lights": ("q" * 6, 60_000, lamps),
    "vehicles": ("q" * 4, 1000, vehicles),
}


def plans(codes: str, period: int, devices: int) -> list[ScanPlan]:
    """A plan for each device."""
    layouts = [Layout(struct.calcsize(">" + codes[:place]), TYPES[code]) for place, code in enumerate(codes)]
    return [
        ScanPlan([(layout, Series(len(codes) * device + place)) for place, layout in enumerate(layouts)], period=period)
        for device in range(devices)
    ]


def size(fleet: Fleet, rounds: int) -> float:
    """Block bytes a sample of batches of so many rounds."""
    codes, period, make = fleet
    chance = random.Random(20240607)
    recording = list(islice(make(chance), ROUNDS))
    scanned = plans(codes, period, len(recording[0]))
    packer, batches, batch = Packer(), [], list[bytes]()
    for index, scans in enumerate(recording):
        for device, (plan, scan) in enumerate(zip(scanned, scans, strict=True)):
            late = 20 * device + chance.randrange(5)
            packer.append_scan(plan, struct.pack(">" + codes, *scan), 1_000_000 + period * index + late)
        batch.append(packer.commit())
        if (index + 1) % rounds == 0:
            packer.reset()
            batches.append(batch)
            batch = []
    sent = b"".join(struct.pack(">" + codes, *scan) for scans in recording[:rounds] for scan in scans)
    found = unpack(batches[0])
    if struct.pack(">" + codes * (len(found) // len(codes)), *(sample[2] for sample in found)) != sent:
        raise SystemExit("the first batch is not what was packed")
    return sum(len(block) for each in batches for block in each) / len(batches) / len(found)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, nargs="+", default=[1, 10, 60], help="of a batch")
    args = parser.parse_args()
    print(f"{'rounds a batch':<26}" + "".join(f"{rounds:>8}" for rounds in args.rounds))
    for name, fleet in FLEETS.items():
        print(f"{name:<26}" + "".join(f"{size(fleet, rounds):>8.3f}" for rounds in args.rounds))


if __name__ == "__main__":
    main()
