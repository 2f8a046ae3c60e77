"""What is due, and by when: earliest deadline first, no replay, nobody forgotten. Properties, in counted time."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Read
from gateway.polling.schedule import BEAT_MS, SPREAD, TOGETHER, Schedule, Slot, Standing, phase_of

TRUSTED, DOUBTED, ABSENT = Standing.TRUSTED, Standing.DOUBTED, Standing.ABSENT


def reads(*periods: int) -> list[Read]:
    return [Read(f"d{i}", (), every=period) for i, period in enumerate(periods)]


def take(schedule: Schedule, now: int) -> Read | None:
    """The next trusted read that is due, taken."""
    slot = schedule.first(TRUSTED, now)
    return None if slot is None else schedule.take(slot, now)


def play(schedule: Schedule, cost: dict[str, int], until: int) -> list[tuple[int, int, Slot]]:
    """(deadline, when it was begun, slot) of every read until then, each taking as long as its device's cost."""
    now, found = 0, []
    while now < until:
        slot = schedule.first(TRUSTED, now)
        if slot is None:
            due = schedule.next_due()
            assert due is not None
            assert due > now
            now = due
            continue
        found.append((slot.deadline, now, slot))
        schedule.take(slot, now)
        now += cost[slot.read.device]
    return found


def test_an_empty_schedule_has_nothing_due() -> None:
    schedule = Schedule([], 0)
    assert (schedule.first(TRUSTED, 0), schedule.next_due(), schedule.next_trusted()) == (None, None, None)


def test_all_are_asked_at_once_and_then_on_a_common_beat() -> None:
    schedule = Schedule(reads(1000, 1000, 2000), 5_480, phase=300)
    assert [take(schedule, 5_480) for _ in range(4)] == [*reads(1000, 1000, 2000), None]
    assert schedule.next_due() == 6_300
    assert [take(schedule, 6_300) for _ in range(3)] == [*reads(1000, 1000), None]
    assert [take(schedule, 7_300) for _ in range(4)] == [*reads(1000, 1000), reads(1, 1, 2000)[2], None]


@pytest.mark.parametrize("groups", range(1, 12))
def test_beats_of_many_buses_are_spread_evenly(groups: int) -> None:
    beats = sorted({phase_of(bus) for bus in range(groups * TOGETHER)})
    assert len(beats) == groups
    gaps = [after - before for before, after in pairwise([*beats, beats[0] + BEAT_MS])]
    assert max(gaps) <= 2 * BEAT_MS / groups


def test_slow_reads_of_one_period_are_spread_and_none_comes_early() -> None:
    plan = [Read(f"d{i}", (), every=60_000) for i in range(60)]
    schedule = Schedule(plan, 0)
    times = Counter(begun for deadline, begun, _ in play(schedule, dict.fromkeys((r.device for r in plan), 0), 120_000))
    assert times.pop(0) == 60
    assert max(times.values()) == 60 // (60_000 // SPREAD // BEAT_MS)
    assert min(times) == 60_000


def test_after_a_pause_each_read_is_due_once_and_what_was_missed_is_counted() -> None:
    schedule = Schedule(reads(100), 0)
    take(schedule, 0)
    assert take(schedule, 1050) is not None
    assert take(schedule, 1099) is None
    assert schedule.next_due() == 1100
    assert schedule.missed == 9


@st.composite
def plans(draw: st.DrawFn, load: float) -> list[tuple[int, int]]:
    """(period, cost) of reads that take at most that share of the bus together."""
    periods = draw(st.lists(st.integers(100, 5_000), min_size=1, max_size=8))
    parts = draw(st.lists(st.integers(1, 100), min_size=len(periods), max_size=len(periods)))
    return [(p, max(int(p * load * part / sum(parts)), 1)) for p, part in zip(periods, parts, strict=True)]


@given(plans(0.95), st.integers(0, 999))
def test_a_plan_that_can_be_met_is_met_but_for_one_read_that_stands_in_the_way(
    plan: list[tuple[int, int]], phase: int
) -> None:
    """Earliest deadline first on one resource, not interrupted: late by less than the longest read."""
    schedule = Schedule(reads(*(period for period, _ in plan)), 0, phase=phase)
    costs = {f"d{i}": cost for i, (_, cost) in enumerate(plan)}
    longest = max(costs.values())
    settled = 20 * max(period for period, _ in plan)  # all at once at the start is more than the plan
    for deadline, begun, slot in play(schedule, costs, 2 * settled):
        assert begun < settled or begun + costs[slot.read.device] <= deadline + longest


@given(plans(3.0))
def test_in_a_plan_that_cannot_be_met_nobody_is_forgotten_and_nothing_piles_up(plan: list[tuple[int, int]]) -> None:
    schedule = Schedule(reads(*(period for period, _ in plan)), 0)
    costs = {f"d{i}": cost for i, (_, cost) in enumerate(plan)}
    span = 20 * max(period for period, _ in plan)
    last: dict[str, int] = {}
    for deadline, begun, slot in play(schedule, costs, span):
        device, every = slot.read.device, slot.read.every
        assert begun <= deadline + max(costs.values()) + sum(costs.values()), "one that runs, then each of the others"
        assert begun > last.get(device, -1)
        assert deadline <= begun + 2 * every, "a deadline that lies ahead of its period"
        last[device] = begun
    assert set(last) == set(costs)


@given(st.lists(st.integers(100, 5_000), min_size=1, max_size=6), st.lists(st.integers(1, 20_000), max_size=20))
def test_nothing_is_ever_replayed(periods: list[int], pauses: list[int]) -> None:
    """However long nobody asked: one of each then, and every period was served, missed, or is yet to come."""
    schedule = Schedule(reads(*periods), 0)
    now, counts = 0, Counter[str]()
    for pause in pauses:
        now += pause
        burst = Counter[str]()
        while (read := take(schedule, now)) is not None:
            burst[read.device] += 1
        assert max(burst.values(), default=1) == 1
        counts += burst
    elapsed = sum(now // period for period in periods)
    assert abs(counts.total() + schedule.missed - elapsed) <= 2 * len(periods)


def test_those_that_wait_longest_go_first_among_equals() -> None:
    schedule = Schedule(reads(1000, 1000, 1000, 1000, 1000), 0)
    begun = Counter(slot.read.device for _, _, slot in play(schedule, {f"d{i}": 300 for i in range(5)}, 150_000))
    assert set(begun.values()) == {100}


# Standing -------------------------------------------------------------------------------------------------------------


class Judged:
    """A schedule of two devices whose standing the test says."""

    def __init__(self, *periods: int) -> None:
        self.standing: dict[str, Standing] = {}
        self.schedule = Schedule(reads(*periods), 0, standing=lambda device: self.standing.get(device, TRUSTED))


def test_a_doubted_device_waits_behind_the_others_whatever_its_deadline() -> None:
    judged = Judged(100, 1000)
    judged.standing["d0"] = DOUBTED
    trusted, doubted = judged.schedule.first(TRUSTED, 0), judged.schedule.first(DOUBTED, 0)
    assert trusted is not None
    assert doubted is not None
    assert (trusted.read.device, doubted.read.device) == ("d1", "d0")
    assert judged.schedule.next_trusted() is None
    judged.schedule.take(trusted, 0)
    assert judged.schedule.next_trusted() == 1000


def test_a_device_that_falls_into_doubt_while_its_read_waits_gives_way() -> None:
    judged = Judged(1000, 1000)
    assert judged.schedule.first(TRUSTED, 0) is not None
    judged.standing["d0"] = DOUBTED
    slot = judged.schedule.first(TRUSTED, 0)
    assert slot is not None
    assert slot.read.device == "d1"


def test_reads_of_an_absent_device_are_passed_over_and_counted() -> None:
    judged = Judged(1000, 1000)
    judged.standing["d0"] = ABSENT
    for now in range(0, 10_000, 1000):
        read = take(judged.schedule, now)
        assert read is not None
        assert read.device == "d1"
        assert take(judged.schedule, now) is None
    assert judged.schedule.passed == {"d0": 10}
    assert judged.schedule.missed == 0


def test_a_device_that_is_back_is_read_now_but_never_twice_in_half_a_period() -> None:
    judged = Judged(60_000, 60_000)
    assert take(judged.schedule, 0) is not None
    assert take(judged.schedule, 0) is not None
    judged.schedule.hasten(("d0", "d1"), 29_000)
    assert judged.schedule.first(TRUSTED, 29_000) is None
    judged.schedule.hasten(("d0",), 30_000)
    slot = judged.schedule.first(TRUSTED, 30_000)
    assert slot is not None
    assert slot.read.device == "d0"
    judged.schedule.take(slot, 30_000)
    assert judged.schedule.first(TRUSTED, 30_000) is None
    assert judged.schedule.next_due() == 60_000


def test_a_read_that_is_put_off_keeps_its_deadline_and_lets_others_go() -> None:
    judged = Judged(1000, 1000)
    slot = judged.schedule.first(TRUSTED, 0)
    assert slot is not None
    judged.schedule.put_off(slot, 700)
    other = take(judged.schedule, 0)
    assert other is not None
    assert other.device == "d1"
    assert judged.schedule.next_due() == 700
    assert judged.schedule.first(TRUSTED, 700) is slot
    assert slot.deadline == 1000


def test_only_what_is_first_can_be_taken() -> None:
    schedule = Schedule(reads(1000, 1000), 0)
    slot = schedule.first(TRUSTED, 0)
    assert slot is not None
    schedule.take(slot, 0)
    with pytest.raises(ValueError, match="only the first"):
        schedule.take(slot, 0)


def test_a_read_that_is_split_gives_way_to_its_parts() -> None:
    whole, other = reads(1000, 1000)
    schedule = Schedule([whole, other], 0)
    assert take(schedule, 0) is whole
    parts = reads(1000, 1000)
    schedule.replace(whole, parts, 10)
    assert [take(schedule, 10) for _ in range(3)] == [other, *parts]
    assert take(schedule, 999) is None
    assert {id(take(schedule, 1000)) for _ in range(3)} == {id(read) for read in (other, *parts)}
    schedule.replace(whole, parts, 1500)
    assert len(list(schedule.slots)) == 3
