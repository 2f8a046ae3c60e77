"""What the platform asks for once more: each number of the history is sent until it has it, and no more."""

from hypothesis import given
from hypothesis import strategies as st

from buffer.ack import Ack
from buffer.header import NO_HASH
from buffer.resend import Resend
from gateway.uplink.refill import FLYING, PAGE, PATIENCE_MS, TRIES, Refill

STREAM = bytes(16)


def request(*spans: tuple[int, int], at: int = 1) -> Resend:
    return Resend("gw-1", STREAM, spans, at, at + 1000)


def ack(*numbers: int, cumulative: int = 0, stream: bytes = STREAM) -> Ack:
    ranges = tuple((number, number, NO_HASH) for number in numbers)
    return Ack("gw-1", stream, cumulative, bytes(32) if not cumulative else bytes([1]) * 32, ranges)


def look(refill: Refill, kept: set[int]) -> None:
    """Look up what it wants, as the uplink does."""
    while (span := refill.span) is not None:
        refill.found(span, [n for n in sorted(kept) if span[0] <= n <= span[1]][:PAGE])


@given(
    st.sets(st.integers(1, 400)),
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 200)), min_size=1, max_size=5),
)
def test_everything_kept_is_sent_and_nothing_else(kept: set[int], asked: list[tuple[int, int]]) -> None:
    refill, spans = Refill(), [(first, first + more) for first, more in asked]
    assert refill.ask(request(*spans))
    assert not refill.ask(request((1, 400))), "a repetition"
    sent: list[int] = []
    while True:
        look(refill, kept)
        flying = []
        while (number := refill.next(0)) is not None:
            flying.append(number)
        assert len(flying) <= FLYING
        if not flying:
            break
        sent += flying
        refill.answered(ack(*flying))
    assert set(sent) == {n for n in kept if any(first <= n <= last for first, last in spans)}


def test_without_an_answer_it_is_sent_again_and_given_up_in_the_end() -> None:
    refill = Refill()
    refill.ask(request((1, 9)))
    look(refill, {3})
    times = [now for now in range(0, 10 * PATIENCE_MS, 1000) if refill.next(now) == 3]
    assert times == [n * PATIENCE_MS for n in range(TRIES)]
    assert refill.next(10**9) is None


def test_a_link_that_breaks_and_an_answer_of_another_store() -> None:
    refill = Refill()
    refill.ask(request((1, 9)))
    look(refill, {3, 5})
    assert [refill.next(0), refill.next(0), refill.next(0)] == [3, 5, None]
    refill.answered(ack(3, cumulative=9, stream=bytes([1]) * 16))
    refill.cut()
    assert [refill.next(1), refill.next(1)] == [3, 5]
    refill.answered(ack(cumulative=4))
    refill.cut()
    assert [refill.next(2), refill.next(2)] == [5, None]
