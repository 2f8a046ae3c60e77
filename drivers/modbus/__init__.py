"""Modbus, the way most municipal meters, pumps, lights and weather stations speak."""

from drivers.modbus.driver import ModbusDriver

__all__ = ["ModbusDriver"]
