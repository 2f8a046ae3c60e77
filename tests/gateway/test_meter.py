"""A metered link: a budget accrues, is spent, and is remembered; quiet hours; the interval that adapts."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from buffer.usage import Usage
from config import Budget, Span
from gateway.uplink.meter import BURST, DAY_MS, LONGEST_MS, Meter

HOUR_MS = 3_600_000
NIGHT = Span(begin=22 * 60, end=6 * 60)
DAY = Budget(day=1_000_000)


def at(text: str) -> int:
    """ms since the epoch of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


MIDNIGHT = at("2026-11-23T00:00")


def meter(budget: Budget | None = DAY, *quiet: Span, zone: str = "UTC") -> Meter:
    return Meter(budget, quiet, zone)


def test_a_budget_accrues_over_its_day_and_the_next_day_begins_a_new_one() -> None:
    made = meter()
    made.add(1_000_000 // BURST, 0, MIDNIGHT)
    assert made.only_critical(0, MIDNIGHT)
    assert not made.only_critical(0, MIDNIGHT + 60_000)
    made.add(500_000, 0, MIDNIGHT + HOUR_MS)
    assert made.only_critical(0, MIDNIGHT + 11 * HOUR_MS)
    assert not made.only_critical(0, MIDNIGHT + 13 * HOUR_MS)
    made.add(450_000, 0, MIDNIGHT + 13 * HOUR_MS)
    assert made.only_critical(0, MIDNIGHT + DAY_MS - 1), "never more than the whole"
    assert not made.only_critical(0, MIDNIGHT + DAY_MS + 60_000)
    assert made.usage.day_bytes == 0
    assert made.usage.month_bytes == 1_000_000


def test_a_month_has_its_own() -> None:
    made = meter(Budget(day=1_000_000, month=3_000_000))
    made.add(400_000, 0, at("2026-11-01T12:00"))
    assert made.only_critical(0, at("2026-11-01T12:00")), "the month's is spent, the day's is not"
    assert not made.only_critical(0, at("2026-11-04T12:00"))
    made.add(1, 0, at("2026-12-01T00:00"))
    assert made.usage == Usage("2026-12-01", 1, "2026-12", 1)


@given(st.lists(st.tuples(st.integers(0, 2 * HOUR_MS), st.integers(0, 30_000)), max_size=200))
def test_whoever_keeps_to_it_never_goes_over(steps: list[tuple[int, int]]) -> None:
    """Steps of waiting and of sending at most 30 kB where that is allowed."""
    made, now, days = meter(), MIDNIGHT, dict[int, int]()
    for wait, size in steps:
        now += wait
        if not made.only_critical(0, now):
            made.add(size, 0, now)
            days[now // DAY_MS] = days.get(now // DAY_MS, 0) + size
    assert all(used < 1_000_000 + 30_000 for used in days.values())


def test_it_is_remembered_over_a_restart_and_told_rarely() -> None:
    made = meter()
    made.begin(Usage("2026-11-23", 600_000, "2026-11", 600_000))
    assert made.only_critical(0, MIDNIGHT + 12 * HOUR_MS)
    assert not made.unkept
    made.add(9_999, 0, MIDNIGHT)
    assert not made.unkept
    made.add(1, 0, MIDNIGHT)
    assert made.unkept
    made.kept(made.usage)
    assert not made.unkept
    assert not meter(None, NIGHT).unkept


def test_a_box_that_does_not_know_the_time_may_ask_for_it_and_spends_no_more_than_a_budget_a_day() -> None:
    made = meter()
    made.begin(Usage("2026-11-23", 1_000_000, "2026-11", 1_000_000))
    assert not made.only_critical(0, None)
    made.add(51_000, 0, None)
    assert made.only_critical(0, None)
    assert not made.only_critical(HOUR_MS, None)
    made.add(949_000, HOUR_MS, None)
    assert made.only_critical(DAY_MS - 1, None)
    assert not made.only_critical(DAY_MS + HOUR_MS, None), "what accrues in a second day is there"
    assert made.usage.day == "2026-11-23", "no day ends meanwhile"


def test_quiet_hours_are_those_of_the_place() -> None:
    made = meter(None, NIGHT, zone="America/Toronto")
    assert not made.only_critical(0, None)
    assert made.only_critical(0, at("2026-11-23T04:00")), "23:00 in Toronto"
    assert made.only_critical(0, at("2026-11-23T10:59")), "05:59"
    assert not made.only_critical(0, at("2026-11-23T11:00")), "06:00"
    assert not made.only_critical(0, at("2026-11-23T22:00")), "17:00"
    assert made.only_critical(0, at("2026-07-23T02:00")), "22:00 in summer"
    assert not meter(None, Span(begin=60, end=120)).quiet(MIDNIGHT)
    assert meter(None, Span(begin=60, end=120)).quiet(MIDNIGHT + HOUR_MS)


def run(made: Meter, rate: float, hours: int, seal_bytes: int = 300) -> tuple[int, int]:
    """Batches of so many bytes each and so many a ms of content, as long as they may go; the last interval, bytes."""
    now, end = MIDNIGHT, MIDNIGHT + hours * HOUR_MS
    while now < end:
        interval = made.interval(10_000, now - MIDNIGHT, now)
        now += interval
        if not made.only_critical(now - MIDNIGHT, now):
            made.add(round(seal_bytes + rate * interval), now - MIDNIGHT, now)
    return interval, made.usage.day_bytes


def test_the_interval_grows_until_the_pace_can_be_borne_and_shrinks_when_it_is_easy() -> None:
    assert meter(None).interval(10_000, 0, MIDNIGHT) == 10_000
    easy, _ = run(meter(Budget(day=100_000_000)), 0.001, 2)
    assert easy == 10_000
    made = meter(Budget(day=500_000))
    interval, used = run(made, 0.001, 22)  # 86 kB of content, and 300 B a batch: 2.6 MB by batches of 10 s
    assert 40_000 <= interval <= LONGEST_MS
    assert used <= 500_000
    plenty = meter(Budget(day=500_000))
    plenty._factor = 64
    shorter, _ = run(plenty, 0.0001, 22, 10)
    assert shorter < 640_000
    assert run(meter(Budget(day=100_000)), 1.0, 23)[0] == LONGEST_MS


def test_without_an_interval_there_is_one_where_it_must_grow() -> None:
    made = meter(Budget(day=100_000))
    assert made.interval(0, 0, MIDNIGHT) == 0
    made.add(50_000, 0, MIDNIGHT)
    assert made.interval(0, 120_000, MIDNIGHT + 120_000) == 2_000
