"""Points with windows and counters, from their configuration to the store."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from buffer.catalogue import SeriesDefinition
from config import ConfigErrors
from drivers.base import Read
from ext import COUNTER_JUMP, COUNTER_RESET, GOOD, NO_ANSWER, Layout, Value, unpack
from gateway.keeping import series
from gateway.keeping.recorder import Recorder
from gateway.setup import installation
from tests.gateway.support import Asked, Hand, Parts, bus, by_series, device, make, make_agent, until

MINUTE = "report = { on = 'window', window = '1m'"
TEXT = bus() + device(
    "d",
    f"power unit = 'W'\nscale = 0.1\npublic = true\n{MINUTE} }}",
    f"load {MINUTE}, keep = ['max'] }}\npriority = 'critical'",
    "level",
    "energy counter = { rollover = 'uint16', max_step = 5 }\nscale = 0.1",
)
MINUTE_MS = 60_000


def payload(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big", signed=True) for value in values)


class Desk:
    """A recorder with its clock; what is packed is known by name."""

    def __init__(self, folder: Path) -> None:
        found, (driver,) = make(folder, TEXT, Asked)
        points = {p.point.id: p.point for v in driver.setup.devices for p in v.points}
        self.names = dict(enumerate(series.definitions(found.drivers), 1))
        numbers = {name: number for number, name in self.names.items()}
        self.hand = Hand()
        self.blocks: dict[str, list[bytes]] = {}
        self.read: Read = driver.reads()[0]
        self.recorder = Recorder(self.hand.boot_ms, series.compile_series(points, numbers), points)

    def scan(self, boot_ms: int, *values: int) -> None:
        """An answer at a time."""
        self.hand.boot = boot_ms
        self.recorder.scan(self.read, payload(*values))

    def take(self) -> dict[str, list[tuple[str, int, Value, int]]]:
        """(point, time, value, quality) of what was packed since the last time, by priority."""
        found = {}
        for part in self.recorder.commit():
            blocks = self.blocks.setdefault(part.priority, [])
            before = len(unpack(blocks)) if blocks else 0
            blocks.append(part.data)
            found[part.priority] = [(self.names[n], t, v, q) for n, t, v, q in unpack(blocks)[before:]]
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A recorder of a device with two points of windows, a plain one and a counter."""
    return Desk(tmp_path)


def test_the_catalogue_has_what_is_kept(tmp_path: Path) -> None:
    found = series.definitions(make(tmp_path, TEXT, Asked)[0].drivers)
    assert list(found) == [
        "d/power.min", "d/power.mean", "d/power.max", "d/power.count", "d/load.max", "d/level", "d/energy",
    ]  # fmt: skip
    assert found["d/power.min"] == SeriesDefinition("d", "power.min", "W", "", public=True)
    assert found["d/power.mean"] == SeriesDefinition("d", "power.mean", "W", "float64", public=True)
    assert found["d/power.count"] == SeriesDefinition("d", "power.count", "1", "uint32", public=True)


def test_windows_are_packed_by_the_priority_of_their_point(desk: Desk) -> None:
    critical: list[int] = []
    desk.recorder.on_critical = lambda: critical.append(desk.hand.boot)
    for second, value in enumerate((5, 3, 8)):
        desk.scan(1000 * second, value, value, 1, 0)
    assert [name for name, *_ in desk.take()["normal"]] == 3 * ["d/level", "d/energy"]
    assert critical == []
    desk.scan(MINUTE_MS, 9, 9, 2, 0)
    assert critical == [MINUTE_MS]
    packed = desk.take()
    assert packed["critical"] == [("d/load.max", MINUTE_MS, 8, GOOD)]
    assert sorted(packed["normal"]) == [
        ("d/energy", MINUTE_MS, 0, GOOD), ("d/level", MINUTE_MS, 2, GOOD), ("d/power.count", MINUTE_MS, 3, GOOD),
        ("d/power.max", MINUTE_MS, Decimal("0.8"), GOOD), ("d/power.mean", MINUTE_MS, pytest.approx(1.6 / 3), GOOD),
        ("d/power.min", MINUTE_MS, Decimal("0.3"), GOOD),
    ]  # fmt: skip


def test_people_see_each_sample_of_a_window(desk: Desk) -> None:
    told: list[tuple[str, int, Value, int]] = []
    desk.recorder.listen(lambda *sample: told.append(sample))
    desk.scan(7, 5, 6, 1, 0)
    assert [(name, boot_ms) for name, boot_ms, *_ in told] == [
        ("d/power", 7), ("d/load", 7), ("d/level", 7), ("d/energy", 7),
    ]  # fmt: skip
    assert desk.recorder.last("d/load") == (7, 6, GOOD)


def test_a_silent_device_does_not_keep_its_last_window_waiting(desk: Desk) -> None:
    desk.scan(0, 5, 5, 1, 0)
    desk.take()
    desk.hand.boot = MINUTE_MS + 1
    assert desk.take() == {
        "critical": [("d/load.max", MINUTE_MS, 5, GOOD)],
        "normal": [
            ("d/power.min", MINUTE_MS, Decimal("0.5"), GOOD), ("d/power.mean", MINUTE_MS, 0.5, GOOD),
            ("d/power.max", MINUTE_MS, Decimal("0.5"), GOOD), ("d/power.count", MINUTE_MS, 1, GOOD),
        ],
    }  # fmt: skip
    desk.recorder.fail(desk.read, NO_ANSWER)
    desk.hand.boot = 2 * MINUTE_MS
    assert desk.take()["critical"] == [("d/load.max", 2 * MINUTE_MS, None, NO_ANSWER)]


def test_a_counter_is_checked_in_the_unit_of_the_point(desk: Desk) -> None:
    for second, value in enumerate((-30, 10, 61, -100)):  # as uint16: 65506, 10, 61, 65436
        desk.scan(second, 0, 0, 0, value)
    found = [quality for name, _, _, quality in desk.take()["normal"] if name == "d/energy"]
    assert found == [GOOD, GOOD, COUNTER_JUMP, COUNTER_RESET]


async def test_windows_reach_the_store_and_blocks_know_their_times(tmp_path: Path) -> None:
    made = await asyncio.to_thread(lambda: Parts(tmp_path, TEXT))
    await made.open()
    try:
        (read, *_) = made.reads()
        for second in range(150):
            made.hand.boot = 1000 * second
            made.recorder.scan(read, payload(second, second, 0, second))
            if second % 7 == 0:
                await made.commit()
        made.recorder.finish()
        await made.keeper.flush()
        assert made.keeper.counts.committed == made.recorder.samples
        batches = await asyncio.to_thread(made.batches)  # `by_series` compares the times of samples and headers
        found = by_series(batches)
    finally:
        await made.close()
    ends = (60_000, 120_000, 149_000)
    assert found[made.numbers["d/load.max"]] == [(t, v, 0) for t, v in zip(ends, (59, 119, 149), strict=True)]
    assert found[made.numbers["d/power.count"]] == [(t, n, 0) for t, n in zip(ends, (60, 60, 30), strict=True)]
    assert [v for _, v, _ in found[made.numbers["d/power.mean"]]] == [2.95, 8.95, 13.45]
    assert len(found[made.numbers["d/level"]]) == 150
    assert "d/power" not in made.numbers


async def test_a_stop_keeps_what_the_open_windows_have(tmp_path: Path, run_dir: Path) -> None:
    text = bus() + device("d", "a report = { on = 'window', window = '1d', keep = ['count'] }", every="50ms")
    agent, _ = await asyncio.to_thread(make_agent, tmp_path, run_dir, text, Asked)
    task = asyncio.ensure_future(agent.run())
    await until(lambda: task.done() or (hasattr(agent, "recorder") and agent.recorder.last("d/a")))
    agent.stopping.set()
    async with asyncio.timeout(20):
        await task
    assert agent.keeper.counts.committed == agent.recorder.samples == 1


class Coils(Asked):
    """Every point is one bit."""

    def reads(self) -> Sequence[Read]:
        return [
            Read(
                read.device,
                tuple((name, Layout(i, "bool")) for i, (name, _) in enumerate(read.points)),
                None,
                read.every,
            )
            for read in super().reads()
        ]


def test_what_does_not_fit_the_way_a_point_is_read(tmp_path: Path) -> None:
    text = bus() + device(
        "d", "a counter = {}", "b counter = { rollover = 'uint32' }", f"c {MINUTE} }}",
        "e counter = { rollover = 6553.7 }\nscale = 0.1", every="5m",
    )  # fmt: skip
    short = "a window is shorter than the 5m after which the point is read again"
    found = make(tmp_path, text, Asked)[1][0]
    assert [(where, message) for where, message, _ in series.trial(found)] == [
        ("devices.d.points.b.counter.rollover", "16 bits run over before that"),
        ("devices.d.points.c.report.window", short),
        ("devices.d.points.e.counter.rollover", "16 bits run over before that"),
    ]
    coils = make(tmp_path, text, Coils)[1][0]
    assert [(where, message) for where, message, _ in series.trial(coils)] == [
        ("devices.d.points.a.counter", "a bool does not count"),
        ("devices.d.points.b.counter", "a bool does not count"),
        ("devices.d.points.c.report.window", short),
        ("devices.d.points.e.counter", "a bool does not count"),
    ]


def test_check_names_the_key(tmp_path: Path) -> None:
    file = tmp_path / "lamppost.toml"
    file.write_text(
        '[gateway]\nid = "g"\nsite = "s"\n[buses.b]\ndriver = "modbus"\ntransport = "tcp"\nhost = "127.0.0.1"\n'
        '[devices.d]\nbus = "b"\naddress = 1\npoints.a = { table = "coil", register = 1, counter = {} }\n'
    )
    with pytest.raises(ConfigErrors, match=r"devices\.d\.points\.a\.counter: a bool does not count"):
        installation.read(file)
