"""Batches verified and samples stored by one collector: python bench/collector.py [--gateways 200] [--batches 20] ...

The load is signed beforehand (`gateway.simulate`: real keys, real chains), so that its CPU does not count. The
collector is the one of `lamppost-collector run` without its broker: groups as its inbox makes them, each answered by
signed acknowledgements after the commit. PostgreSQL is a server of its own (Debian's package) with fsync,
synchronous_commit and full_page_writes on. The index is `samples_by_time`, a B-tree on (series, ts_ms), of each day's
partition. `--cores` holds the collector and the server to the first so many.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer.keys import SigningKey
from collector.identity import registry
from collector.identity.registry import Keys
from collector.receiving.incoming import Accepted, Message, examine
from collector.receiving.receive import GROUP_BYTES, GROUP_MESSAGES, Receiver
from collector.tables.database import Database, Target
from gateway.simulate.lives import Plan, Signed, lives, rounds
from tests.postgres import Server, why_not

SETTINGS = {
    "shared_buffers": "512MB", "max_wal_size": "4GB", "wal_compression": "on", "checkpoint_timeout": "15min",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table; CPU of the collector's process, and of all of the server's."""

    what: str
    batches: int
    samples: int
    seconds: float
    collector_cpu_s: float
    server_cpu_s: float

    @property
    def line(self) -> str:
        """For people."""
        return (
            f"{self.what:<34} {self.batches / self.seconds:>9,.0f} {self.samples / self.seconds:>11,.0f}"
            f" {self.seconds:>8.2f} {self.collector_cpu_s:>10.2f} {self.server_cpu_s:>8.2f}"
        )


def groups(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """As the inbox hands them on when it never runs empty."""
    group: list[Message] = []
    size = 0
    for message in messages:
        if group and (len(group) >= GROUP_MESSAGES or size >= GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(message)
        size += len(message.payload)
    yield group


def cpu() -> float:
    """Seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def server_cpu(server: Server | None) -> float:
    """Seconds of the server and of its children, ended ones included."""
    if server is None:
        return 0.0
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(folder.name) == server.pid or int(fields[1]) == server.pid:
            ticks += int(fields[11]) + int(fields[12])
            if int(folder.name) == server.pid:
                ticks += int(fields[13]) + int(fields[14])
    return ticks / os.sysconf("SC_CLK_TCK")


def verified(database: Database, load: Sequence[Signed]) -> Result:
    """Signature, header and every block, and nothing stored."""
    keys = Keys(database)
    start, before = time.perf_counter(), cpu()
    for one in load:
        assert isinstance(examine(Message(one.topic, one.payload), "lamppost", keys), Accepted)
    seconds = time.perf_counter() - start
    return Result("verified and decoded", len(load), sum(one.samples for one in load), seconds, cpu() - before, 0.0)


def stored(what: str, database: Database, load: Sequence[Signed], server: Server | None) -> Result:
    """Taken in groups, and acknowledged."""
    key = SigningKey(Ed25519PrivateKey.generate())
    receiver = Receiver(database, key, "lamppost", lambda: time.time_ns() // 1_000_000)
    messages = [Message(one.topic, one.payload) for one in load]
    first = sum(one.samples == 0 for one in load)
    for group in groups(messages[:first]):  # the catalogues: once in the life of a gateway's configuration
        assert receiver.take(group)
    start, before, of_server = time.perf_counter(), cpu(), server_cpu(server)
    for group in groups(messages[first:]):
        assert receiver.take(group)
    seconds, used, served = time.perf_counter() - start, cpu() - before, server_cpu(server) - of_server
    samples = sum(one.samples for one in load)
    found = database.connection.execute("SELECT count(*) FROM samples").fetchone()
    assert found == (samples,), f"{found} of {samples} samples"
    return Result(what, len(load) - first, samples, seconds, used, served)


def measured(
    what: str, target: Target, load: Sequence[Signed], keys: Sequence[str], server: Server | None
) -> list[Result]:
    """Both, on a new database."""
    database = Database.open(target)
    try:
        for line in keys:
            registry.add(database, registry.parse(line), 0)
        return [verified(database, load), stored(what, database, load, server)]
    finally:
        database.close()


def main() -> None:
    """Make the load, and print a line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateways", type=int, default=200)
    parser.add_argument("--batches", type=int, default=20, help="of each gateway")
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--batch-ms", type=int, default=10_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--sqlite", action="store_true", help="measure SQLite too")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the database's disk is")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if (reason := why_not()) is not None:
        sys.exit(reason)
    os.sched_setaffinity(0, range(min(options.cores, os.cpu_count() or 1)))
    plan = Plan(options.points, batch_ms=options.batch_ms)
    made = lives(options.gateways, plan, time.time_ns() // 1_000_000 - options.batches * plan.batch_ms)
    load = list(rounds(made, options.batches))
    keys = [life.public.to_json() for life in made]
    results: list[Result] = []
    server = Server(*(word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")),
                    fsync=True, folder=options.folder)  # fmt: skip
    try:
        server.start()
        results += measured("PostgreSQL, samples_by_time", server.database(), load, keys, server)
        if options.sqlite:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                results += measured("SQLite", Path(folder) / "collector.db", load, keys, None)[1:]
    finally:
        server.close()
    if options.json:
        print(json.dumps([asdict(result) for result in results]))
        return
    size = sum(len(one.payload) for one in load)
    print(
        f"{len(load):,} batches of {plan.samples} samples, {size / sum(one.samples for one in load):.2f} bytes a sample"
    )
    print(f"{'':<34} {'batches/s':>9} {'samples/s':>11} {'seconds':>8} {'collector':>10} {'server':>8}   (CPU s)")
    for result in results:
        print(result.line)


if __name__ == "__main__":
    main()
