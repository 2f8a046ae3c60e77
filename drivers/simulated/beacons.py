"""A Ruuvi tag in a bin and a BTHome thermometer in a room, heard through a simulated BlueZ on a private bus."""

import asyncio
import os
import shutil
import struct
import tempfile
from decimal import Decimal
from pathlib import Path

from drivers.simulated.bluez import SimulatedBluez
from drivers.simulated.dbus import PrivateBus
from drivers.simulated.log import ServedLog
from drivers.simulated.quantity import sweep
from drivers.simulated.speaker import Samples

BIN, ROOM = "C4:11:22:33:44:55", "C4:11:22:33:44:56"
RUUVI = 0x0499  # Bluetooth SIG Assigned Numbers, 7.1
BTHOME = "fcd2"  # https://bthome.io/format/

_RSSI = sweep(-90, -50)


class Beacons:
    """Advertises each once in `interval` seconds while somebody listens, and logs what was heard."""

    def __init__(self, log: ServedLog, interval: float, daemon: str) -> None:
        self._log = log
        self._interval = interval
        self._folder = Path(tempfile.mkdtemp(prefix="lamppost-"))
        self._bus = PrivateBus(daemon, self._folder)
        self.address = self._bus.address

    def close(self) -> None:
        """End the daemon."""
        self._bus.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def run(self) -> None:
        """Advertise until cancelled."""
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = self.address  # of this process: it is nothing but devices
        bluez = SimulatedBluez()
        await bluez.start()
        bluez.add_adapter()
        n = 0
        while True:
            rssi = int(_RSSI(n))
            data, samples = tag(n)
            if bluez.advertise(BIN, {RUUVI: data}, rssi=rssi):
                self._log.write([*samples, ("bin/rssi", rssi)])
            data, samples = thermometer(n)
            if bluez.advertise(ROOM, service={BTHOME: data}, rssi=rssi):
                self._log.write([*samples, ("room/rssi", rssi)])
            n += 1
            await asyncio.sleep(self._interval)


def tag(n: int) -> tuple[bytes, Samples]:
    """The n-th payload of data format 5: docs.ruuvi.com/communication/bluetooth-advertisements/data-format-5-rawv2."""
    celsius, humidity, pascal = int(sweep(1000, 5000)(7 * n)), int(sweep(12_000, 32_000)(11 * n)), 51_325 + n % 50
    x, y, z = int(sweep(-50, 50)(n)), 12, 1000
    millivolts, movements, sequence = 2977 - n % 20, n // 30 % 255, n % 65_535
    power = (millivolts - 1600) << 5 | (4 + 40) // 2
    fields = (5, celsius, humidity, pascal, x, y, z, power, movements, sequence)
    data = struct.pack(">BhHHhhhHBH", *fields) + bytes.fromhex(BIN.replace(":", ""))
    samples: Samples = [
        ("bin/temperature", celsius * Decimal("0.005")),
        ("bin/humidity", humidity * Decimal("0.0025")),
        ("bin/pressure", pascal + 50_000),
        ("bin/acceleration-x", Decimal(x).scaleb(-3)),
        ("bin/acceleration-y", Decimal(y).scaleb(-3)),
        ("bin/acceleration-z", Decimal(z).scaleb(-3)),
        ("bin/battery", Decimal(millivolts).scaleb(-3)),
        ("bin/tx-power", 4),
        ("bin/movements", movements),
        ("bin/sequence", sequence),
    ]
    return data, samples


def thermometer(n: int) -> tuple[bytes, Samples]:
    """The n-th payload of BTHome v2: battery (0x01), temperature (0x02) and humidity (0x03)."""
    battery, celsius, humidity = 100 - n // 600 % 100, int(sweep(-500, 3500)(5 * n)), int(sweep(2000, 9000)(9 * n))
    data = struct.pack("<BBBBhBH", 0x40, 1, battery, 2, celsius, 3, humidity)
    samples: Samples = [
        ("room/battery", battery),
        ("room/temperature", Decimal(celsius).scaleb(-2)),
        ("room/humidity", Decimal(humidity).scaleb(-2)),
    ]
    return data, samples
