"""A bounded fuzzing run: `python -m tests.fuzz.run [--seconds N] [--engine plain|libfuzzer] [--target NAME]`.

The kernels run with AddressSanitizer and UndefinedBehaviorSanitizer, each target for so many seconds; what looked dear
there, and what libFuzzer kept, then runs in the kernels as shipped under the exact limits. Exit code 1 says: a finding.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.build import BUILD, ROOT, Toolchain, build, clang, gcc

TARGETS = ("blocks", "scripts", "messages")
ENGINES = ("libfuzzer", "plain")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one worker."""

    engine: str
    target: str
    code: int
    log: str
    figures: dict[str, float]

    def line(self) -> str:
        """A row of the table."""
        f = self.figures
        rate = f["inputs"] / f["seconds"] if f.get("seconds") else 0.0
        return (
            f"{self.target:9} {self.engine:9} {f.get('inputs', 0):9.0f} {f.get('seconds', 0):8.0f} {rate:9.0f} "
            f"{f.get('accepted', 0):9.0f} {f.get('compared', 0):9.0f} {f.get('growth', 0) / 2**20:7.1f} "
            f"{1000 * f.get('slowest', 0):8.1f}  {'ok' if self.code == 0 else 'FINDING'}"
        )


HEADING = "target    engine       inputs  seconds  inputs/s  accepted  compared  peak MB  slow ms  result"


def work(engine: str, target: str, folder: Path, seconds: float, seed: int, chain: Toolchain | None) -> Outcome:
    """One worker over one target, with sanitizers if there is a toolchain."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.worker", engine, target, str(folder), str(seconds), str(seed)],
        env=plain if chain is None else chain.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    figures = folder / "figures.json"
    found = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    figures.unlink(missing_ok=True)
    return Outcome(engine, target, done.returncode, done.stdout, found)


def fuzz(engine: str, target: str, seconds: float, seed: int, chain: Toolchain) -> list[Outcome]:
    """One target with sanitizers, then what was left in the folder without them."""
    folder = BUILD / "run" / f"{target}-{engine}"
    shutil.rmtree(folder / "suspects", ignore_errors=True)
    outcomes = [work(engine, target, folder, seconds, seed, chain)]
    if outcomes[0].code == 0:
        outcomes.append(work("replay", target, folder, 0, 0, None))
    for outcome in outcomes:
        if outcome.code != 0:
            shutil.copy(folder / "input", folder / "finding")
    return outcomes


def toolchain(engine: str) -> tuple[str, Toolchain]:
    """The engine asked for, or else the plain one, with what builds for it; SystemExit where nothing does."""
    if engine == "libfuzzer":
        try:
            return engine, clang()
        except (ImportError, FileNotFoundError) as error:
            print(f"lamppost: no libFuzzer here ({error}): plain mutations instead", file=sys.stderr)
    chain = gcc()
    if chain is None:
        raise SystemExit("lamppost: the C compiler brings no AddressSanitizer")
    return "plain", chain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--seconds", type=float, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--engine", choices=ENGINES, default="libfuzzer")
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(31))
    options = parser.parse_args(arguments)
    engine, chain = toolchain(options.engine)
    build(chain)
    print(HEADING, flush=True)
    bad = []
    for target in options.target or TARGETS:
        for outcome in fuzz(engine, target, options.seconds, options.seed, chain):
            print(outcome.line(), flush=True)
            if outcome.code != 0:
                bad.append(outcome)
    for outcome in bad:
        print(f"\n{outcome.log[-6000:]}\nthe input: {BUILD}/run/{outcome.target}-{engine}/finding", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
