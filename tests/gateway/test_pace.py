"""Running figures: what was achieved lately, and how busy a bus is."""

from gateway.polling.pace import KEPT, WINDOW_MS, Achieved, Busy, Pace


def test_a_pace_is_that_of_the_last_intervals() -> None:
    pace = Pace()
    pace.note(0)
    assert pace.achieved() is None
    for now in (1000, 2000, 5000):
        pace.note(now)
    assert pace.achieved() == Achieved(1000, 5000 / 3, 3000)
    for now in range(5250, 5250 + 250 * KEPT, 250):
        pace.note(now)
    assert pace.achieved() == Achieved(250, 250, 250)


def test_how_busy_a_bus_is_follows_from_the_last_whole_window() -> None:
    busy = Busy(0)
    assert busy.share(0) == 0
    busy.used(0, 250)
    assert busy.share(1000) == 0.25
    for now in range(1000, WINDOW_MS + 1000, 1000):
        busy.used(now, now + 500)
    assert 0.49 < busy.share(WINDOW_MS + 1000) < 0.51
    assert busy.share(10 * WINDOW_MS) < 0.01, "nothing is asked any more"
