"""Which broker is next, and when to go back to the better one."""

from config import Broker
from gateway.uplink.choice import RETURN_MAX_MS, RETURN_MS, Choice

FIRST, SECOND = (Broker.parse(f"mqtt://{name}") for name in ("first", "second"))


def test_the_first_is_gone_back_to_and_asked_more_and_more_seldom_while_it_is_not_there() -> None:
    choice = Choice([FIRST, SECOND], "5")
    choice.failed(refused=False, reached=False)
    assert choice.broker == SECOND
    assert choice.due(10**12) is None, "there is no link"
    choice.up(1000)
    assert choice.due(1000 + RETURN_MS - 1) is None
    assert choice.due(1000 + RETURN_MS) == FIRST
    now, waits = 1000 + RETURN_MS, []
    for _ in range(10):
        choice.stay(now)
        began = now
        while choice.due(now) is None:
            now += RETURN_MS
        waits.append(now - began)
    assert waits[:3] == [2 * RETURN_MS, 4 * RETURN_MS, 8 * RETURN_MS]
    assert waits[-1] == RETURN_MAX_MS
    choice.go_back(now)
    assert choice.broker == FIRST
    choice.up(now)
    assert choice.due(now + 100 * RETURN_MAX_MS) is None, "there is none better"


def test_an_older_protocol_on_suspicion_is_not_for_ever() -> None:
    choice = Choice([FIRST], "auto")
    choice.failed(refused=False, reached=True)
    assert not choice.five
    choice.up(0)
    assert choice.due(RETURN_MS) == FIRST
    choice.go_back(RETURN_MS)
    assert choice.five
    choice.failed(refused=False, reached=True)
    choice.up(RETURN_MS)
    assert choice.due(2 * RETURN_MS) is None, "twice as long the second time"
    assert choice.due(3 * RETURN_MS) == FIRST


def test_one_that_says_it_is_older_is_believed() -> None:
    choice = Choice([FIRST], "auto")
    choice.failed(refused=True, reached=True)
    assert not choice.five
    choice.up(0)
    assert choice.due(100 * RETURN_MAX_MS) is None


def test_brokers_take_turns_in_their_order() -> None:
    choice = Choice([FIRST, SECOND], "auto")
    seen = []
    for _ in range(4):
        seen.append((choice.broker, choice.five))
        choice.failed(refused=False, reached=True)
    assert seen == [(FIRST, True), (FIRST, False), (SECOND, True), (SECOND, False)]
    assert (choice.broker, choice.five) == (FIRST, True)
