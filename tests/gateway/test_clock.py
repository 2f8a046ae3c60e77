"""The agent's idea of time: unset rather than guessed, one offset a boot, never below what was signed."""

from dataclasses import dataclass

from buffer.header import Clock, ClockState
from gateway.clock import HOLDOVER_AFTER_MS, AgentClock, boot_id

BOOT = bytes(range(16))
TRUTH = 1_790_000_000_000
"""utc_ms when the box was switched on"""


@dataclass
class Hand:
    """A clock that is set by hand."""

    boot: int = 1_000
    wall: int = 0
    sync: bool = False

    def boot_ms(self) -> int:
        return self.boot

    def utc_ms(self) -> int:
        return self.wall + self.boot

    def synchronized(self) -> bool:
        return self.sync


def test_a_box_that_nobody_told_the_time_says_so() -> None:
    assert AgentClock(BOOT, Hand()).estimate() == Clock(BOOT, 0, ClockState.UNSET)


def test_the_systems_clock_counts_when_it_is_synchronized() -> None:
    clock = AgentClock(BOOT, Hand(wall=TRUTH, sync=True))
    assert clock.estimate() == Clock(BOOT, TRUTH, ClockState.SYNCHRONIZED)
    assert clock.utc_ms() == TRUTH + 1_000


def test_the_platforms_signed_time_sets_the_clock_within_half_the_round_trip() -> None:
    hand = Hand(boot=10_000)
    clock = AgentClock(BOOT, hand)
    clock.signed_time(TRUTH + 9_900, sent_at=9_800)
    assert clock.estimate() == Clock(BOOT, TRUTH, ClockState.SYNCHRONIZED)


def test_jitter_of_the_link_is_no_step_and_a_step_is_one() -> None:
    hand = Hand(boot=10_000)
    clock = AgentClock(BOOT, hand)
    clock.signed_time(TRUTH + 10_000, sent_at=10_000)
    clock.signed_time(TRUTH + 10_000 + 90, sent_at=10_000)
    assert clock.estimate().clock_ms == TRUTH
    clock.signed_time(TRUTH + 10_000 + 500, sent_at=10_000)
    assert clock.estimate().clock_ms == TRUTH + 500


def test_an_answer_that_took_too_long_says_nothing_of_now() -> None:
    hand = Hand(boot=60_000)
    clock = AgentClock(BOOT, hand)
    clock.signed_time(TRUTH, sent_at=1_000)
    assert clock.estimate().state is ClockState.UNSET
    assert clock.floor_ms == TRUTH


def test_an_old_estimate_is_held_over() -> None:
    hand = Hand(boot=10_000)
    clock = AgentClock(BOOT, hand)
    clock.signed_time(TRUTH + 10_000, sent_at=10_000)
    hand.boot += HOLDOVER_AFTER_MS + 1
    assert clock.estimate() == Clock(BOOT, TRUTH, ClockState.HOLDOVER)


def test_a_restart_in_the_same_boot_keeps_the_offset_and_another_boot_does_not() -> None:
    held = Clock(BOOT, TRUTH, ClockState.SYNCHRONIZED)
    assert AgentClock(BOOT, Hand(), held=held).estimate() == Clock(BOOT, TRUTH, ClockState.HOLDOVER)
    other = bytes(16)
    assert AgentClock(other, Hand(), held=held).estimate() == Clock(other, 0, ClockState.UNSET)


def test_a_system_clock_below_the_newest_signed_time_is_not_believed() -> None:
    clock = AgentClock(BOOT, Hand(wall=TRUTH, sync=True), floor_ms=TRUTH + 1_000_000)
    assert clock.estimate().state is ClockState.UNSET
    assert clock.utc_ms() == TRUTH + 1_000_000


def test_a_boot_has_an_id_of_128_bits() -> None:
    assert len(boot_id()) == 16


def test_a_signed_time_from_before_the_newest_one_teaches_nothing() -> None:
    hand = Hand(boot=10_000)
    clock = AgentClock(BOOT, hand)
    clock.signed_time(TRUTH + 10_000, sent_at=10_000)
    hand.boot = 20_000
    clock.signed_time(TRUTH + 5_000, sent_at=20_000)
    assert clock.estimate().clock_ms == TRUTH
    assert clock.floor_ms == TRUTH + 10_000
