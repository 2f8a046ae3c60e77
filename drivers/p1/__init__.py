"""P1: telegrams of Dutch, Belgian and other smart meters (DSMR 2.2 to 5, ESMR, e-MUCS) from a serial port."""

from drivers.p1.driver import P1Driver as P1Driver
