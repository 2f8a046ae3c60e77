"""Microseconds to judge and pack a scan of 50 registers: python bench/scan.py. The median of rounds, in CPU time."""

import random
import sys
import time
from itertools import starmap
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from ext import Layout, Packer, ScanPlan, Series

REGISTERS = 50
SCANS = 2000  # within one batch's bound of samples
ROUNDS = 21
CASES = {"nothing changes": 0.0, "one register in ten moves by one": 0.1, "every register moves by one": 1.0}


def payloads(moving: float) -> list[bytes]:
    """Answers of a device, of which so large a part of the registers moves by one from scan to scan."""
    values = [1000] * REGISTERS
    made = []
    for _ in range(SCANS):
        values = [value + random.choice((-1, 1)) if random.random() < moving else value for value in values]
        made.append(b"".join(value.to_bytes(2, "big") for value in values))
    return made


def microseconds(answers: list[bytes]) -> float:
    """CPU time of a scan with a scale, a sentinel and limits on each register, commits included."""
    series = [Series(i, exponent=-1, sentinels=[0xFFFF], minimum=0, maximum=6000) for i in range(REGISTERS)]
    plan = ScanPlan([(Layout(2 * i), each) for i, each in enumerate(series)], period=1000)
    scans = [(plan, answer, 1000 * i) for i, answer in enumerate(answers)]
    packer, spent = Packer(), []
    for _ in range(ROUNDS):
        start = time.process_time()
        for at in range(0, SCANS, 20):
            sum(starmap(packer.append_scan, scans[at : at + 20]))
            packer.commit()
        spent.append(time.process_time() - start)
        packer.reset()
    return 1e6 * median(spent) / SCANS


def main() -> None:
    """Print a line a case."""
    random.seed(1)
    for name, moving in CASES.items():
        print(f"a scan of {REGISTERS} registers, {name}: {microseconds(payloads(moving)):.2f} microseconds")


if __name__ == "__main__":
    main()
