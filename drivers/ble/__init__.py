"""Bluetooth LE advertisements of a fixed layout, by bleak and BlueZ."""

from drivers.ble.driver import BleDriver as BleDriver
