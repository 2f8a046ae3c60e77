"""Bytes to the device, fsyncs and CPU of the store: python bench/store.py [--json] [--only lamppost] [--rate 45] ...

A disk of its own (loop device, ext4 with blocks of 4096 bytes; what the file system's journal writes is counted, but
time is compressed: its timer of 5 s hardly ever runs out), a site of `bench.site` in simulated time: commits at their
interval, a seal a minute, its acknowledgement before the next commit, delivered history pruned every hour. A store is
filled first, until its log and its file grow no more; then `--commits` are counted, and as many again under strace for
the fsyncs. Beside it one JSON row a sample, and typed rows, with the same pragmas and intervals. Speeds are samples
per CPU-second of packing, signing and writing, the kernel's share included.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.disk import Disk, counted_fsyncs, disk, missing
from bench.site import PERIODS, POINTS, ROUND_S, Scan, record
from bench.writers import WRITERS, Writer
from buffer.database import PAGE_BYTES
from buffer.room import LOG_PAGES

SEAL_S = 60
SITES = {45: 1, 500: 11}
INTERVALS = (1, 5, 60)
PRUNE_S = 3600


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table."""

    writer: str
    rate: int
    commit_s: int
    page: int
    log: int
    samples: int
    device_bytes_per_sample: float | None
    data_bytes_per_sample: float | None
    fsyncs_per_commit: float | None
    samples_per_cpu_s: int


class Play:
    """The recording, round after round, into one writer."""

    def __init__(self, writer: Writer, scans: list[Scan], commit_s: int, history_s: int) -> None:
        self.writer = writer
        self.samples = self.commits = 0
        self._scans = self._endless(scans)
        self._next = next(self._scans)
        self._commit_s = commit_s
        self._history_s = history_s
        self._now_s = 0

    @staticmethod
    def _endless(scans: list[Scan]) -> Iterator[tuple[int, Scan]]:
        start_ms = 1_000_000
        while True:
            for scan in scans:
                yield start_ms + scan.at, scan
            start_ms += ROUND_S * 1000

    def run(self, seconds: int) -> None:
        """So much simulated time."""
        end_s = self._now_s + seconds
        while self._now_s < end_s:
            self._now_s += self._commit_s
            now_ms = 1_000_000 + self._now_s * 1000
            at, scan = self._next
            while at < now_ms:
                self.writer.take(scan, at)
                self.samples += len(scan.numbers)
                at, scan = self._next = next(self._scans)
            seal = self._now_s % SEAL_S == 0
            self.writer.commit(now_ms, seal=seal)
            self.commits += 1
            if seal:
                self.writer.delivered(now_ms)
            if self._now_s % PRUNE_S == 0:
                self.writer.prune(now_ms - self._history_s * 1000)


def measure(
    name: str, rate: int, commit_s: int, scans: list[Scan], asked: argparse.Namespace, on: Disk | None
) -> Result:
    """One line: filled, counted, traced."""
    folder = Path(asked.folder) if on is None else on.folder
    path = folder / f"{name}-{rate}-{commit_s}.db"
    writer = WRITERS[name](path, SITES[rate] * len(PERIODS) * POINTS, asked.page, asked.log)
    play = Play(writer, scans, commit_s, asked.history)
    writer.fast(on=True)
    play.run(asked.history + PRUNE_S)
    log = Path(f"{path}-wal")
    while log.stat().st_size < asked.log * asked.page:
        play.run(PRUNE_S)
    writer.fast(on=False)
    play.run(PRUNE_S)
    writer.settle()
    gc.collect()
    gc.disable()
    before, samples, data, cpu = on.written() if on else 0, play.samples, writer.bytes, time.process_time()
    play.run(asked.commits * commit_s)
    writer.settle()
    cpu = time.process_time() - cpu
    count = play.samples - samples
    written = on.written() - before if on else 0
    data = writer.bytes - data
    gc.enable()
    commits = play.commits
    with counted_fsyncs() as fsyncs:
        play.run(asked.commits * commit_s)
    result = Result(
        name, rate, commit_s, asked.page, asked.log, count,
        round(written / count, 2) if on else None,
        round(data / count, 3) if data else None,
        round(fsyncs[0] / (play.commits - commits), 3) if fsyncs else None,
        round(count / cpu),
    )  # fmt: skip
    writer.close()
    for file in folder.glob(f"{path.name}*"):
        file.unlink()
    return result


def main() -> int:
    """Measure what is asked for; without root the bytes of the device are left out, with the reason on stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=WRITERS, action="append")
    parser.add_argument("--rate", type=int, choices=SITES, action="append")
    parser.add_argument("--commit", type=int, choices=INTERVALS, action="append")
    parser.add_argument("--history", type=int, default=4 * 3600, help="s")
    parser.add_argument("--commits", type=int, default=1440, help="counted")
    parser.add_argument("--page", type=int, default=PAGE_BYTES)
    parser.add_argument("--log", type=int, default=LOG_PAGES, help="wal_autocheckpoint")
    parser.add_argument("--folder", default=".", help="without root: where")
    asked = parser.parse_args()
    results = []
    if reason := missing():
        print(f"no bytes of the device: {reason}", file=sys.stderr)
        results = list(_all(asked, None))
    else:
        with disk() as on:
            results = list(_all(asked, on))
    if asked.json:
        print(json.dumps([asdict(result) for result in results], indent=1))
    return 0


def _all(asked: argparse.Namespace, on: Disk | None) -> Iterator[Result]:
    for rate in asked.rate or SITES:
        scans = record(SITES[rate])
        for name in asked.only or WRITERS:
            for commit_s in asked.commit or INTERVALS:
                result = measure(name, rate, commit_s, scans, asked, on)
                if not asked.json:
                    print(json.dumps(asdict(result)), flush=True)
                yield result


if __name__ == "__main__":
    sys.exit(main())
