"""What drivers say, judged and packed: by priority, with nothing invented, and nothing dropped without a count."""

import random
from decimal import Decimal
from pathlib import Path

import pytest

from drivers.base import Read
from drivers.errors import BadAnswer, DeviceError
from ext import BAD_ANSWER, GOOD, NO_ANSWER, Layout, Series, Value, unpack
from ext.limits import MAX_FIELDS
from gateway.keeping import recorder as module
from gateway.keeping import series
from gateway.keeping.recorder import Packed, Recorder
from tests.gateway.support import Asked, Hand, bus, device, make

TEXT = bus() + device("d", "alarm priority = 'critical'", "level scale = 0.1", "trend priority = 'bulk'", "word")
NUMBERS = {"d/alarm": 1, "d/level": 2, "d/trend": 3, "d/word": 4}


class Desk:
    """A recorder with its clock, and what it called."""

    def __init__(self, folder: Path) -> None:
        _, (driver,) = make(folder, TEXT, Asked)
        points = {p.point.id: p.point for v in driver.setup.devices for p in v.points}
        self.hand = Hand()
        self.read: Read = driver.reads()[0]
        self.recorder = Recorder(self.hand.boot_ms, series.compile_series(points, NUMBERS), points)
        self.critical = self.large = 0
        self.heard: list[str] = []
        self.failed: list[tuple[str, DeviceError]] = []
        self.recorder.on_critical, self.recorder.on_large = self._critical, self._large
        self.recorder.on_heard = self.heard.append
        self.recorder.on_failed = lambda name, error: self.failed.append((name, error))

    def _critical(self) -> None:
        self.critical += 1

    def _large(self, _priority: str) -> None:
        self.large += 1

    def take(self) -> dict[str, Packed]:
        """What is packed since the last time, by priority."""
        return {part.priority: part for part in self.recorder.commit()}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A recorder of four points of three priorities on one device."""
    return Desk(tmp_path)


def payload(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big", signed=True) for value in values)


def test_a_scan_goes_to_the_batches_of_its_points_priorities(desk: Desk) -> None:
    desk.recorder.scan(desk.read, payload(1, 215, -3, 7))
    packed = desk.take()
    assert unpack([packed["critical"].data]) == [(1, 1_000, 1, GOOD)]
    assert unpack([packed["normal"].data]) == [(2, 1_000, Decimal("21.5"), GOOD), (4, 1_000, 7, GOOD)]
    assert unpack([packed["bulk"].data]) == [(3, 1_000, -3, GOOD)]
    assert desk.recorder.samples == 4
    assert desk.critical == 1
    assert desk.heard == ["d"]


def test_a_payload_that_is_too_short_is_a_bad_answer_of_every_point(desk: Desk) -> None:
    desk.recorder.scan(desk.read, payload(1, 215, -3))
    found = [sample for part in desk.take().values() for sample in unpack([part.data])]
    assert sorted(found) == [(number, 1_000, None, BAD_ANSWER) for number in (1, 2, 3, 4)]
    assert desk.heard == []


def test_a_read_that_failed_gives_samples_without_a_value_and_tells_once_why(desk: Desk) -> None:
    desk.recorder.fail(desk.read, NO_ANSWER)
    found = [sample for part in desk.take().values() for sample in unpack([part.data])]
    assert sorted(found) == [(number, 1_000, None, NO_ANSWER) for number in (1, 2, 3, 4)]


def test_first_and_last_time_are_of_this_block_alone(desk: Desk) -> None:
    for boot in (1_000, 1_500, 1_200):
        desk.hand.boot = boot
        desk.recorder.value("d/word", boot)
    part = desk.take()["normal"]
    assert (part.first_ms, part.last_ms, part.samples, part.begins) == (1_000, 1_500, 3, True)
    desk.hand.boot = 9_000
    desk.recorder.value("d/word", 5)
    part = desk.take()["normal"]
    assert (part.first_ms, part.last_ms, part.samples, part.begins) == (9_000, 9_000, 1, False)


def test_values_said_together_have_one_time_and_one_sign_of_life(desk: Desk) -> None:
    desk.recorder.values("d", [("d/word", "open", GOOD), ("d/level", None, NO_ANSWER)])
    found = unpack([desk.take()["normal"].data])
    assert found == [(4, 1_000, "open", GOOD), (2, 1_000, None, NO_ANSWER)]
    assert desk.heard == ["d"]
    assert desk.critical == 0


def test_a_sealed_batch_is_forgotten_by_the_next(desk: Desk) -> None:
    for value in (5, 5):
        desk.recorder.value("d/word", value)
        part = desk.take()["normal"]
        assert part.begins
        assert unpack([part.data]) == [(4, 1_000, value, GOOD)]
        desk.recorder.seal("normal")


def test_a_failure_without_a_payload_is_only_told(desk: Desk) -> None:
    desk.recorder.failed("d", BadAnswer("a checksum"))
    assert [(name, str(error)) for name, error in desk.failed] == [("d", "a checksum")]
    assert desk.take() == {}


def test_strangers_are_counted_in_a_bounded_table(desk: Desk) -> None:
    for number in range(1_000):
        desk.recorder.stranger(f"beacon {number}")
        desk.recorder.stranger("beacon 0")
    assert len(desk.recorder.strangers) == 64
    assert desk.recorder.strangers["beacon 0"] == 1_001


def test_a_listener_hears_each_sample_until_it_stops(desk: Desk) -> None:
    told: list[tuple[str, int, Value, int]] = []
    stop = desk.recorder.listen(lambda *sample: told.append(sample))
    desk.recorder.scan(desk.read, payload(1, 215, -3, 7))
    assert told == [
        ("d/alarm", 1_000, 1, GOOD), ("d/level", 1_000, Decimal("21.5"), GOOD), ("d/trend", 1_000, -3, GOOD),
        ("d/word", 1_000, 7, GOOD),
    ]  # fmt: skip
    stop()
    desk.recorder.value("d/word", 8)
    assert len(told) == 4


def test_a_batch_of_bytes_is_large_before_it_is_too_large(desk: Desk) -> None:
    while not desk.recorder.large("normal"):
        assert desk.large == 0
        desk.recorder.value("d/word", bytes(1_000))
    assert desk.large == 1
    desk.take()
    desk.recorder.seal("normal")
    assert not desk.recorder.large("normal")


def test_a_batch_of_samples_that_take_no_room_is_large_before_it_is_full(desk: Desk) -> None:
    read = Read("d", (("d/word", Layout(0, "int16")),), every=1)
    count = 0
    while not desk.recorder.large("normal"):
        desk.hand.boot += 1
        desk.recorder.scan(read, payload(7))
        count += 1
    assert count <= module.LARGE_SAMPLES
    assert desk.large == 1


def test_a_batch_that_is_dear_to_read_is_large(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE_WORK", 4)
    read = Read("d", (("d/word", Layout(0, "int16")),), every=1)
    assert not desk.recorder.large("normal")
    for _ in range(4):
        desk.hand.boot += 1
        desk.recorder.scan(read, payload(7))
    assert desk.recorder.large("normal")


def test_a_batch_with_as_many_points_as_it_may_have_ends_and_the_next_begins(tmp_path: Path) -> None:
    """So many points are not large by their bytes; a batch may describe MAX_FIELDS of them."""
    desk = Desk(tmp_path)
    sealed: list[dict[str, Packed]] = []

    def seal(priority: str) -> None:
        sealed.append(desk.take())
        desk.recorder.seal(priority)

    desk.recorder.on_large = seal
    names = [f"d/word-{number}" for number in range(MAX_FIELDS + 10)]
    desk.recorder._series = {name: Series(number + 1) for number, name in enumerate(names)}
    desk.recorder._priority = dict.fromkeys(names, "bulk")
    for name in names:
        desk.recorder.value(name, 7)
    (full,) = sealed
    assert unpack([full["bulk"].data]) == [(number + 1, 1_000, 7, GOOD) for number in range(MAX_FIELDS)]
    rest = desk.take()["bulk"]
    assert rest.begins
    assert [number for number, *_ in unpack([rest.data])] == list(range(MAX_FIELDS + 1, MAX_FIELDS + 11))
    assert desk.recorder.samples == MAX_FIELDS + 10


def test_what_is_packed_and_not_taken_is_known_in_samples_and_bytes(desk: Desk) -> None:
    desk.recorder.scan(desk.read, payload(1, 215, -3, 7))
    assert desk.recorder.pending == 4
    assert 64 >= desk.recorder.pending_bytes >= sum(len(part.data) for part in desk.take().values())
    assert (desk.recorder.pending, desk.recorder.pending_bytes) == (0, 0)
    desk.recorder.value("d/word", random.Random(1).randbytes(1_000))
    assert 1_000 <= desk.recorder.pending_bytes <= 1_300
    desk.take()
    desk.recorder.seal("normal")
    assert (desk.recorder.pending, desk.recorder.pending_bytes) == (0, 0)
