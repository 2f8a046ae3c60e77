"""Microseconds of a scan of registers, judged and packed: python bench/scan.py [--points N] [--json].

The registers count up by small steps, as meters do; a commit every 20 scans, a batch every 100. Under "counter" each
point is checked as one, under "window" only aggregates of 1 min are packed, under "deadband" few samples are reported.
"""

import argparse
import json
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from ext import Layout, Packer, ScanPlan, Series

SCANS = 5000
ROUNDS = 5


def plain(number: int) -> Series:
    """A point of which every sample is kept; with a scale, a sentinel and limits."""
    return Series(number, exponent=-1, sentinels=[0xFFFF], minimum=0, maximum=6000)


def counter(number: int) -> Series:
    """A counter of 16 bits."""
    return Series(number, exponent=-1, counter=(1 << 16, 100))


def window(number: int) -> Series:
    """A point of windows; their series have numbers of their own."""
    return Series(number, exponent=-1, window=60_000, aggregates=[Series(1000 + 4 * number + i) for i in range(4)])


def deadband(number: int) -> Series:
    """A point with a deadband."""
    return Series(number, exponent=-1, deadband=5)


def payloads(points: int) -> list[bytes]:
    """Answers of a device whose registers walk."""
    random, values, found = Random(1), [1000] * points, []
    for _ in range(SCANS):
        values = [value + random.choice((0, 0, 0, 1, 1, 2, 3)) for value in values]
        found.append(struct.pack(f">{points}H", *values))
    return found


def microseconds(make: Callable[[int], Series], answers: Sequence[bytes], points: int) -> float:
    """The best of some rounds, for one scan."""
    best = float("inf")
    for _ in range(ROUNDS):
        packer = Packer()
        plan = ScanPlan([(Layout(2 * i, "uint16"), make(i)) for i in range(points)], 1000)
        start = time.process_time()
        for at, answer in enumerate(answers):
            packer.append_scan(plan, answer, 1000 * at)
            if at % 20 == 19:
                packer.commit()
                if at % 100 == 99:
                    packer.reset()
        best = min(best, time.process_time() - start)
    return round(1e6 * best / len(answers), 2)


def main() -> None:
    """Measure, and print a line for each kind of point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    answers = payloads(args.points)
    kinds = (plain, counter, window, deadband)
    found = {kind.__name__: microseconds(kind, answers, args.points) for kind in kinds}
    if args.json:
        print(json.dumps({"points": args.points, "scans": SCANS, "microseconds": found}))
        return
    print(f"a scan of {args.points} registers, in CPU microseconds")
    for name, spent in found.items():
        print(f"{name:<10}{spent:>8}")


if __name__ == "__main__":
    main()
