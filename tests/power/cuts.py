"""Cut the power of a running store again and again, and account for every sample: `python -m tests.power.cuts`."""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from buffer import batch, chain
from buffer.errors import StoreError
from buffer.keys import SigningKey
from buffer.reader import Reader
from collector.identity import registry
from collector.receiving.incoming import Message
from collector.receiving.receive import Receiver
from collector.tables.database import Database
from ext import unpack
from tests.power.cabinet import Cabinet
from tests.power.writer import GATEWAY, OFFSET_MS, live

TOPIC = f"lamppost/v1/nord/{GATEWAY}/batch"
SHORTEST_S, LONGEST_S = 0.02, 0.25  # a life: some commits to some hundred, with batches and acknowledgements
START_S = 60  # to the first commit, the making of the file included, on a machine that has other things to do
DRAIN_S = 60


@dataclass
class Result:
    """The account of all lives; every list is empty when the promise holds."""

    cuts: int = 0
    seconds: float = 0.0
    committed: int = 0
    delivered: int = 0
    acknowledged_batches: int = 0
    lost_sectors: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    faulty: list[str] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        """Whether anything was lost, doubled, corrupt or refused."""
        return bool(self.lost or self.twice or self.corrupt or self.faulty)


class Platform:
    """The collector at the other end, on a disk that keeps its power."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        self.key = SigningKey.create(folder / "ack.key")
        self.database = Database.open(folder / "collector.db")
        self.database.connection.execute("PRAGMA synchronous=OFF")
        registry.add(self.database, registry.parse(key.public(GATEWAY, "nord", "batch").to_json()), OFFSET_MS)
        self._receiver = Receiver(self.database, self.key, "lamppost", lambda: OFFSET_MS)
        self._rows = 0
        self.values: set[int] = set()

    def take(self, data: bytes) -> list[bytes]:
        """Store a batch; the acknowledgements, none when it was refused as a fork."""
        return [reply.payload for reply in self._receiver.take([Message(TOPIC, data)])]

    def doubles(self) -> Iterator[int]:
        """Take note of the samples stored since the last call; those that were there before."""
        while self._receiver.settle():
            pass
        query = "SELECT rowid, value FROM samples WHERE rowid > ? ORDER BY rowid"
        for row, value in self.database.connection.execute(query, (self._rows,)):
            self._rows = row
            if int(value) in self.values:
                yield int(value)
            self.values.add(int(value))

    def faults(self) -> Iterator[str]:
        """What it refused, and what it knows to be missing."""
        rows = self.database.connection.execute("SELECT reason, count FROM refusals").fetchall()
        yield from (f"{count} refused: {reason}" for reason, count in rows)
        for first, last in self.database.connection.execute("SELECT first, last FROM gaps WHERE state = 'missing'"):
            yield f"batches {first} to {last} are missing"


class Trial:
    """Life after life of one store."""

    def __init__(self, folder: Path, cabinet: Cabinet, seed: int, *, relaxed: bool) -> None:
        self._cabinet = cabinet
        self._path = cabinet.path / "buffer.db"
        self._key = SigningKey.create(folder / "gateway.key")
        self._public = self._key.public(GATEWAY, "nord", "batch")
        self._chance = random.Random(seed)
        self._relaxed = relaxed
        self._life = 0
        self._unseen: set[int] = set()
        self.platform = Platform(folder, self._key)
        self.result = Result()

    def cut(self) -> None:
        """One life, cut at a random moment, and its account."""
        pipe, child = self._start(writing=True)
        self._serve(pipe, time.monotonic() + START_S, until_committed=True)
        self._serve(pipe, time.monotonic() + self._chance.uniform(SHORTEST_S, LONGEST_S))
        keep = self._chance.choice((0.0, 0.1, 0.5, 0.9))
        self.result.lost_sectors += self._cabinet.cut(self._chance.getrandbits(32), keep)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self._serve(pipe, None)
        self._cabinet.restore()
        self.result.cuts += 1
        self._account()

    def drain(self) -> None:
        """A last life, which only delivers: then the collector has everything, once."""
        pipe, child = self._start(writing=False)
        self._serve(pipe, time.monotonic() + DRAIN_S)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self._account(delivered=True)

    def _start(self, *, writing: bool) -> tuple[Connection, int]:
        self._life += 1
        ours, theirs = Pipe()
        child = os.fork()  # all is imported: a life begins within milliseconds
        if child == 0:
            ours.close()
            authority = self.platform.key.public(role="acknowledge")
            try:
                live(theirs, self._path, self._key, authority, self._life, relaxed=self._relaxed, writing=writing)
            finally:
                os._exit(0)
        theirs.close()
        return ours, child

    def _serve(self, pipe: Connection, deadline: float | None, *, until_committed: bool = False) -> None:
        """Be the other end, until the deadline; None: hear what was said before the end, and answer nothing."""
        while deadline is None or (left := deadline - time.monotonic()) > 0:
            try:
                if not pipe.poll(None if deadline is None else left):
                    return
                word, told = pipe.recv()
            except (EOFError, OSError):
                return
            if word == "batch" and deadline is not None:
                for reply in self.platform.take(told):
                    pipe.send_bytes(reply)
            self._note(word, told)
            if until_committed and word == "committed":
                return

    def _note(self, word: str, told: object) -> None:
        if word == "committed" and isinstance(told, list):
            for first, last in told:
                self._unseen.update(range(first, last + 1))
                self.result.committed += last + 1 - first
        elif word == "freed" and isinstance(told, list):
            self.result.acknowledged_batches += len(told)
        elif word == "corrupt":
            self.result.corrupt.append(f"life {self._life}: {told}")
        elif word == "faulty":
            self.result.faulty.append(f"life {self._life}: {told}")

    def _account(self, *, delivered: bool = False) -> None:
        """Committed is delivered or stored, once; the store's chain verifies."""
        result, life = self.result, self._life
        result.twice += [f"life {life}: {value} is at the collector twice" for value in self.platform.doubles()]
        self._unseen -= self.platform.values
        result.delivered = len(self.platform.values)
        try:
            kept = list(self._kept())
            report = chain.verify_store(self._path, self._public)
        except StoreError as error:
            result.corrupt.append(f"life {life}: {error}")
            return
        result.corrupt += [f"life {life}: {finding}" for finding in report.findings]
        result.twice += [f"life {life}: {n} samples are stored twice" for n in [len(kept) - len(set(kept))] if n]
        missing = self._unseen if delivered else self._unseen.difference(kept)
        result.lost += [f"life {life}: {len(missing)} samples, {min(missing)} the first"] if missing else []
        self._unseen -= missing

    def _kept(self) -> Iterator[int]:
        """The values of all samples in the file."""
        with Reader(self._path) as reader:
            snapshot = reader.snapshot()
            for stored in reader.batches():
                made = batch.decode(stored.message, self._public)
                if made.header.samples:
                    yield from (int(str(value)) for _, _, value, _ in unpack(made.blocks))
        for part in snapshot.unsealed:
            yield from (int(str(value)) for _, _, value, _ in unpack(part.blocks))


def trial(cuts: int, seed: int, *, relaxed: bool = False) -> Result:
    """The account of so many cuts; the control, with `relaxed` commits, ends when it is caught."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lamppost-power-") as name, Cabinet(Path(name)) as cabinet:
        run = Trial(Path(name), cabinet, seed, relaxed=relaxed)
        with closing(run.platform.database):
            for _ in range(cuts):
                run.cut()
                if relaxed and run.result.broken:
                    break
            else:
                run.drain()
                run.result.faulty += run.platform.faults()
    run.result.seconds = round(time.monotonic() - began, 1)
    return run.result


def main() -> int:
    """Print the account as JSON; 0 when the promise holds and the control was caught, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--control", type=int, default=30, help="cuts within which synchronous=NORMAL must lose")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    control = trial(options.control, seed, relaxed=True)
    result = trial(options.cuts, seed)
    sys.stdout.write(json.dumps({"seed": seed, "control": asdict(control), "result": asdict(result)}, indent=1) + "\n")
    return 0 if control.lost and not result.broken else 1


if __name__ == "__main__":
    sys.exit(main())
