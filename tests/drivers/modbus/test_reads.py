"""Reads on devices that refuse: what is found out, in how many requests, and what the next life knows of it."""

import json
from math import log2
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Device, Point
from drivers.base import DeviceSetup, PointSetup, Read
from drivers.errors import BadAnswer, DeviceError, ExceptionAnswer, NoAnswer
from drivers.modbus import ModbusDriver
from drivers.modbus.options import DeviceOptions
from drivers.modbus.pdu import Request
from drivers.modbus.point import PointOptions
from drivers.modbus.reads import DAY_S, STRIKES, Reads
from ext import EXCEPTION
from tests.drivers.modbus.support import Values, device, make


def extent_of(read: Read) -> tuple[int, int]:
    """The addresses that a read asks for."""
    assert isinstance(read.request, Request)
    return read.request.address, read.request.count


Spans = dict[str, tuple[int, int]]


class Notes:
    """A `Memory` that goes through JSON as the file does."""

    def __init__(self) -> None:
        self.text: dict[str, str] = {}

    def recall(self, device: str) -> object:
        return json.loads(self.text.get(device, "null"))

    def keep(self, device: str, learned: object) -> None:
        self.text[device] = json.dumps(learned)


class Rig:
    """Reads against a device that has only some registers, and takes at most `cap` of them at once."""

    def __init__(
        self, spans: Spans, illegal: set[int], cap: int = 125, code: int = 2, memory: Notes | None = None
    ) -> None:
        self.illegal, self.cap, self.code = illegal, cap, code
        self.seconds, self.requests = 0.0, 0
        self.asked: set[tuple[int, int]] = set()
        self.error: DeviceError | None = None
        self.memory = memory or Notes()
        self.reads = Reads([setup(spans)], lambda: self.seconds)
        self.reads.remember(self.memory)

    def poll(self, read: Read) -> set[str]:
        """As the driver and the poller do with one read; the points that came."""
        if self.reads.spared(read):
            return set()
        self.requests += 1
        first, count = extent_of(read)
        self.asked.add((first, count))
        if self.error is not None:
            self.reads.failed(read, self.error)
        elif count > self.cap or self.illegal.intersection(range(first, first + count)):
            error = ExceptionAnswer(self.code, "")
            self.reads.failed(read, error)
            return {name for part in self.reads.narrower(read, error) for name in self.poll(part)}
        else:
            self.reads.answered(read)
            if (again := self.reads.unproved(read)) is not None:
                self.requests += 1
                first, count = extent_of(again)
                refused = count > self.cap or self.illegal.intersection(range(first, first + count))
                self.reads.prove(again, refused=bool(refused))
            return set(read.names)
        return set()

    def round(self) -> set[str]:
        """Every read once; the points that came."""
        before, self.requests = self.reads.all, 0
        return {name for read in before for name in self.poll(read)}


def setup(spans: Spans) -> DeviceSetup:
    points = tuple(
        PointSetup(
            Point(id=f"d/{name}", name=name),
            PointOptions.model_validate({"table": "holding", "register": first, "type": "string", "length": count}),
        )
        for name, (first, count) in spans.items()
    )
    return DeviceSetup(Device(id="d", bus="b"), DeviceOptions.model_validate({"address": 1}), points)


maps = st.lists(st.tuples(st.integers(0, 120), st.sampled_from([1, 1, 2, 4])), min_size=1, max_size=40).map(
    lambda raw: {f"p{at}": place for at, place in enumerate(raw)}
)


def legal(spans: Spans, illegal: set[int]) -> set[str]:
    return {f"d/{name}" for name, (first, n) in spans.items() if not illegal.intersection(range(first, first + n))}


@given(maps, st.sets(st.integers(0, 124), max_size=5))
def test_exactly_the_legal_points_are_found_in_few_requests(spans: Spans, illegal: set[int]) -> None:
    rig, wanted = Rig(spans, illegal), legal(spans, illegal)
    planned, places = len(rig.reads.all), len(set(spans.values()))
    touched = len(illegal) + sum(bool(illegal.intersection(range(f, f + n))) for f, n in set(spans.values()))
    depth = log2(places) / log2(1.5) + 1  # each part has at most two thirds of the places
    rounds = 0
    while rig.round() != wanted:
        rounds += 1
        assert rounds <= STRIKES * depth
    assert len(rig.asked) <= planned + 2 * touched * depth
    for _ in range(10 * STRIKES):
        assert rig.round() == wanted
    if wanted:  # what is refused costs nothing any more
        rig.round()
        assert rig.requests == sum(not wanted.isdisjoint(read.names) for read in rig.reads.all)


@given(maps, st.sets(st.integers(0, 124), max_size=5))
def test_later_lives_ask_for_nothing_that_is_refused(spans: Spans, illegal: set[int]) -> None:
    """A gap between points that were never asked for together shows in the next life: each life learns of one more."""
    memory = Notes()
    for _ in range(len(illegal) + 1):
        rig = Rig(spans, illegal, memory=memory)
        for _ in range(10 * STRIKES):
            rig.round()
        assert rig.round() == legal(spans, illegal)
    last = Rig(spans, illegal, memory=memory)
    assert last.round() == legal(spans, illegal)
    assert sorted(name for read in last.reads.all for name in read.names) == sorted(f"d/{name}" for name in spans)
    if legal(spans, illegal):
        assert last.requests == sum(not last.reads.spared(read) for read in last.reads.all)


@pytest.mark.parametrize("code", [2, 3])
def test_a_lower_cap_is_learned(code: int) -> None:
    spans = {f"p{at}": (at, 1) for at in range(120)}
    rig = Rig(spans, set(), cap=50, code=code)
    assert len(rig.round()) == 120
    again = Rig(spans, set(), cap=50, code=code, memory=rig.memory)
    assert len(again.round()) == 120
    assert again.requests == len(again.reads.all) <= 4
    assert json.loads(rig.memory.text["d"]) == {"holding": {"cap": 30}}


def test_a_refusal_that_passes_is_not_remembered() -> None:
    rig = Rig({f"p{at}": (at, 1) for at in range(0, 120, 2)}, set(range(125)))
    rig.round()
    rig.illegal = set()
    for _ in range(5):
        assert len(rig.round()) == 60
    assert rig.memory.text == {}
    assert len(rig.reads.all) == 8  # not one for each point


def test_a_gap_that_is_not_there_is_remembered() -> None:
    spans = {"a": (0, 2), "b": (10, 2), "c": (12, 2)}
    rig = Rig(spans, {5})
    assert len(rig.round()) == 3
    assert json.loads(rig.memory.text["d"]) == {"holding": {"refused": [[2, 8, 0]]}}
    assert [extent_of(read) for read in Rig(spans, {5}, memory=rig.memory).reads.all] == [(0, 2), (10, 4)]


def test_a_refused_point_is_asked_again_after_a_day_and_comes_back() -> None:
    rig = Rig({"a": (0, 1), "b": (1, 1)}, {1})
    for _ in range(STRIKES + 1):
        rig.round()
    assert json.loads(rig.memory.text["d"]) == {"holding": {"refused": [[1, 1, 2]]}}
    rig.round()
    assert rig.requests == 1
    rig.seconds = DAY_S - 1
    rig.round()
    assert rig.requests == 1
    rig.seconds += 2
    rig.round()
    assert rig.requests == 2
    rig.illegal = set()
    rig.round()
    assert rig.requests == 1
    rig.seconds += DAY_S + 1
    assert rig.round() == {"d/a", "d/b"}
    assert json.loads(rig.memory.text["d"]) is None
    assert rig.round() == {"d/a", "d/b"}


def test_forgetting_asks_again_at_once() -> None:
    rig = Rig({"a": (0, 1), "b": (1, 1)}, {1})
    for _ in range(STRIKES + 1):
        rig.round()
    rig.reads.forget("d")
    rig.round()
    assert rig.requests == 2


def test_a_device_that_refuses_everything_is_ill_and_nothing_is_remembered() -> None:
    rig = Rig({"a": (0, 1), "b": (1, 1), "c": (40, 1)}, set(range(125)))
    for _ in range(10):
        rig.round()
    assert rig.requests == 3
    assert rig.memory.text == {}


@pytest.mark.parametrize("error", [NoAnswer(""), BadAnswer("")])
def test_a_device_that_does_not_answer_is_asked_also_for_what_it_refuses(error: DeviceError) -> None:
    rig = Rig({"a": (0, 1), "b": (1, 1)}, {1})
    for _ in range(STRIKES + 1):
        rig.round()
    rig.error = error
    rig.round()
    assert rig.requests == 2
    rig.error = None
    rig.round()
    rig.round()
    assert rig.requests == 1


def test_a_failure_divides_only_when_it_stays_and_is_tried_each_hour() -> None:
    rig = Rig({"a": (0, 1), "b": (1, 1)}, {1}, code=4)
    assert rig.round() == set()
    assert rig.round() == set()
    assert rig.round() == {"d/a"}
    for _ in range(STRIKES):
        assert rig.round() == {"d/a"}
    assert rig.requests == 1
    rig.seconds += DAY_S / 24 + 1
    rig.round()
    assert rig.requests == 2


@pytest.mark.parametrize(
    "learned",
    [
        7, [], {"holdings": {}}, {"holding": 3}, {"holding": {"cap": -1}}, {"holding": {"cap": True}},
        {"holding": {"refused": {}}}, {"holding": {"refused": [[1, 2]]}}, {"holding": {"refused": [[1, 0, 2]]}},
        {"holding": {"refused": [[70000, 1, 2]]}}, {"holding": {"refused": [["1", 1, 2]]}},
        {"holding": {"refused": [[1, 1, 2]] * 257}}, {"holding": {"refused": [[1, 1, 1e300]]}},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_learned_anew(learned: object) -> None:
    notes = Notes()
    notes.keep("d", learned)
    assert Rig({"a": (0, 1)}, set(), memory=notes).round() == {"d/a"}


async def _never(read: Read) -> bytes:
    raise AssertionError(f"{read} was asked")


def test_a_refused_point_is_reported_bad_at_its_rate(tmp_path: Path) -> None:
    driver = make(tmp_path, device("d", 1, "a holding 0", "b holding 1"))
    notes = Notes()
    notes.keep("d", {"holding": {"refused": [[1, 1, 2]]}})
    driver.remember(notes)
    assert isinstance(driver, ModbusDriver)
    good, bad = driver.reads()
    driver.read = _never  # type: ignore[method-assign]
    sink = Values(driver)
    coroutine = driver.ask(bad, sink)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert sink.beside == {"d/b": (None, EXCEPTION)}
    assert good.names == ("d/a",)
