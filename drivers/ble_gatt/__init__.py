"""Bluetooth LE devices that are connected to: their GATT characteristics read, written and subscribed to."""

from drivers.ble_gatt.driver import GattDriver as GattDriver
