"""Every answer of a simulator that is not ours, by its own log: stored once; a dead device disturbs no other."""

import asyncio
import shutil
import socket
import statistics
import struct
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.harness import Rig, Row

HOSTS, UNITS, POINTS = 2, 10, 10
DEVICES = HOSTS * UNITS
DEAD, REFUSING = 3, 12
PERIOD_MS, TIMEOUT_MS = 1000, 200
GOOD, NO_ANSWER, EXCEPTION = 0, 6, 10  # docs/format.md
RECORD = struct.Struct("<QIIHHI")  # modsim.c: t_ns, dev, seq, addr, cnt, kind
ANSWERED = 0
CLOCK_MS = 300
"""The agent has its time from the platform: 100 ms and half a loaded round trip may lie between their clocks."""

Key = tuple[int, int, int]
"""(device, number of the answer, point)"""


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of modsim's log that is an answer with values."""

    utc_ms: float
    device: int
    number: int
    points: range


def answers(log: Path) -> list[Answer]:
    """What modsim says that it answered."""
    data = log.read_bytes()
    assert len(data) % RECORD.size == 0
    return [
        Answer(t / 1e6, device, number, range(address // 2, (address + count) // 2))
        for t, device, number, address, count, kind in RECORD.iter_unpack(data)
        if kind == ANSWERED
    ]


def free_ports(count: int) -> int:
    """The first of so many neighbouring TCP ports of this host that were free just now."""
    for _ in range(100):
        with ExitStack() as stack, suppress(OSError, OverflowError):
            first: int = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for port in range(first + 1, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise AssertionError(f"no {count} free ports side by side")


class Modsim:
    """The simulator, compiled here, and its control port."""

    def __init__(self, source: Path, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if not source.is_file() or compiler is None:
            pytest.skip(f"needs {source} and a C compiler")
        self.program = folder / "modsim"
        subprocess.run([compiler, "-O2", "-w", "-o", str(self.program), str(source)], check=True)
        self.log = folder / "modsim.bin"
        self.port = free_ports(HOSTS + 1)

    @property
    def command(self) -> list[str]:
        """Ports, units, registers, control port, log: modsim.c, main."""
        control = self.port + HOSTS
        numbers = {"-p": self.port, "-k": HOSTS, "-u": UNITS, "-m": 2 * POINTS, "-c": control}
        return [str(self.program), *(str(word) for pair in numbers.items() for word in pair), "-l", str(self.log)]

    def tell(self, *lines: str) -> bool:
        """Give commands, each after the answer to the one before; False when nothing listens yet."""
        try:
            with socket.create_connection(("127.0.0.1", self.port + HOSTS), timeout=5) as link, link.makefile() as said:
                for line in lines:
                    link.sendall(f"{line}\n".encode())
                    assert said.readline() != "err dev\n"
        except ConnectionRefusedError:
            return False
        return True


def config(port: int) -> str:
    """All devices, each with ten float32 in one read a second."""
    bus = f'driver = "modbus", transport = "tcp", host = "127.0.0.1", timeout = "{TIMEOUT_MS}ms"'
    lines = ["[buses]", *(f"host{host} = {{ {bus}, port = {port + host} }}" for host in range(HOSTS))]
    for device in range(DEVICES):
        host, unit = divmod(device, UNITS)
        lines += [f"[devices.d{device}]", f'bus = "host{host}"', f"address = {unit + 1}", f'every = "{PERIOD_MS}ms"']
        lines += [f'points.p{p} = {{ table = "holding", register = {2 * p}, type = "float32" }}' for p in range(POINTS)]
    return "\n".join(lines) + "\n"


def place(point: str) -> tuple[int, int]:
    """(device, point) of d7/p3."""
    device, _, name = point.partition("/")
    return int(device[1:]), int(name[1:])


def key(row: Row) -> Key:
    """Which answer a value came with: modsim.c gives float32 number n * 64 + p."""
    assert row.value is not None
    device, point = place(row.point)
    number, rest = divmod(row.value, 64)
    assert (row.exact, rest) == (None, point), row
    return device, int(number), point


def gaps(rows: Sequence[Row], device: int) -> list[int]:
    """Between neighbouring good samples of a device, ms."""
    return [b.utc_ms - a.utc_ms for a, b in pairwise(r for r in rows if r.point == f"d{device}/p0" and not r.quality)]


def late(answer: Answer, rows: Sequence[Row]) -> bool:
    """Whether the agent had given up waiting for it, and says so."""
    until = answer.utc_ms + TIMEOUT_MS + CLOCK_MS
    return any(
        row.quality == NO_ANSWER and answer.utc_ms - CLOCK_MS <= row.utc_ms <= until
        for row in rows
        if row.point == f"d{answer.device}/p0"
    )


@pytest.mark.slow
async def test_every_answer_is_stored_once_while_one_is_dead_and_one_refuses(tmp_path: Path, shared: Path) -> None:
    modsim = await asyncio.to_thread(Modsim, shared / "rig" / "field" / "modsim.c", tmp_path)
    async with Rig(tmp_path) as rig:
        await rig.children.start("modsim", modsim.command)
        await rig.until(lambda: modsim.tell("stats"), "modsim listens")
        await rig.start_agent(config(modsim.port), heard=True)

        await asyncio.to_thread(modsim.tell, f"dead {DEAD} 1", f"exc {REFUSING} 4")
        await rig.until(lambda: rig.device(f"d{DEAD}")["state"] == "offline", "the dead one is known to be gone")
        before = len(await asyncio.to_thread(rig.rows))
        await rig.until_rows(lambda rows: len(rows) >= before + 4 * (DEVICES - 1) * POINTS, "four more rounds")
        refused = await asyncio.to_thread(rig.device, f"d{REFUSING}")
        await asyncio.to_thread(modsim.tell, f"dead {DEAD} 0", f"exc {REFUSING} 0")
        disturbed = await asyncio.to_thread(rig.rows)
        last = disturbed[-1].utc_ms
        await rig.until_rows(
            lambda rows: all(
                any(r.utc_ms > last and r.quality == GOOD for r in rows if r.point == f"d{device}/p0")
                for device in (DEAD, REFUSING)
            ),
            "both are back",
        )

        await asyncio.to_thread(modsim.tell, *(f"dead {device} 1" for device in range(DEVICES)))
        assert await rig.children.stop("modsim") == 0
        await rig.settle()
        assert await rig.stop_agent() == 0
        rows = await asyncio.to_thread(rig.rows)

    said = await asyncio.to_thread(answers, modsim.log)
    stored = Counter(key(row) for row in rows if row.quality == GOOD)
    given = {(answer.device, answer.number, point): answer for answer in said for point in answer.points}
    assert [row for row in rows if row.quality not in (GOOD, NO_ANSWER, EXCEPTION)] == []
    assert [key for key, count in stored.items() if key not in given or count > 1] == [], "invented, or stored twice"
    missing = {key: answer for key, answer in given.items() if key not in stored}
    assert {key for key, answer in missing.items() if not late(answer, rows)} == set(), "given and not stored"
    assert len(missing) < len(given) / 20
    assert len(stored) > 6 * (DEVICES - 1) * POINTS
    for row in rows:
        if row.quality == GOOD:
            assert row.utc_ms == pytest.approx(given[key(row)].utc_ms, abs=TIMEOUT_MS + CLOCK_MS)

    assert {place(row.point)[0] for row in disturbed if row.quality == EXCEPTION} == {REFUSING}
    assert refused["state"] == "online"
    dead = [row for row in disturbed if place(row.point)[0] == DEAD and row.quality]
    assert {(row.value, row.exact, row.text, row.quality) for row in dead} == {(None, None, None, NO_ANSWER)}
    for device in set(range(DEVICES)) - {DEAD, REFUSING}:
        found = gaps(disturbed, device)
        assert statistics.median(found) == pytest.approx(PERIOD_MS, rel=0.1), device
        assert max(found) < 3 * PERIOD_MS, device
