"""How long it was quiet: over restarts, reboots, and clocks that nobody has set."""

from hypothesis import given
from hypothesis import strategies as st

from buffer.orders import Quiet
from gateway.commands.silence import Silence

A, B = b"a" * 16, b"b" * 16
NEW = Quiet(0, 0, b"", 0, 0)
HOUR = 3_600_000
T0 = 1_790_000_000_000


def test_it_counts_within_a_boot_and_over_a_restart() -> None:
    silence = Silence(NEW, A, 10_000)
    silence.tick(20_000, None)
    silence.heard()
    silence.touched("a/p")
    silence.tick(20_000 + HOUR - 1, None)
    assert not silence.due("a/p", 0, HOUR)
    again = Silence(silence.note(), A, 20_000 + HOUR)
    assert again.due("a/p", 0, HOUR)
    assert not again.due("a/p", 0, HOUR + 1)


def test_without_a_clock_only_the_time_since_the_boot_counts() -> None:
    first = Silence(NEW, A, 5_000)
    first.heard()
    first.tick(65_000, None)
    second = Silence(first.note(), B, 1_000)
    assert second.quiet - second.heard_at == 61_000
    second.tick(31_000, None)
    assert second.quiet - second.heard_at == 91_000


def test_the_time_that_the_box_was_off_counts_once_the_clock_is_set() -> None:
    first = Silence(NEW, A, 5_000)
    first.tick(6_000, T0)
    first.heard()
    second = Silence(first.note(), B, 2_000)
    assert second.tick(3_000, None) == 0
    assert second.tick(4_000, T0 + HOUR) == HOUR - 4_000
    assert second.due("a/p", 0, HOUR)
    assert second.tick(5_000, T0 + 9 * HOUR) == 0  # a clock that steps later says nothing of it


def test_what_was_heard_or_written_in_this_boot_is_not_made_older() -> None:
    first = Silence(NEW, A, 5_000)
    first.tick(6_000, T0)
    second = Silence(first.note(), B, 2_000)
    second.heard()
    second.touched("a/p")
    second.tick(4_000, T0 + HOUR)
    assert second.quiet - second.heard_at == 2_000
    assert not second.due("a/p", 0, 2_001)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, HOUR), st.booleans()), max_size=20))
def test_it_never_goes_back_and_never_runs_ahead_of_the_world(steps: list[tuple[bool, int, bool]]) -> None:
    """Each step: whether the box is rebooted, how much later it is, and whether it then knows the time."""
    world, boot_at, number = 0, 0, 0
    silence, last = Silence(NEW, bytes(16), 0), 0
    for reboot, later, knows in steps:
        kept = silence.note()
        world += later
        if reboot:
            boot_at, number = world, number + 1
            silence = Silence(kept, number.to_bytes(16, "big"), 0)
        silence.tick(world - boot_at, T0 + world if knows else None)
        assert last <= silence.quiet <= world
        last = silence.quiet
