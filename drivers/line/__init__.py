"""Any ASCII protocol as data: devices that print lines by themselves."""

from drivers.line.driver import LineDriver as LineDriver
