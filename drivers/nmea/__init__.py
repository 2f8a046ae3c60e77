"""NMEA 0183 (IEC 61162-1) from a serial port: wind, weather and position sentences."""

from drivers.nmea.driver import NmeaDriver as NmeaDriver
