"""`python -m tests.chaos --seconds 600 --seed 7`: random faults of every part for minutes, then the account.

Exit code 0 only when committed = stored + held + ledger, sample by sample; else the folder is kept.
"""

import argparse
import asyncio
import json
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.chaos.chaos import Result, run
from tests.chaos.plan import DATABASES

TOLD = 20  # faults of the account that are printed


def table(result: Result) -> str:
    """The result for people."""
    lines = [f"seed {result.seed}, {result.database}, {result.seconds:.0f} s", ""]
    lines.append(
        f"{'fault':24}{'count':>6}{'recovered in, s: p50':>22}{'max':>7}{'alone: count':>14}{'p50':>7}{'max':>7}"
    )
    for kind, times in result.times.items():
        lines.append(
            f"{kind:24}{times.count:>6}{_seconds(times.recovered):>29}{len(times.alone):>14}{_seconds(times.alone):>14}"
        )
    account = result.account
    lines += [
        "",
        f"faults: {sum(times.count for times in result.times.values())}",
        f"collectors that ended by themselves and were started again: {result.restarts}",
        f"samples served {account.served}, of which never committed {account.uncommitted} (agent down or frozen)",
        f"committed {account.committed} = stored {account.stored} + held {account.held} + ledger {account.ledgered}",
        f"lost {account.lost}, doubled {account.doubled}; {account.unclean_stops} unclean stops in the ledger",
        f"{account.batches} batches, verify: exit code {result.verify}",
        "balanced" if result.balanced else "NOT BALANCED",
    ]
    return "\n".join([*lines, *(result.faults + account.faults)[:TOLD]])


def _seconds(times: Sequence[float]) -> str:
    return f"{statistics.median(times):7.1f}{max(times):7.1f}" if times else f"{'-':>7}{'-':>7}"


def say(text: str) -> None:
    """What goes on, for who waits."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a program for a terminal


def main() -> int:
    """Run it as the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long things break (600)")
    parser.add_argument("--seed", type=int, default=None, help="the faults are drawn from it; a random one otherwise")
    parser.add_argument("--database", choices=sorted(DATABASES), default="postgresql")
    parser.add_argument("--json", action="store_true", help="one object instead of the table")
    parser.add_argument("--folder", type=Path, help="an empty one for everything, which is kept; a new one otherwise")
    arguments = parser.parse_args()
    seed = secrets.randbelow(1 << 31) if arguments.seed is None else arguments.seed
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="lamppost-chaos-"))
    say(f"seed {seed}, in {folder}")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # leaves no process behind either
    signal.signal(signal.SIGINT, signal.default_int_handler)
    result = asyncio.run(run(folder, arguments.seconds, seed, arguments.database, say))
    shown = json.dumps({**asdict(result), "balanced": result.balanced}) if arguments.json else table(result)
    print(shown)  # noqa: T201 - the result
    if result.balanced and arguments.folder is None:
        shutil.rmtree(folder)
    else:
        say(f"kept: {folder}")
    return 0 if result.balanced else 1


if __name__ == "__main__":
    sys.exit(main())
