"""What a restored platform asks for; the way to the gateway and back is in tests/integration/test_restore.py."""

import pytest

from buffer.resend import MAX_RANGES
from collector.errors import CommandFault, UsageError
from collector.orders import resend
from tests.collector.maker import OFFSET_MS, Bench, Gateway


def asked(bench: Bench, gateway: Gateway, text: str | None = None) -> tuple[tuple[int, int], ...]:
    return resend.plan(bench.database, gateway.gateway, gateway.stream.hex(), text, OFFSET_MS + 10_000).ranges


def test_what_is_missing_or_what_is_named(bench: Bench, gateway: Gateway) -> None:
    messages = gateway.hello(9)
    bench.take(*messages)
    with pytest.raises(CommandFault, match="nothing is missing"):
        asked(bench, gateway)
    other = Gateway(key=gateway.key, stream=bytes([2]) * 16)
    told = other.hello(9)
    bench.take(told[0], told[1], told[4], told[9])
    assert asked(bench, other) == ((3, 4), (6, 9))
    assert asked(bench, other, "9s..5s") == ((3, 4), (6, 9)), "2 is of 1 s, 5 of 4 s, 10 of 9 s"
    assert asked(bench, other, "5s..") == ((6, 9),)
    assert asked(bench, other, "2..7") == ((2, 7),)
    assert asked(bench, other, "4..")[0][0] == 4
    assert asked(bench, other, "..4") == ((1, 4),)
    wish = resend.plan(bench.database, other.gateway, other.stream.hex(), None, 0)
    assert resend.missing(bench.database, wish) == 6
    bench.take(*told)
    assert resend.wait(bench.database, wish, 0) == 0


@pytest.mark.parametrize("text", ["7", "9..2", "a..b", "..", "1..2..3"])
def test_what_is_no_range(bench: Bench, gateway: Gateway, text: str) -> None:
    with pytest.raises((UsageError, CommandFault)):
        asked(bench, gateway, text)


def test_many_holes_are_few_ranges_that_cover_them(bench: Bench, gateway: Gateway) -> None:
    messages = gateway.hello(2 * MAX_RANGES + 60, each=1)
    bench.take(*messages[::2])
    found = asked(bench, gateway)
    assert len(found) == MAX_RANGES
    assert all(any(first <= n <= last for first, last in found) for n in range(2, 2 * MAX_RANGES + 60, 2))


def test_a_fork_is_asked_nothing(bench: Bench, gateway: Gateway) -> None:
    bench.take(*gateway.hello(2))
    clone = Gateway(key=gateway.key)
    clone.describe()
    bench.take(clone.send([(1, 77, 77.5, 0)]))
    with pytest.raises(CommandFault, match="fork"):
        asked(bench, gateway)
