"""Which read is due next: earliest deadline first, phases spread, no replay."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Read
from gateway.schedule import Schedule


def reads(*periods: int) -> list[Read]:
    return [Read(f"d{i}", (), every=period) for i, period in enumerate(periods)]


def test_phases_are_spread_over_the_period() -> None:
    schedule = Schedule(reads(1000, 1000, 1000, 1000), 0)
    times = []
    for _ in range(4):
        due = schedule.next_due()
        assert due is not None
        times.append(due)
        schedule.take(due)
    assert times == [0, 250, 500, 750]


def test_an_empty_schedule_has_nothing_due() -> None:
    assert Schedule([], 0).next_due() is None


def test_after_a_pause_each_read_is_due_once_and_what_was_missed_is_counted() -> None:
    schedule = Schedule(reads(100), 0)
    schedule.take(0)
    schedule.take(1050)
    assert schedule.next_due() == 1100
    assert schedule.missed == 9


@given(st.lists(st.integers(20, 5000), min_size=1, max_size=8))
def test_in_time_every_read_gets_its_share(periods: list[int]) -> None:
    schedule = Schedule(reads(*periods), 0)
    counts = dict.fromkeys((f"d{i}" for i in range(len(periods))), 0)
    span = 10 * max(periods)
    while (due := schedule.next_due()) is not None and due < span:
        counts[schedule.take(due).device] += 1
    for index, period in enumerate(periods):
        phase = period * index // len(periods)
        assert counts[f"d{index}"] == -(-(span - phase) // period)
    assert schedule.missed == 0


def test_a_read_that_is_split_gives_way_to_its_parts() -> None:
    whole, other = reads(1000, 1000)
    schedule = Schedule([whole, other], 0)
    assert schedule.take(0) is whole
    parts = reads(1000, 1000)
    schedule.replace(whole, parts, 10)
    assert [schedule.take(10) for _ in range(2)] == parts
    assert schedule.take(500) is other
    assert [schedule.take(1010) for _ in range(2)] == parts
