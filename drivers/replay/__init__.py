"""Plays a recording of a bus through the driver that it was recorded of."""

from drivers.replay.driver import ReplayDriver

__all__ = ["ReplayDriver"]
