"""A device that goes is told of once, and costs its bus at most one part in twenty."""

import logging
from collections.abc import Callable

import pytest

from drivers.errors import NoAnswer
from gateway.polling.health import (
    DEAD_SHARE,
    OFFLINE_AFTER,
    PROBE_MAX_MS,
    PROBE_MIN_MS,
    TRUSTED_AFTER,
    Health,
    State,
)
from gateway.polling.schedule import Standing


def state(health: Health) -> str:
    return health.state.value


def test_one_failure_is_noise_three_are_gone(caplog: pytest.LogCaptureFixture) -> None:
    health = Health("meter")
    health.heard(0)
    health.failed(10, NoAnswer("silent"))
    assert state(health) == State.SUSPECT
    for now in range(20, 20 + 10 * OFFLINE_AFTER, 10):
        health.failed(now, NoAnswer("silent"))
    assert state(health) == State.OFFLINE
    health.heard(500)
    assert state(health) == State.ONLINE
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "device meter: gone (silent)",
        "device meter: back",
    ]


def test_probes_of_a_dead_device_keep_to_their_share_and_end_at_a_minute() -> None:
    health, now, cost, spent = Health("meter"), 0, 500, 0
    for _ in range(OFFLINE_AFTER):
        health.failed(now, NoAnswer("silent"), cost)
    begin = now
    while now < 3_600_000:
        now = health.probe_at
        spent += cost
        health.failed(now, NoAnswer("silent"), cost)
        assert cost * DEAD_SHARE <= health.probe_at - now <= PROBE_MAX_MS
    assert spent / (now - begin) <= 1 / DEAD_SHARE
    assert health.errors == {"NoAnswer": health.failures}


def ill(minutes: int, fails: Callable[[int], bool], cost: int = 500) -> tuple[Health, float]:
    """A device that is asked each second unless it is absent; its health and the share of the time lost to it."""
    health, lost, tries = Health("meter"), 0, 0
    for now in range(0, minutes * 60_000, 1_000):
        if health.standing(now) is Standing.ABSENT and (health.state is not State.OFFLINE or now < health.probe_at):
            continue
        tries += 1
        if fails(tries):
            health.failed(now + cost, NoAnswer("silent"), cost)
            lost += cost
        else:
            health.heard(now + 50)
    return health, lost / (minutes * 60_000)


@pytest.mark.parametrize(
    "fails",
    [lambda n: n % 2 == 0, lambda n: n % 3 > 0, lambda n: n % 5 > 0, lambda n: n % 7 == 0, lambda n: n % 100 < 50],
    ids=["every second", "two of three", "four of five", "one of seven", "in long runs"],
)
def test_an_ill_device_takes_no_more_than_a_dead_one(fails: Callable[[int], bool]) -> None:
    _, share = ill(60, fails)
    assert share <= 1 / DEAD_SHARE + OFFLINE_AFTER * 500 / 3_600_000


def test_a_device_that_answers_but_for_noise_is_asked_each_time() -> None:
    health = ill(60, lambda n: n % 100 == 0, cost=300)[0]
    assert health.answers + health.failures == 3600
    assert health.last_error == "silent"


def test_who_failed_is_doubted_until_it_has_answered_often_enough() -> None:
    health = Health("meter")
    assert health.standing(0) is Standing.TRUSTED
    health.failed(0, NoAnswer("silent"), 500)
    for now in range(1_000, 1_000 * TRUSTED_AFTER, 1_000):
        health.heard(now)
        assert health.standing(now) is Standing.DOUBTED
    health.heard(60_000)
    assert health.standing(60_000) is Standing.TRUSTED
    health.heard(61_000, slow=True)
    assert health.standing(61_000) is Standing.DOUBTED


def test_a_refusal_that_takes_no_time_is_not_probed_for_all_the_time() -> None:
    health = Health("meter")
    for _ in range(OFFLINE_AFTER):
        health.failed(0, NoAnswer("exception 11"), 0)
    assert health.probe_at >= PROBE_MIN_MS


def test_a_device_that_comes_and_goes_is_not_told_of_each_few_seconds(caplog: pytest.LogCaptureFixture) -> None:
    ill(60, lambda n: n % 4 > 0)
    assert len(caplog.records) <= 2 * 60


def test_a_device_that_was_lost_with_its_bus_is_asked_again_and_one_that_was_gone_is_probed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost, gone = Health("lost"), Health("gone")
    lost.heard(0)
    for _ in range(OFFLINE_AFTER):
        gone.failed(0, NoAnswer("silent"), 500)
    for health in (lost, gone):
        health.out_of_reach(1_000)
        health.within_reach(2_000)
    assert (state(lost), state(gone)) == (State.UNKNOWN, State.OFFLINE)
    lost.heard(3_000)
    assert [record.getMessage() for record in caplog.records] == ["device gone: gone (silent)"]
