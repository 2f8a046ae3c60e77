"""IEC 62056-21 (once IEC 1107), modes A and C: readouts of electricity and heat meters over an optical head."""

from drivers.iec62056.driver import Iec62056Driver as Iec62056Driver
