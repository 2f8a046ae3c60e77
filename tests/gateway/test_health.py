"""A device that goes is told of once, and costs its bus at most one part in twenty."""

import logging

import pytest

from drivers.errors import NoAnswer
from gateway.health import DEAD_SHARE, OFFLINE_AFTER, PROBE_MAX_MS, Health, State


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
