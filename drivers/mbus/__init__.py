"""Wired M-Bus (EN 13757-2 and -3): heat, water, gas and electricity meters."""

from drivers.mbus.driver import MbusDriver

__all__ = ["MbusDriver"]
