"""The time of a GNSS receiver: it dates samples after a run that agrees; a receiver that lies dates none."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from buffer.header import Clock, ClockState
from gateway.clock import CONTRADICTION_MS, DRIFT_PPM, FLOOR_TOLERANCE_MS, HOLDOVER_AFTER_MS, STEP_MS
from gateway.clock import AgentClock as Clocks
from gateway.gnss import ACCURACY_MAX_MS, EARLIEST_MS, RUN, RUN_MS, SPAN_MS
from tests.gateway.support import BOOT, TRUTH, Hand

LATE_MS = 1_100
"""How late the receiver may be, by its own word."""


@dataclass
class Box:
    """A box whose wall clock is at the epoch, and a receiver that tells the time each second."""

    hand: Hand
    clock: Clocks

    def hear(self, seconds: int = 6, *, wrong_ms: int = 0, late_ms: int = 0, accuracy_ms: int = LATE_MS) -> None:
        """So many seconds, each with what a receiver says that is off by `wrong_ms`."""
        for _ in range(seconds):
            self.hand.boot += 1_000
            self.clock.receiver_time(TRUTH + self.hand.boot + wrong_ms - late_ms, accuracy_ms)


@pytest.fixture
def box() -> Box:
    hand = Hand(wall=0, sync=False)
    return Box(hand, Clocks(BOOT, hand))


def test_a_run_of_tellings_dates_a_box_whose_clock_is_unset(box: Box) -> None:
    box.hear(5)
    assert box.clock.estimate().state is ClockState.UNSET
    box.hear(1)
    assert box.clock.estimate() == Clock(BOOT, TRUTH, ClockState.SYNCHRONIZED)
    assert (box.clock.utc_ms(), box.clock.origin) == (TRUTH + box.hand.boot, "gnss")


def test_a_receiver_has_no_part_in_what_is_trusted(box: Box) -> None:
    box.hear(60)
    assert box.clock.trusted() == Clock(BOOT, 0, ClockState.UNSET)
    assert (box.clock.trusted_ms(), box.clock.floor_ms) == (box.hand.boot, 0)


def test_an_earlier_lifes_clock_is_not_trusted_since_it_may_be_a_receivers(box: Box) -> None:
    box.hear(6)
    again = Clocks(BOOT, box.hand, held=box.clock.estimate())
    assert (again.estimate(), again.origin) == (Clock(BOOT, TRUTH, ClockState.HOLDOVER), "held")
    assert again.trusted().state is ClockState.UNSET


@pytest.mark.parametrize(
    "wrong_ms",
    [
        -TRUTH + 315_964_800_000,  # 6 January 1980, what a receiver says that knows no week
        3_471_292_800_000 - TRUTH,  # 1 January 2080
        -SPAN_MS,  # the weeks have rolled over
        SPAN_MS,
        EARLIEST_MS - TRUTH - 100_000_000,
    ],
)
def test_dates_that_cannot_be_are_refused(box: Box, wrong_ms: int) -> None:
    box.hear(60, wrong_ms=wrong_ms)
    assert box.clock.estimate().state is ClockState.UNSET


def test_a_date_before_the_newest_signed_time_is_refused() -> None:
    hand = Hand(wall=0, sync=False)
    box = Box(hand, Clocks(BOOT, hand, floor_ms=TRUTH))
    box.hear(60, wrong_ms=-FLOOR_TOLERANCE_MS - 70_000)
    assert box.clock.estimate().state is ClockState.UNSET
    box.hear(60, late_ms=500)
    assert box.clock.estimate().clock_ms == TRUTH - 500


def test_a_receiver_that_jumps_dates_nothing(box: Box) -> None:
    for turn in range(100):
        box.hear(RUN - 1, wrong_ms=(turn % 7) * 10_000)
    assert box.clock.estimate().state is ClockState.UNSET


def test_a_receiver_that_repeats_one_moment_dates_nothing(box: Box) -> None:
    for _ in range(600):
        box.hand.boot += 100
        box.clock.receiver_time(TRUTH, LATE_MS)
    assert box.clock.estimate().state is ClockState.UNSET


def test_what_is_told_too_coarsely_dates_nothing(box: Box) -> None:
    box.hear(60, accuracy_ms=ACCURACY_MAX_MS + 1)
    box.hear(60, accuracy_ms=-1)
    assert box.clock.estimate().state is ClockState.UNSET


def test_the_least_late_telling_of_a_run_counts_and_the_others_are_no_steps(box: Box) -> None:
    for late_ms in (900, 300, 50, 700, 450, 1_000):
        box.hear(1, late_ms=late_ms)
    assert box.clock.estimate().clock_ms == TRUTH - 50
    box.hear(600, late_ms=1_000)
    assert box.clock.estimate() == Clock(BOOT, TRUTH - 50, ClockState.SYNCHRONIZED)


def test_a_receiver_that_falls_silent_is_held_over(box: Box) -> None:
    box.hear(6)
    box.hand.boot += HOLDOVER_AFTER_MS + 1
    assert box.clock.estimate() == Clock(BOOT, TRUTH, ClockState.HOLDOVER)


def test_time_servers_and_the_platform_count_for_more(box: Box) -> None:
    box.hear(6, late_ms=900)
    box.clock.signed_time(TRUTH + box.hand.boot, sent_at=box.hand.boot)
    assert (box.clock.estimate().clock_ms, box.clock.origin) == (TRUTH, "platform")
    box.hear(60, late_ms=900)
    assert (box.clock.estimate().clock_ms, box.clock.origin) == (TRUTH, "platform")
    box.hand.wall, box.hand.sync = TRUTH + 7, True
    assert (box.clock.estimate().clock_ms, box.clock.origin) == (TRUTH + 7, "system")


def test_when_the_platform_falls_silent_the_receiver_confirms_its_offset(box: Box) -> None:
    box.clock.signed_time(TRUTH + box.hand.boot, sent_at=box.hand.boot)
    box.hand.boot += HOLDOVER_AFTER_MS + 1
    assert box.clock.estimate() == Clock(BOOT, TRUTH, ClockState.HOLDOVER)
    box.hear(6, late_ms=900)
    assert (box.clock.estimate(), box.clock.origin) == (Clock(BOOT, TRUTH, ClockState.SYNCHRONIZED), "gnss")


def test_what_contradicts_the_platform_is_not_believed_even_when_that_is_silent(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    box.clock.signed_time(TRUTH + box.hand.boot, sent_at=box.hand.boot)
    box.hand.boot += 2 * HOLDOVER_AFTER_MS
    drift = 2 * HOLDOVER_AFTER_MS * DRIFT_PPM // 1_000_000
    box.hear(60, wrong_ms=CONTRADICTION_MS + drift + 1_000)
    assert box.clock.estimate() == Clock(BOOT, TRUTH, ClockState.HOLDOVER)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "clock: a GNSS receiver is 10 s off what platform said: not believed"
    ]


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(-(10**14), 10**14), st.integers(-10, 5_000)), max_size=60))
@settings(max_examples=60)
def test_whatever_is_told_the_floor_stands_and_nothing_but_a_run_dates(told: list[tuple[int, int, int]]) -> None:
    hand = Hand(wall=0, sync=False)
    clock = Clocks(BOOT, hand, floor_ms=EARLIEST_MS)
    for passed, utc_ms, accuracy_ms in told:
        hand.boot += passed
        clock.receiver_time(utc_ms, accuracy_ms)
    assert clock.floor_ms == EARLIEST_MS
    assert clock.trusted().state is ClockState.UNSET
    if clock.estimate().state is not ClockState.UNSET:
        assert len(told) >= RUN
        assert hand.boot >= RUN_MS
        assert 0 <= clock.utc_ms() - EARLIEST_MS + FLOOR_TOLERANCE_MS < 2 * SPAN_MS


class Told(RuleBasedStateMachine):
    """A box with an honest receiver, a lying one for some seconds at a time, a platform and a time server."""

    def __init__(self) -> None:
        super().__init__()
        self.hand = Hand(wall=TRUTH, sync=False)
        self.clock = Clocks(BOOT, self.hand)
        self.trusted = False
        self.seen: list[int] = []

    @rule(seconds=st.integers(1, 20), late_ms=st.integers(0, LATE_MS - 100))
    def honest(self, seconds: int, late_ms: int) -> None:
        for _ in range(seconds):
            self.hand.boot += 1_000
            self.clock.receiver_time(TRUTH + self.hand.boot - late_ms, LATE_MS)

    @rule(wrong_ms=st.integers(-(10**12), 10**12).filter(lambda wrong: abs(wrong) > 3 * LATE_MS))
    def lie(self, wrong_ms: int) -> None:
        """Too short to be believed."""
        for _ in range(RUN - 1):
            self.hand.boot += 1_000
            self.clock.receiver_time(TRUTH + self.hand.boot + wrong_ms, LATE_MS)
        self.clock.receiver_time(TRUTH + self.hand.boot, LATE_MS)

    @rule(trip=st.integers(0, 50))
    def platform(self, trip: int) -> None:
        sent_at = self.hand.boot
        self.hand.boot += trip
        self.clock.signed_time(TRUTH + self.hand.boot - trip // 2, sent_at)
        self.trusted = True

    @rule()
    def time_server(self) -> None:
        self.hand.sync = True
        self.clock.estimate()
        self.hand.sync, self.trusted = False, True

    @rule(passed=st.integers(0, HOLDOVER_AFTER_MS * 2))
    def pass_by(self, passed: int) -> None:
        self.hand.boot += passed

    @invariant()
    def right_or_unset(self) -> None:
        found = self.clock.estimate()
        if found.state is not ClockState.UNSET:
            assert abs(found.clock_ms - TRUTH) <= LATE_MS + STEP_MS
        assert (self.clock.trusted().state is ClockState.UNSET) == (not self.trusted)
        if self.trusted:
            assert abs(self.clock.trusted().clock_ms - TRUTH) <= STEP_MS + 50
        assert self.clock.floor_ms <= TRUTH + self.hand.boot


TestTold = Told.TestCase
TestTold.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
